//! `ephemint keys`: the signing keys.

use std::path::Path;

use clap::Subcommand;
use serde_json::json;
use time::OffsetDateTime;

use super::{
    CommandError, block_on, load,
    output::{print_line, print_table},
    services,
};
use crate::{domain::instant::rfc3339, service::key_ring::RingKey};

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum KeysCommand {
    /// List the signing keys that are not destroyed.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Plan the next rotation, as early as the publication lead allows.
    Rotate {
        /// The private key may be known to others: drop it at once and sign with the standby.
        #[arg(long)]
        compromised: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(file: Option<&Path>, command: &KeysCommand) -> Result<(), CommandError> {
    let config = load(file)?;
    block_on(async {
        let services = services(&config).await?;
        let failed = |error| CommandError::Failed(anyhow::Error::new(error));
        match command {
            KeysCommand::List { json } => {
                services.keys.refresh().await.map_err(failed)?;
                list(&services.keys.ring().keys(), services.clock.now(), *json);
                // What the list leaves out is an error, and named.
                services.keys.check().await.map_err(failed)?;
            }
            KeysCommand::Rotate { compromised, json } => {
                let keys = &services.keys;
                let rotations = if *compromised { keys.rotate_compromised().await } else { keys.rotate().await };
                let rotations = rotations.map_err(failed)?;
                if *json {
                    let rows = rotations.iter().map(|rotation| {
                        json!({
                            "algorithm": rotation.algorithm.as_str(),
                            "kid": rotation.next_kid,
                            "activates_at": rfc3339(rotation.activates_at),
                        })
                    });
                    print_line(&json!({ "rotations": rows.collect::<Vec<_>>() }).to_string());
                } else {
                    for rotation in rotations {
                        let (kid, at) = (rotation.next_kid, rfc3339(rotation.activates_at));
                        print_line(&format!("{}: key {kid} signs from {at}", rotation.algorithm));
                    }
                }
            }
        }
        Ok(())
    })?
}

fn list(keys: &[RingKey], now: OffsetDateTime, json: bool) {
    if json {
        let rows = keys.iter().map(|key| key.describe(now));
        print_line(&serde_json::Value::Array(rows.collect()).to_string());
    } else {
        let rows: Vec<_> = keys
            .iter()
            .map(|key| {
                [
                    key.key.kid().to_string(),
                    key.key.algorithm().to_string(),
                    key.dates.state(now).as_str().to_owned(),
                    rfc3339(key.dates.published_at),
                    key.dates.activates_at.map_or_else(|| "-".to_owned(), rfc3339),
                    key.dates.retires_at.map_or_else(|| "-".to_owned(), rfc3339),
                ]
            })
            .collect();
        print_table(["KEY ID", "ALGORITHM", "STATE", "PUBLISHED", "SIGNS FROM", "SIGNS UNTIL"], &rows);
    }
}
