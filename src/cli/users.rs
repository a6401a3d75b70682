//! `ephemint users`: the accounts that sign in with a password.

use std::path::Path;

use clap::Subcommand;
use serde_json::json;

use super::{
    CommandError, block_on, load,
    output::{print_line, print_table},
    password_input::new_password,
    services,
};
use crate::{
    domain::{instant::rfc3339, subject::Subject, username::Username},
    service::accounts::{AccountError, Accounts, Ended},
    storage::accounts::ListedAccount,
};

/// Accounts that are read at once.
const PAGE: u16 = 500;

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum UsersCommand {
    /// Add an account. Its password is asked for, or read as one line from standard input.
    Add {
        /// The name to sign in with: letters, digits and punctuation. Upper and lower case are the same.
        name: String,
        /// Whom its sessions belong to (the `sub` of tokens), if not the name.
        #[arg(long, value_name = "SUBJECT", value_parser = subject)]
        subject: Option<Subject>,
    },
    /// List the accounts.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Set an account's password and end its sessions. It is asked for, or read as one line from standard input.
    SetPassword {
        /// The account's name.
        name: String,
    },
    /// Let an account have no sessions, and end those it has.
    Disable {
        /// The account's name.
        name: String,
    },
    /// Let a disabled account sign in again; its sessions stay ended.
    Enable {
        /// The account's name.
        name: String,
    },
    /// Remove an account and end its sessions.
    Delete {
        /// The account's name.
        name: String,
    },
}

pub(super) fn run(file: Option<&Path>, command: UsersCommand) -> Result<(), CommandError> {
    let config = load(file)?;
    // Before anybody is asked for a password.
    if let UsersCommand::Add { name, .. } | UsersCommand::SetPassword { name } = &command {
        Username::parse(name).map_err(|error| explain(error.into()))?;
    }
    block_on(async {
        let services = services(&config).await?;
        let accounts = &services.accounts;
        match command {
            UsersCommand::Add { name, subject } => {
                let password = new_password(&name)?;
                let added = accounts.add(&name, subject, password).await.map_err(explain)?;
                print_line(&format!("added {} (subject {})", added.username, added.subject));
            }
            UsersCommand::List { json } => list(accounts, json).await?,
            UsersCommand::SetPassword { name } => {
                let password = new_password(&name)?;
                let ended = accounts.set_password(&name, password).await.map_err(explain)?;
                print_line(&format!("password set; {}", ended_line(&ended)));
            }
            UsersCommand::Disable { name } => {
                let ended = accounts.disable(&name).await.map_err(explain)?;
                print_line(&format!("disabled; {}", ended_line(&ended)));
            }
            UsersCommand::Enable { name } => {
                let subject = accounts.enable(&name).await.map_err(explain)?;
                print_line(&format!("enabled; {subject} may sign in again"));
            }
            UsersCommand::Delete { name } => {
                let ended = accounts.remove(&name).await.map_err(explain)?;
                print_line(&format!("deleted; {}", ended_line(&ended)));
            }
        }
        Ok(())
    })?
}

async fn list(accounts: &Accounts, as_json: bool) -> Result<(), CommandError> {
    let mut all: Vec<ListedAccount> = Vec::new();
    loop {
        let after = all.last().map_or("", |account| &account.username).to_owned();
        let page = accounts.list(&after, PAGE).await.map_err(|error| CommandError::Failed(error.into()))?;
        let is_last = page.len() < usize::from(PAGE);
        all.extend(page);
        if is_last {
            break;
        }
    }
    if as_json {
        let all: Vec<_> = all
            .iter()
            .map(|account| {
                json!({
                    "username": account.username,
                    "display_name": account.display_name,
                    "subject": account.subject,
                    "created_at": rfc3339(account.created_at),
                    "password_changed_at": rfc3339(account.password_changed_at),
                    "disabled": account.disabled_at.is_some(),
                })
            })
            .collect();
        print_line(&json!(all).to_string());
        return Ok(());
    }
    let rows: Vec<_> = all
        .into_iter()
        .map(|account| {
            let state = if account.disabled_at.is_some() { "disabled" } else { "" };
            [
                account.username,
                account.subject.to_string(),
                rfc3339(account.created_at),
                rfc3339(account.password_changed_at),
                state.to_owned(),
            ]
        })
        .collect();
    print_table(["USERNAME", "SUBJECT", "CREATED", "PASSWORD SET", ""], &rows);
    Ok(())
}

/// How many sessions have ended with a change, and by when everywhere.
fn ended_line(ended: &Ended) -> String {
    let by = rfc3339(ended.revoked.effective_by);
    let what = match ended.revoked.sessions {
        Some(1) => "1 live session".to_owned(),
        Some(sessions) => format!("{sessions} live sessions"),
        None => "every session".to_owned(),
    };
    format!("{what} of {} ended, everywhere by {by}", ended.subject)
}

fn subject(text: &str) -> Result<Subject, String> {
    Subject::parse(text).map_err(|error| error.to_string())
}

fn explain(error: AccountError) -> CommandError {
    match error {
        AccountError::Username(_) | AccountError::Password(_) => CommandError::Usage(error.to_string()),
        error => CommandError::Failed(error.into()),
    }
}
