//! The configuration: what can be set, where it is read from, and every reason to refuse it.
//!
//! A TOML file is overridden by variables `EPHEMINT__SECTION__KEY`; secrets may come from files named by `…__FILE`
//! variables. All faults are collected and reported together. Each section has a file with its rows of the table of settings
//! ([`settings`]), its type and its rules; nothing here starts anything or opens a connection.

mod admin;
mod audiences;
mod database;
mod exchange;
mod fault;
mod file;
mod gateway;
mod hooks;
mod http;
mod keys;
mod layers;
mod log;
mod login;
mod origin;
mod pages;
mod password;
mod public;
mod reader;
mod revocations;
mod secret;
mod secrets;
mod session;
mod setting;
mod shutdown;
mod suggest;
mod token;
mod value;
mod variable;

use std::{ffi::OsString, net::SocketAddr, path::Path};

pub use self::{
    admin::AdminConfig,
    database::{DatabaseConfig, Pooler},
    exchange::ExchangeConfig,
    fault::{ConfigError, Fault, Problem, Source},
    gateway::GatewayConfig,
    hooks::{HooksConfig, Receiver},
    http::HttpConfig,
    keys::KeysConfig,
    log::{LogConfig, LogFormat, LogLevel},
    login::LoginConfig,
    origin::{Issuer, Origin},
    pages::PagesConfig,
    password::PasswordConfig,
    public::PublicConfig,
    reader::ShownSetting,
    revocations::RevocationsConfig,
    secret::Secret,
    secrets::{MASTER_KEY_LENGTH, MasterKey, SecretsConfig},
    session::{SameSite, SessionConfig},
    setting::{DefaultValue, SettingDoc, Shape, settings},
    shutdown::ShutdownConfig,
    token::TokenConfig,
};
use self::{layers::Layers, reader::Reader};
use crate::domain::audience::{AudienceName, AudiencePolicy};

/// The whole configuration, checked and resolved.
#[derive(Debug)]
pub struct Config {
    /// The listener for browsers.
    pub public: PublicConfig,
    /// The listener for proxies and services.
    pub gateway: GatewayConfig,
    /// The listener for operators and trusted back ends.
    pub admin: AdminConfig,
    /// Limits of every listener.
    pub http: HttpConfig,
    /// How the service stops.
    pub shutdown: ShutdownConfig,
    /// How Postgres is reached.
    pub database: DatabaseConfig,
    /// The master keys.
    pub secrets: SecretsConfig,
    /// How long sessions live and how browsers carry them.
    pub session: SessionConfig,
    /// Whose pages people see.
    pub pages: PagesConfig,
    /// What hashing a password costs.
    pub password: PasswordConfig,
    /// How attempts to sign in are throttled.
    pub login: LoginConfig,
    /// What access tokens are like.
    pub token: TokenConfig,
    /// The core act's limits.
    pub exchange: ExchangeConfig,
    /// The feed of revocations that services follow.
    pub revocations: RevocationsConfig,
    /// The rhythm of signing keys.
    pub keys: KeysConfig,
    /// The webhook that security events are sent to.
    pub hooks: HooksConfig,
    /// What is logged, and in which form.
    pub log: LogConfig,
    /// Who tokens are for, by unique name, in the order of their declaration.
    pub audiences: Vec<AudiencePolicy>,
}

/// A configuration, and how it came about.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Every effective setting in the order of [`settings`], secrets masked.
    pub shown: Vec<ShownSetting>,
}

impl Config {
    /// Reads `file`, where one is given, and the variables in `environment` that start with `EPHEMINT__`, over the defaults.
    ///
    /// # Errors
    /// [`ConfigError`] with every fault that was found.
    pub fn load<K: Into<OsString>, V: Into<OsString>>(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Loaded, ConfigError> {
        let mut layers = Layers::new();
        if let Some(path) = file {
            layers.file(path);
        }
        layers.environment(environment);
        read(layers)
    }

    /// [`Config::load`] with the environment of this process.
    ///
    /// # Errors
    /// [`ConfigError`] with every fault that was found.
    pub fn load_from_process(file: Option<&Path>) -> Result<Loaded, ConfigError> {
        Self::load(file, std::env::vars_os())
    }

    /// Reads a TOML text alone, for programs that make their own configuration.
    ///
    /// # Errors
    /// [`ConfigError`] with every fault that was found.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        let mut layers = Layers::new();
        layers.toml(text, &Source::Text);
        read(layers).map(|loaded| loaded.config)
    }

    /// The policy of the audience of that name.
    #[must_use]
    pub fn audience(&self, name: &AudienceName) -> Option<&AudiencePolicy> {
        self.audiences.iter().find(|audience| audience.name == *name)
    }
}

fn read(layers: Layers) -> Result<Loaded, ConfigError> {
    let mut reader = Reader::new(layers.finish());
    let config = sections(&mut reader);
    match (config, reader.finish()) {
        (Some(config), (shown, faults)) if faults.is_empty() => Ok(Loaded { config, shown }),
        (_, (_, faults)) => Err(ConfigError { faults }),
    }
}

/// Reads every section before it looks at any result, so that all faults are found.
fn sections(reader: &mut Reader) -> Option<Config> {
    let public = public::read(reader);
    let gateway = gateway::read(reader);
    let admin = admin::read(reader);
    if let (Some(public), Some(gateway), Some(admin)) = (&public, &gateway, &admin) {
        apart(reader, public.listen, gateway.listen, admin.listen);
    }
    let http = http::read(reader);
    let shutdown = shutdown::read(reader);
    let database = database::read(reader);
    let secrets = secrets::read(reader);
    let mut session = session::read(reader);
    let pages = pages::read(reader);
    let password = password::read(reader);
    let login = login::read(reader);
    let token = token::read(reader, public.as_ref().map(|public| &public.origin));
    let exchange = exchange::read(reader);
    let revocations = revocations::read(reader);
    let gateway_cache = exchange.as_ref().map(|exchange| exchange.gateway_cache);
    if let (Some(session), Some(gateway_cache)) = (&mut session, gateway_cache) {
        session::allow_for(reader, session, gateway_cache);
    }
    let keys = keys::read(reader);
    let hooks = hooks::read(reader);
    let log = log::read(reader);
    let audiences = audiences::read(reader, token.ttl, token.algorithm);
    exchange::fits_tokens(reader, gateway_cache, token.ttl, audiences.as_deref());
    Some(Config {
        public: public?,
        gateway: gateway?,
        admin: admin?,
        http: http?,
        shutdown: shutdown?,
        database: database?,
        secrets: secrets?,
        session: session?,
        pages: pages?,
        password: password?,
        login: login?,
        token: token.complete()?,
        exchange: exchange?,
        revocations: revocations?,
        keys: keys?,
        hooks: hooks?,
        log: log?,
        audiences: audiences?,
    })
}

/// Demands an address of its own for each listener; port 0 lets the system choose one.
fn apart(reader: &mut Reader, public: SocketAddr, gateway: SocketAddr, admin: SocketAddr) {
    let listeners = [("public.listen", public), ("gateway.listen", gateway), ("admin.listen", admin)];
    for (position, (key, address)) in listeners.iter().enumerate() {
        if let Some((other, _)) = listeners[..position].iter().find(|(_, taken)| taken == address && taken.port() != 0)
        {
            reader
                .combination(key, format!("{other} has {address} already; each listener needs an address of its own"));
        }
    }
}

#[cfg(test)]
mod tests;
