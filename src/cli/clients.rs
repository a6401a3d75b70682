//! `ephemint clients`: service credentials.

use std::path::Path;

use clap::Subcommand;
use serde_json::json;

use super::{
    CommandError, block_on, load,
    output::{print_line, print_table},
    services,
};
use crate::{
    domain::client::{Client, ClientSecret, Scope},
    service::clients::ClientError,
};

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum ClientsCommand {
    /// Add a client and print its secret, this once.
    Add {
        /// A name for people: letters, digits, '.', '_' and '-'.
        name: String,
        /// What it may do; repeat for more: sessions:create, sessions:read, sessions:revoke, keys:read, keys:rotate, audit:read,
        /// token:exchange, token:introspect.
        #[arg(long = "scope", value_name = "SCOPE", required = true)]
        scopes: Vec<Scope>,
        /// Print JSON, with `client_id` and `client_secret`.
        #[arg(long)]
        json: bool,
    },
    /// List the clients; secrets are never shown again.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Replace a client's secret and print the new one; the old one is dead at once.
    Rotate {
        /// The client's name or id.
        client: String,
        /// Print JSON, with `client_id` and `client_secret`.
        #[arg(long)]
        json: bool,
    },
    /// Remove a client; its secret is dead at once.
    Remove {
        /// The client's name or id.
        client: String,
    },
}

pub(super) fn run(file: Option<&Path>, command: ClientsCommand) -> Result<(), CommandError> {
    let config = load(file)?;
    block_on(async {
        let services = services(&config).await?;
        if let ClientsCommand::Add { .. } | ClientsCommand::Rotate { .. } = &command {
            // A secret made under a wrong master key would never be accepted.
            services.keys.check().await.map_err(|error| CommandError::Failed(error.into()))?;
        }
        let clients = services.clients;
        match command {
            ClientsCommand::Add { name, scopes, json } => {
                let (client, secret) = clients.add(&name, scopes).await.map_err(explain)?;
                show_secret(&client, &secret, json);
            }
            ClientsCommand::List { json } => {
                let all = clients.list().await.map_err(|error| CommandError::Failed(error.into()))?;
                list(&all, json)?;
            }
            ClientsCommand::Rotate { client, json } => {
                let (client, secret) = clients.rotate(&client).await.map_err(explain)?;
                show_secret(&client, &secret, json);
            }
            ClientsCommand::Remove { client } => {
                clients.remove(&client).await.map_err(explain)?;
                print_line(&format!("removed {client}"));
            }
        }
        Ok(())
    })?
}

fn show_secret(client: &Client, secret: &ClientSecret, json: bool) {
    if json {
        print_line(&json!({ "client_id": client.client_id, "client_secret": secret.expose() }).to_string());
    } else {
        print_line(&format!("client id      {}", client.client_id));
        print_line(&format!("client secret  {}", secret.expose()));
        print_line("The secret is not shown again. Send it as `Authorization: Bearer` to the admin listener.");
    }
}

fn list(clients: &[Client], json: bool) -> Result<(), CommandError> {
    if json {
        print_line(&serde_json::to_string(clients).map_err(|error| CommandError::Failed(error.into()))?);
        return Ok(());
    }
    let rows: Vec<_> = clients
        .iter()
        .map(|client| {
            let scopes: Vec<_> = client.scopes.iter().map(|scope| scope.as_str()).collect();
            [client.name.clone(), client.client_id.clone(), scopes.join(" ")]
        })
        .collect();
    print_table(["NAME", "CLIENT ID", "SCOPES"], &rows);
    Ok(())
}

fn explain(error: ClientError) -> CommandError {
    match error {
        ClientError::Name | ClientError::NoScope => CommandError::Usage(error.to_string()),
        error => CommandError::Failed(error.into()),
    }
}
