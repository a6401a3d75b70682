//! `ephemint dev`: everything on this machine, with nothing to configure.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use clap::Args;

use super::{CommandError, block_on, output::print_line, serve::stop_signal};
use crate::{
    app::{Application, StartError},
    clock::SystemClock,
    config::Config,
    dev::{
        demo_account,
        environment::{Directory, Secrets},
        gateway::{self, Gateway},
        gateway_config::{self, NginxAddresses},
        postgres::{Durability, EmbeddedPostgres, Options},
        supervisor::{Program, Supervised},
        walkthrough::Walkthrough,
    },
    domain::client::Scope,
    storage::{migrate, url::DatabaseUrl},
    telemetry::logging::{self, LogFormat},
};

/// The one audience of the demonstration.
const AUDIENCE: &str = "demo";
const DATABASE: &str = "ephemint";
/// How long a part may take to stop.
const STOP: Duration = Duration::from_secs(5);
/// How often it is checked that Postgres still runs.
const WATCH: Duration = Duration::from_millis(500);

/// Where things are.
#[derive(Debug, Args)]
pub(super) struct DevArguments {
    /// Where the development database and its secrets are kept.
    #[arg(long, value_name = "DIR", default_value = ".ephemint")]
    data_dir: PathBuf,
    /// Keep nothing: a new database, gone at the end.
    #[arg(long, conflicts_with = "data_dir")]
    ephemeral: bool,
    /// The demo gateway (nginx), where nginx is installed.
    #[arg(long, value_name = "ADDRESS", value_parser = loopback, default_value = "127.0.0.1:8000")]
    front: SocketAddr,
    /// The public listener.
    #[arg(long, value_name = "ADDRESS", value_parser = loopback, default_value = "127.0.0.1:8080")]
    public: SocketAddr,
    /// The gateway listener.
    #[arg(long, value_name = "ADDRESS", value_parser = loopback, default_value = "127.0.0.1:8081")]
    gateway: SocketAddr,
    /// The admin listener.
    #[arg(long, value_name = "ADDRESS", value_parser = loopback, default_value = "127.0.0.1:9090")]
    admin: SocketAddr,
    /// The demo microservice.
    #[arg(long, value_name = "ADDRESS", value_parser = loopback, default_value = "127.0.0.1:8090")]
    service: SocketAddr,
    /// Show the service's log.
    #[arg(long)]
    log: bool,
}

/// An address that nobody but this machine reaches: everybody knows the demo account's password.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|_| "an address and a port, such as 127.0.0.1:8000".to_owned())?;
    if address.ip().to_canonical().is_loopback() {
        Ok(address)
    } else {
        Err("the demonstration stays on loopback: its account has a password that everybody knows".to_owned())
    }
}

pub(super) fn run(arguments: DevArguments) -> Result<(), CommandError> {
    logging::init(LogFormat::Auto, "info", !arguments.log).map_err(|error| CommandError::Failed(error.into()))?;
    block_on(dev(arguments))?.map_err(CommandError::Failed)
}

