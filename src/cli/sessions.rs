//! `ephemint sessions`: find sessions and end them, straight on the database. Replicas follow within `exchange.max_staleness`.

use std::{
    io::{self, BufRead as _, IsTerminal as _, Write as _},
    path::Path,
};

use clap::{Args, Subcommand};
use serde_json::json;
use time::OffsetDateTime;

use super::{
    CommandError, block_on, load,
    output::{print_line, print_raw, print_table},
    services,
};
use crate::{
    app::services::Services,
    domain::{
        instant::rfc3339,
        session::SessionId,
        session_filter::{FilterMember, SessionFilter},
    },
    service::sessions::{ListedSession, RevokeReason, Revoked, Sessions},
    storage::error::StorageError,
};

/// Sessions that are read at once.
const PAGE: u16 = 200;

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum SessionsCommand {
    /// List sessions, newest first: those that fit every option, alive or not until they are swept.
    List {
        #[command(flatten)]
        choice: Choice,
        /// List every session that fits, however many.
        #[arg(long, conflicts_with = "limit")]
        all: bool,
        /// List at most so many.
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: u64,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// End the live sessions that fit every option.
    Revoke {
        #[command(flatten)]
        choice: Choice,
        /// End every session of everyone.
        #[arg(long)]
        all: bool,
        /// Only say how many would end.
        #[arg(long)]
        dry_run: bool,
        /// Return only once no replica gives tokens for them any more.
        #[arg(long)]
        wait: bool,
        /// With --all at a terminal: do not ask.
        #[arg(long)]
        yes: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Which sessions are meant.
#[derive(Debug, Args)]
pub(super) struct Choice {
    /// The session of this id; may be given several times.
    #[arg(long = "id", value_name = "ID", conflicts_with_all = MEMBERS)]
    ids: Vec<SessionId>,
    /// Sessions of this subject.
    #[arg(long, value_name = "SUBJECT")]
    subject: Option<String>,
    /// Started at this instant or later: 2026-01-31T12:00:00Z, or so long ago: 2h.
    #[arg(long, value_name = "WHEN")]
    started_after: Option<String>,
    /// Started before this instant.
    #[arg(long, value_name = "WHEN")]
    started_before: Option<String>,
    /// Last seen at this instant or later.
    #[arg(long, value_name = "WHEN")]
    seen_after: Option<String>,
    /// Last seen before this instant.
    #[arg(long, value_name = "WHEN")]
    seen_before: Option<String>,
    /// Signed in from, or used from within, this address or network.
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<String>,
    /// Started this way: `admin_api` or password.
    #[arg(long, value_name = "METHOD")]
    start_method: Option<String>,
    /// Used with this family of browsers or apps, such as Firefox.
    #[arg(long, value_name = "FAMILY")]
    user_agent: Option<String>,
    /// Authenticated by this method among others, such as pwd.
    #[arg(long, value_name = "METHOD")]
    amr: Option<String>,
    /// In this state: live, ended, active, `reauthentication_needed`, revoked, `subject_disabled`, expired or idle.
    #[arg(long, value_name = "STATUS")]
    status: Option<String>,
}

/// The options beside which no id may stand.
const MEMBERS: [&str; 10] = [
    "subject",
    "started_after",
    "started_before",
    "seen_after",
    "seen_before",
    "ip",
    "start_method",
    "user_agent",
    "amr",
    "status",
];

pub(super) fn run(file: Option<&Path>, command: SessionsCommand) -> Result<(), CommandError> {
    let config = load(file)?;
    block_on(async {
        let services = services(&config).await?;
        let now = services.clock.now();
        match command {
            SessionsCommand::List { choice, all, limit, json } => {
                let filter = choice.filter(now)?;
                let limit = if all { u64::MAX } else { limit };
                list(&services.sessions, &choice.ids, &filter, limit, json).await
            }
            SessionsCommand::Revoke { choice, all, dry_run, wait, yes, json } => {
                let filter = choice.filter(now)?;
                if choice.ids.is_empty() && filter.is_empty() != all || !choice.ids.is_empty() && all {
                    let text =
                        "say which sessions: --id, --subject, another option that narrows the choice, or --all alone";
                    return Err(CommandError::Usage(text.to_owned()));
                }
                if filter.among_live().is_none() {
                    let text = "--status: live, active or reauthentication_needed; others have ended already";
                    return Err(CommandError::Usage(text.to_owned()));
                }
                if dry_run {
                    return preview(&services.sessions, &choice.ids, &filter, json).await;
                }
                if all && !yes && !is_confirmed()? {
                    return Err(CommandError::Failed(anyhow::anyhow!("nothing was ended")));
                }
                revoke(&services, &choice.ids, &filter, wait, json).await
            }
        }
    })?
}

impl Choice {
    fn filter(&self, now: OffsetDateTime) -> Result<SessionFilter, CommandError> {
        let members = [
            &self.subject,
            &self.started_after,
            &self.started_before,
            &self.seen_after,
            &self.seen_before,
            &self.ip,
            &self.start_method,
            &self.user_agent,
            &self.amr,
            &self.status,
        ];
        let mut filter = SessionFilter::default();
        for (member, text) in FilterMember::ALL.into_iter().zip(members) {
            let Some(text) = text else { continue };
            let ago = member.takes_instant().then(|| humantime::parse_duration(text).ok()).flatten();
            let text = ago.and_then(|ago| now.checked_sub(ago.try_into().ok()?)).map_or_else(|| text.clone(), rfc3339);
            filter.narrow(member, &text).map_err(|error| {
                CommandError::Usage(format!("--{}: {}", member.as_str().replace('_', "-"), error.member.allowed()))
            })?;
        }
        Ok(filter)
    }
}

async fn list(
    sessions: &Sessions,
    ids: &[SessionId],
    filter: &SessionFilter,
    limit: u64,
    json: bool,
) -> Result<(), CommandError> {
    let mut printed = Printed { json, rows: 0 };
    if ids.is_empty() {
        let (mut before, mut left) = (None, limit);
        while left > 0 {
            let limit = u16::try_from(left).unwrap_or(u16::MAX).min(PAGE);
            let page = sessions.list(filter, before, limit).await.map_err(failed)?;
            printed.print(&page.sessions);
            left = left.saturating_sub(page.sessions.len() as u64);
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        printed.end(before.is_some());
        return Ok(());
    }
    for id in ids {
        let session = sessions.get(*id).await.map_err(failed)?;
        let session = session.ok_or_else(|| CommandError::Failed(anyhow::anyhow!("no session has the id {id}")))?;
        printed.print(&[session]);
    }
    printed.end(false);
    Ok(())
}

/// What was printed so far, page by page, so that any number of sessions can be listed.
struct Printed {
    json: bool,
    rows: u64,
}

impl Printed {
    fn print(&mut self, sessions: &[ListedSession]) {
        if self.json {
            for session in sessions {
                let begin = if self.rows == 0 { "[" } else { ",\n" };
                print_raw(&format!("{begin}{}", session.describe()));
                self.rows += 1;
            }
        } else if !sessions.is_empty() {
            let rows: Vec<_> = sessions.iter().map(row).collect();
            let heading = ["SESSION", "STATUS", "STARTED", "LAST SEEN", "FROM", "DEVICE", "SUBJECT"];
            print_table(if self.rows == 0 { heading } else { [""; 7] }, &rows);
            self.rows += sessions.len() as u64;
        }
    }

    fn end(&self, more: bool) {
        match (self.json, self.rows) {
            (true, 0) => print_line("[]"),
            (true, _) => print_line("]"),
            (false, 0) => print_line("no session fits"),
            (false, rows) if more => print_line(&format!("{rows} shown, there are more; --limit or --all shows them")),
            (false, _) => {}
        }
    }
}

fn row(listed: &ListedSession) -> [String; 7] {
    let session = &listed.stored.session;
    [
        session.id.to_string(),
        listed.status.as_str().to_owned(),
        rfc3339(whole_seconds(session.created_at)),
        rfc3339(whole_seconds(session.last_seen_at)),
        session.ip.map(|ip| ip.to_string()).unwrap_or_default(),
        session.device.clone().or_else(|| session.user_agent.clone()).unwrap_or_default(),
        session.subject.to_string(),
    ]
}

fn whole_seconds(instant: OffsetDateTime) -> OffsetDateTime {
    instant.replace_nanosecond(0).unwrap_or(instant)
}

async fn preview(
    sessions: &Sessions,
    ids: &[SessionId],
    filter: &SessionFilter,
    json: bool,
) -> Result<(), CommandError> {
    let mut count = 0;
    if ids.is_empty() {
        count = sessions.count_matching(filter).await.map_err(failed)?;
    }
    for id in ids {
        let session = sessions.get(*id).await.map_err(failed)?;
        count += u64::from(session.is_some_and(|session| session.status.can_be_used_again()));
    }
    if json {
        print_line(&json!({ "dry_run": true, "revoked": count, "effective_by": null }).to_string());
    } else {
        print_line(&format!("{count} live sessions would end"));
    }
    Ok(())
}

async fn revoke(
    services: &Services,
    ids: &[SessionId],
    filter: &SessionFilter,
    wait: bool,
    json: bool,
) -> Result<(), CommandError> {
    let (sessions, reason) = (&services.sessions, RevokeReason::Admin);
    let mut revoked = Revoked { sessions: Some(0), effective_by: services.clock.now() };
    if ids.is_empty() {
        revoked = sessions.revoke_matching(filter, reason).await.map_err(failed)?;
    }
    for id in ids {
        let one = sessions.revoke(*id, reason).await.map_err(failed)?;
        let count = revoked.sessions.zip(one.sessions).map(|(before, one)| before + one);
        revoked = Revoked { sessions: count, ..one };
    }
    if wait {
        revoked = sessions.wait_until_effective(revoked).await;
    }
    let by = rfc3339(revoked.effective_by);
    if json {
        print_line(&json!({ "revoked": revoked.sessions, "effective_by": by }).to_string());
    } else {
        let count = revoked.sessions.map_or_else(|| "all".to_owned(), |sessions| sessions.to_string());
        print_line(&format!("{count} live sessions ended, everywhere by {by}"));
    }
    Ok(())
}

/// Whether a person at the terminal means it. Where nobody can be asked, the command is meant as it is.
fn is_confirmed() -> Result<bool, CommandError> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Ok(true);
    }
    let unreadable = |error| CommandError::Failed(anyhow::Error::new(error).context("the answer could not be read"));
    let mut prompt = io::stderr().lock();
    write!(prompt, "End every session of everyone? Type yes to go on: ").map_err(unreadable)?;
    prompt.flush().map_err(unreadable)?;
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer).map_err(unreadable)?;
    Ok(answer.trim() == "yes")
}

fn failed(error: StorageError) -> CommandError {
    CommandError::Failed(anyhow::Error::new(error))
}
