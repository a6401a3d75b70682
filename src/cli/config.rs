//! `ephemint config check` and `config show`.

use std::path::Path;

use clap::Subcommand;

use super::{CommandError, block_on, output::print_line};
use crate::{app::services::Services, clock::SystemClock, config::Config, http::pages::Pages};

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Check the configuration and name every fault in it. Connects to nothing.
    Check,
    /// Show every setting in effect and where it comes from; secrets are masked.
    Show {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(file: Option<&Path>, command: &ConfigCommand) -> Result<(), CommandError> {
    let loaded = Config::load_from_process(file)?;
    match command {
        ConfigCommand::Check => {
            // What only the parts themselves can judge: database addresses, certificates, token sizes, templates.
            block_on(async { Services::connect(&loaded.config, std::sync::Arc::new(SystemClock::new())) })?
                .map_err(|error| CommandError::Usage(format!("configuration: {}", chain(&error))))?;
            Pages::load(&loaded.config.pages, &loaded.config.public.origin)
                .map_err(|error| CommandError::Usage(format!("configuration: pages: {}", chain(&error))))?;
            print_line("the configuration is valid");
        }
        ConfigCommand::Show { json: true } => {
            let text =
                serde_json::to_string_pretty(&loaded.shown).map_err(|error| CommandError::Failed(error.into()))?;
            print_line(&text);
        }
        ConfigCommand::Show { json: false } => {
            for shown in &loaded.shown {
                print_line(&shown.to_string());
            }
        }
    }
    Ok(())
}

fn chain(error: &dyn std::error::Error) -> String {
    crate::telemetry::error_chain::ErrorChain(error).to_string()
}