async fn dev(arguments: DevArguments) -> anyhow::Result<()> {
    // Asked for first, so that an early Ctrl-C leaves in good order as well.
    let stop = stop_signal().context("signals cannot be listened for")?;
    let directory = if arguments.ephemeral { Directory::temporary()? } else { Directory::kept(&arguments.data_dir)? };
    let durability = if arguments.ephemeral { Durability::ThrowAway } else { Durability::Durable };
    let options = Options { directory: directory.path().to_owned(), durability, binaries: None };
    let mut postgres = tokio::task::spawn_blocking(move || EmbeddedPostgres::start(&options)).await??;
    let secrets = Secrets::read_or_make(directory.path())?;

    let maintenance = DatabaseUrl::parse(&postgres.url("postgres"))?;
    migrate::ensure_database(&maintenance, DATABASE, STOP).await?;
    let nginx = gateway::find();
    let origin = format!("http://{}", if nginx.is_some() { arguments.front } else { arguments.public });
    let config = Config::from_toml(&settings(&arguments, &origin, &postgres.url(DATABASE), &secrets))?;
    let application = match Application::build(&config, Arc::new(SystemClock::new())).await {
        Ok(application) => application,
        Err(StartError::Bind { listener, address, source }) => {
            let option = listener.split('.').next().unwrap_or(listener);
            return Err(source).context(format!(
                "the {option} listener cannot use {address}: stop the process that has it (ss -ltnp shows it), or choose another \
                 address with --{option}"
            ));
        }
        Err(error) if arguments.ephemeral => return Err(error.into()),
        Err(error) => {
            let kept = directory.path().display();
            return Err(error).context(format!("the data in {kept} cannot be used; delete it to start afresh"));
        }
    };
    let client_secret = client_secret(&application, directory.path()).await?;
    demo_account::ensure(&application.services().accounts).await?;

    let mut service = start_service(&arguments, &origin, directory.path())?;
    // nginx asks the listeners at its first request only, so it may start before they answer.
    let gateway = match nginx {
        Some(program) => Some(start_gateway(&arguments, program, directory.path().join("gateway")).await?),
        None => None,
    };

    let walkthrough = Walkthrough {
        front: gateway.is_some().then_some(arguments.front),
        public: arguments.public,
        gateway: arguments.gateway,
        admin: arguments.admin,
        service: arguments.service,
        postgres: postgres.version().to_owned(),
        data: if arguments.ephemeral { None } else { Some(directory.path().to_owned()) },
        relocated: postgres.relocated().map(Path::to_owned),
        client_secret,
    };
    print_line(&walkthrough.to_string());

    let mut postgres_ended = false;
    let watching = async {
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => return,
                () = tokio::time::sleep(WATCH) => {
                    if !matches!(postgres.try_wait(), Ok(None)) {
                        postgres_ended = true;
                        return;
                    }
                }
            }
        }
    };
    let ran = application.run(watching).await;
    let postgres_log = postgres.log();
    if let Some(gateway) = gateway {
        gateway.stop()?;
    }
    service.stop(STOP)?;
    postgres.stop()?;
    ran.context("the service failed")?;
    anyhow::ensure!(!postgres_ended, "Postgres ended by itself; its log is {}", postgres_log.display());
    Ok(())
}

fn settings(arguments: &DevArguments, origin: &str, database_url: &str, secrets: &Secrets) -> String {
    format!(
        "[public]\nlisten = \"{public}\"\norigin = \"{origin}\"\n\
         [gateway]\nlisten = \"{gateway}\"\n\
         [admin]\nlisten = \"{admin}\"\n\
         [database]\nurl = \"{database_url}\"\n\
         [secrets]\nmaster_key = \"{master_key}\"\n\
         [exchange]\ndefault_audience = \"{AUDIENCE}\"\n\
         [http]\nmax_connections = 200\n\
         [shutdown]\ndrain = \"0s\"\ntimeout = \"5s\"\n\
         [[audience]]\nname = \"{AUDIENCE}\"\nclaims = [\"role\"]\n",
        public = arguments.public,
        gateway = arguments.gateway,
        admin = arguments.admin,
        master_key = secrets.master_key(),
    )
}

/// The secret of the demonstration's back end: the kept one where it still works, a new one otherwise.
async fn client_secret(application: &Application, directory: &Path) -> anyhow::Result<String> {
    const NAME: &str = "demo-backend";
    let file = directory.join("client.secret");
    let clients = &application.services().clients;
    if let Ok(kept) = std::fs::read_to_string(&file)
        && clients.authenticate(kept.trim().as_bytes()).await?.is_some()
    {
        return Ok(kept.trim().to_owned());
    }
    let known = clients.list().await?.into_iter().any(|client| client.name == NAME);
    let (_, secret) = if known { clients.rotate(NAME).await? } else { clients.add(NAME, Scope::ALL.to_vec()).await? };
    crate::dev::environment::write_secret(&file, &secret.expose())?;
    Ok(secret.expose())
}

fn start_service(arguments: &DevArguments, origin: &str, directory: &Path) -> anyhow::Result<Supervised> {
    let program = Program::new(std::env::current_exe()?).arguments([
        "demo-service".to_owned(),
        "--listen".to_owned(),
        arguments.service.to_string(),
        "--key-set-url".to_owned(),
        format!("http://{}/.well-known/jwks.json", arguments.gateway),
        "--issuer".to_owned(),
        origin.to_owned(),
        "--audience".to_owned(),
        AUDIENCE.to_owned(),
    ]);
    Supervised::spawn(&program, &directory.join("microservice.log")).context("the demo microservice cannot be started")
}

async fn start_gateway(arguments: &DevArguments, program: PathBuf, directory: PathBuf) -> anyhow::Result<Gateway> {
    let config = gateway_config::nginx_with_demo_page(&NginxAddresses {
        listen: arguments.front,
        public: arguments.public,
        gateway: arguments.gateway,
        application: arguments.service,
        audience: AUDIENCE,
    });
    let options = gateway::Options { directory, config, listen: arguments.front, program: Some(program) };
    let started = tokio::task::spawn_blocking(move || Gateway::start(&options)).await?;
    started.context("the demo gateway cannot be started; --front chooses another address for it")
}
