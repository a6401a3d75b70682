//! The commands. Each reads the configuration, calls one service and prints what came of it.
//!
//! Exit codes: 0 done, 2 usage or configuration error, 1 anything else.

mod clients;
mod config;
mod demo_service;
mod dev;
mod gateway_config;
mod healthcheck;
mod keys;
mod output;
mod password_input;
mod serve;
mod sessions;
mod users;

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use clap::{Parser, Subcommand};

use crate::{
    app::services::{Services, ServicesError},
    clock::SystemClock,
    config::{Config, ConfigError, LogFormat as ConfiguredFormat},
    telemetry::logging::{self, LogFormat},
};
use output::{print_error, print_line};

const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("EPHEMINT_COMMIT"), ")");

/// Revocable sessions in Postgres, exchanged at the gateway for short-lived JWTs.
#[derive(Debug, Parser)]
#[command(name = "ephemint", version = VERSION, arg_required_else_help = true, propagate_version = true, max_term_width = 80)]
struct Cli {
    /// The configuration file (TOML). Variables `EPHEMINT__SECTION__KEY` override it.
    #[arg(long, global = true, value_name = "FILE", env = "EPHEMINT_CONFIG")]
    config: Option<PathBuf>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Try everything on this machine: Postgres, the service, a demo microservice and a gateway, with nothing to configure.
    Dev(dev::DevArguments),
    /// Run the service.
    Serve,
    /// Bring the database's schema up to date. Safe from several replicas at once.
    Migrate,
    /// Check or show the configuration.
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// List or rotate the signing keys.
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Find sessions, and end them.
    #[command(subcommand)]
    Sessions(sessions::SessionsCommand),
    /// Manage service credentials for the admin API.
    #[command(subcommand)]
    Clients(clients::ClientsCommand),
    /// Manage the accounts that sign in with a password.
    #[command(subcommand)]
    Users(users::UsersCommand),
    /// Print a tested gateway configuration for these settings.
    #[command(subcommand)]
    GatewayConfig(gateway_config::GatewayConfigCommand),
    /// Ask the running service whether it is ready: exit code 0 when it is, for supervisors that can only run a program.
    Healthcheck(healthcheck::HealthcheckArguments),
    /// The microservice of `ephemint dev`.
    #[command(hide = true)]
    DemoService(demo_service::DemoServiceArguments),
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    /// The configuration has faults.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A setting or an argument cannot be used.
    #[error("{0}")]
    Usage(String),
    /// Anything else.
    #[error(transparent)]
    Failed(#[from] anyhow::Error),
}

impl From<ServicesError> for CommandError {
    fn from(error: ServicesError) -> Self {
        match error {
            ServicesError::Url { .. } | ServicesError::Pool(_) | ServicesError::TokenTooLong { .. } => {
                Self::Usage(crate::telemetry::error_chain::ErrorChain(&error).to_string())
            }
            error => Self::Failed(error.into()),
        }
    }
}

/// Runs the command that the program was started with.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are errors to the parser, but not to a person.
            let code = if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
            let _ = error.print();
            return code;
        }
    };
    match run(cli) {
        Ok(()) if output::was_lost() => {
            print_error("the output could not be written");
            ExitCode::FAILURE
        }
        Ok(()) => ExitCode::SUCCESS,
        Err(CommandError::Config(error)) => {
            for fault in &error.faults {
                print_error(&format!("configuration: {fault}"));
            }
            ExitCode::from(2)
        }
        Err(CommandError::Usage(text)) => {
            print_error(&text);
            ExitCode::from(2)
        }
        Err(CommandError::Failed(error)) => {
            print_error(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<(), CommandError> {
    let file = cli.config.as_deref();
    match cli.command {
        Command::Dev(arguments) => dev::run(arguments),
        Command::Serve => serve::run(file),
        Command::Migrate => {
            let config = load(file)?;
            let migrated = block_on(async { crate::app::services::migrate(&config).await })??;
            for applied in &migrated.applied {
                print_line(&format!("applied {applied}"));
            }
            print_line(&format!("the schema is at version {}", migrated.version));
            Ok(())
        }
        Command::Config(command) => config::run(file, &command),
        Command::Keys(command) => keys::run(file, &command),
        Command::Sessions(command) => sessions::run(file, command),
        Command::Clients(command) => clients::run(file, command),
        Command::Users(command) => users::run(file, command),
        Command::GatewayConfig(command) => gateway_config::run(file, &command),
        Command::Healthcheck(arguments) => healthcheck::run(file, &arguments),
        Command::DemoService(arguments) => demo_service::run(arguments),
    }
}

/// Reads the configuration and starts the log as it says.
fn load(file: Option<&std::path::Path>) -> Result<Config, CommandError> {
    let config = Config::load_from_process(file)?.config;
    let format = match config.log.format {
        ConfiguredFormat::Auto => LogFormat::Auto,
        ConfiguredFormat::Json => LogFormat::Json,
        ConfiguredFormat::Pretty => LogFormat::Pretty,
    };
    start_log(format, config.log.level.as_str())?;
    Ok(config)
}

fn start_log(format: LogFormat, level: &str) -> Result<(), CommandError> {
    logging::init(format, level, false).map_err(|error| CommandError::Failed(error.into()))
}

/// The services over the configured database, for a command that changes or reads it.
async fn services(config: &Config) -> Result<Services, CommandError> {
    let services = Services::connect(config, Arc::new(SystemClock::new()))?;
    services.check_schema(config).await?;
    Ok(services)
}

fn block_on<T>(work: impl Future<Output = T>) -> Result<T, CommandError> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    // Listeners have workers of their own; this runtime only carries the database and background tasks.
    let runtime = builder.worker_threads(2).enable_all().build().map_err(|error| CommandError::Failed(error.into()))?;
    Ok(runtime.block_on(work))
}
