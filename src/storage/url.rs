//! Where the database is and how its server proves itself: `database.url`, read with the meaning that libpq gives it.
//!
//! What the driver does not know (`sslmode=verify-full`, certificate files) is taken out here; what would fall back to plain
//! text in silence is refused. The driver's own parse errors never leave this room: they may quote the password.

use std::{fmt, net::IpAddr, path::PathBuf, time::Duration};

use tokio_postgres::{
    Config,
    config::{Host, SslMode as DriverSslMode, SslNegotiation, TargetSessionAttrs},
};
use zeroize::Zeroizing;

use super::connection_string::Parameters;

/// Bounds one attempt to reach one address, unless `connect_timeout` says otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long sent data may stay unacknowledged before the connection is given up, unless `tcp_user_timeout` says otherwise.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(5);

/// How the server must prove itself, in libpq's words (PostgreSQL manual, "SSL Support", "Protection Provided").
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SslMode {
    /// Plain text: unix sockets, loopback, or where it was asked for in writing.
    Disable,
    /// Encrypted, but the server's certificate is not verified: no help against an active attacker.
    Require,
    /// The server's certificate comes from one of `roots`, for whatever name.
    VerifyCa {
        /// A PEM file of certificates.
        roots: PathBuf,
    },
    /// The server's certificate comes from one of `roots`, for the name that was asked for.
    VerifyFull {
        /// Whom to trust.
        roots: RootCertificates,
    },
}

impl SslMode {
    /// The mode's name in a connection string.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Require => "require",
            Self::VerifyCa { .. } => "verify-ca",
            Self::VerifyFull { .. } => "verify-full",
        }
    }
}

/// The authorities that may vouch for the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootCertificates {
    /// The operating system's store.
    System,
    /// A PEM file of certificates.
    File(PathBuf),
}

/// The files of a client certificate, both PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClientCertificate {
    /// The certificate, then its intermediates.
    pub(super) certificate: PathBuf,
    /// Its private key, not encrypted.
    pub(super) key: PathBuf,
}

/// A connection string that was understood; holds the password, and never shows it.
#[derive(Clone)]
pub struct DatabaseUrl {
    config: Config,
    ssl_mode: SslMode,
    client_certificate: Option<ClientCertificate>,
}

/// Why a connection string is refused. No variant holds text from it other than the name of a known parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseUrlError {
    /// The text is not a connection string; says what is wrong, and never quotes it.
    #[error("neither a postgresql:// URL nor key=value pairs: {0}")]
    Malformed(&'static str),
    /// A name that libpq does not know either. It is not repeated: it may be a piece of the password.
    #[error("a parameter has a name that is not known; a password with special characters must be escaped or quoted")]
    UnknownParameter,
    /// A libpq parameter without a counterpart here.
    #[error("the parameter `{0}` is not supported")]
    UnsupportedParameter(&'static str),
    /// The same parameter twice, so that one of the two would be ignored.
    #[error("the parameter `{0}` is given more than once")]
    RepeatedParameter(&'static str),
    /// The value of the named parameter cannot be used.
    #[error("the parameter `{0}` has a value that is not allowed")]
    InvalidValue(&'static str),
    /// There is no default host.
    #[error("no host is given")]
    MissingHost,
    /// `sslmode=allow` or `prefer`.
    #[error(
        "`sslmode` allow and prefer fall back to plain text in silence; \
         use verify-full, verify-ca or require, or write disable"
    )]
    SilentPlaintext,
    /// Anyone can get a certificate from a public authority, so without a check of the name it proves nothing.
    #[error(
        "`sslmode` verify-ca needs a file in `sslrootcert`, and neither it nor require can use the system's root \
         certificates; use verify-full"
    )]
    UnnamedServer,
    /// One of `sslcert` and `sslkey` without the other.
    #[error("`sslcert` and `sslkey` must be given together")]
    HalfClientCertificate,
    /// Postgres speaks no TLS on unix sockets, so such a host could never be reached.
    #[error("a unix socket cannot stand beside hosts that are reached with TLS")]
    SocketBesideTls,
}

impl DatabaseUrl {
    /// Reads a `postgresql://` URL or a libpq `key=value` string.
    ///
    /// Without `sslmode`, unix sockets and loopback hosts are spoken to in plain text, and all others with `verify-full`; one
    /// remote host among several, or a certificate file, asks for `verify-full`. As in libpq, `sslmode` means nothing on unix
    /// sockets, `require` with `sslrootcert` means `verify-ca`, and `tcp_user_timeout` is in milliseconds.
    ///
    /// # Errors
    /// [`DatabaseUrlError`]; its texts are safe to log.
    pub fn parse(text: &str) -> Result<Self, DatabaseUrlError> {
        let mut parameters = Parameters::parse(text)?;
        let written_mode = parameters.take("sslmode");
        let roots = path(parameters.take("sslrootcert"), "sslrootcert")?.map(|path| match path.to_str() {
            Some("system") => RootCertificates::System,
            Some(_) | None => RootCertificates::File(path),
        });
        let client_certificate = match (parameters.take("sslcert"), parameters.take("sslkey")) {
            (None, None) => None,
            (Some(certificate), Some(key)) => path(Some(certificate), "sslcert")?
                .zip(path(Some(key), "sslkey")?)
                .map(|(certificate, key)| ClientCertificate { certificate, key }),
            (Some(_), None) | (None, Some(_)) => return Err(DatabaseUrlError::HalfClientCertificate),
        };
        let asks_for_tls = roots.is_some() || client_certificate.is_some();
        let mut config = driver_config(parameters)?;

        let places: Vec<Place> = places(&config);
        let default = if asks_for_tls || places.contains(&Place::Remote) { "verify-full" } else { "disable" };
        let ssl_mode = match (written_mode.as_ref().map_or(default, |mode| mode.as_str()), roots) {
            ("disable", _) => SslMode::Disable,
            ("require", None) => SslMode::Require,
            ("require" | "verify-ca", Some(RootCertificates::File(roots))) => SslMode::VerifyCa { roots },
            ("require", Some(RootCertificates::System)) | ("verify-ca", None | Some(RootCertificates::System)) => {
                return Err(DatabaseUrlError::UnnamedServer);
            }
            ("verify-full", roots) => SslMode::VerifyFull { roots: roots.unwrap_or(RootCertificates::System) },
            ("allow" | "prefer", _) => return Err(DatabaseUrlError::SilentPlaintext),
            _ => return Err(DatabaseUrlError::InvalidValue("sslmode")),
        };
        let ssl_mode = if places.iter().all(|place| *place == Place::Socket) { SslMode::Disable } else { ssl_mode };
        if ssl_mode != SslMode::Disable && places.contains(&Place::Socket) {
            return Err(DatabaseUrlError::SocketBesideTls);
        }
        config.ssl_mode(match ssl_mode {
            SslMode::Disable => DriverSslMode::Disable,
            SslMode::Require | SslMode::VerifyCa { .. } | SslMode::VerifyFull { .. } => DriverSslMode::Require,
        });
        Ok(Self { config, ssl_mode, client_certificate })
    }

    /// How the server must prove itself.
    #[must_use]
    pub fn ssl_mode(&self) -> &SslMode {
        &self.ssl_mode
    }

    /// Host, port, database, user and `sslmode` on one line, for logs.
    #[must_use]
    pub fn describe(&self) -> String {
        let hosts: Vec<String> = self
            .config
            .get_hosts()
            .iter()
            .map(|host| match host {
                Host::Tcp(name) => name.clone(),
                Host::Unix(path) => path.display().to_string(),
            })
            .collect();
        let ports: Vec<String> = self.config.get_ports().iter().map(u16::to_string).collect();
        format!(
            "host={} port={} dbname={} user={} sslmode={}",
            hosts.join(","),
            if ports.is_empty() { "5432".to_owned() } else { ports.join(",") },
            self.config.get_dbname().or(self.config.get_user()).unwrap_or("(default)"),
            self.config.get_user().unwrap_or("(default)"),
            self.ssl_mode.as_str(),
        )
    }

    /// Whether TLS starts at once, or after the server has agreed to it.
    pub(super) fn ssl_negotiation(&self) -> SslNegotiation {
        self.config.get_ssl_negotiation()
    }

    /// The files of the client certificate, where one is given.
    pub(super) fn client_certificate(&self) -> Option<&ClientCertificate> {
        self.client_certificate.as_ref()
    }

    /// The driver's settings, such that all attempts on all hosts together are likely to fit in `connect_timeout`.
    ///
    /// The driver bounds the attempt on each address only; a caller still bounds the whole.
    pub(super) fn driver_config(&self, connect_timeout: Duration) -> Config {
        let mut config = self.config.clone();
        let hosts = u32::try_from(config.get_hosts().len()).unwrap_or(u32::MAX).max(1);
        let share = connect_timeout / hosts;
        config.connect_timeout(config.get_connect_timeout().map_or(share, |given| share.min(*given)));
        config
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "DatabaseUrl({})", self.describe())
    }
}

/// Where a connection to one of the hosts goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Socket,
    Loopback,
    Remote,
}

fn places(config: &Config) -> Vec<Place> {
    let place_of = |address: IpAddr| if address.to_canonical().is_loopback() { Place::Loopback } else { Place::Remote };
    let mut addresses = config.get_hostaddrs().iter();
    let places = config.get_hosts().iter().map(|host| match (addresses.next(), host) {
        (Some(address), _) => place_of(*address),
        (None, Host::Unix(_)) => Place::Socket,
        (None, Host::Tcp(name)) if name.eq_ignore_ascii_case("localhost") => Place::Loopback,
        (None, Host::Tcp(name)) => name.parse().map_or(Place::Remote, place_of),
    });
    places.collect()
}

/// Everything that the driver understands by itself, checked parameter by parameter so that an error can name the one.
fn driver_config(mut parameters: Parameters) -> Result<Config, DatabaseUrlError> {
    // The driver takes `tcp_user_timeout` in seconds, libpq in milliseconds.
    let tcp_user_timeout = match parameters.take("tcp_user_timeout") {
        None => TCP_USER_TIMEOUT,
        Some(text) => {
            Duration::from_millis(text.parse().map_err(|_| DatabaseUrlError::InvalidValue("tcp_user_timeout"))?)
        }
    };
    if parameters.take("target_session_attrs").is_some_and(|wish| !["read-write", "primary"].contains(&wish.as_str())) {
        return Err(DatabaseUrlError::InvalidValue("target_session_attrs"));
    }
    if let Some(count) = parameters.take("keepalives_count") {
        parameters.add("keepalives_retries", count)?;
    }
    for (name, default) in [
        ("application_name", "ephemint"),
        ("keepalives_idle", "10"),
        ("keepalives_interval", "2"),
        ("keepalives_retries", "3"),
    ] {
        if !parameters.contains(name) {
            parameters.add(name, default.to_owned().into())?;
        }
    }
    if !parameters.contains("host") {
        let address = parameters.iter().find(|(name, _)| *name == "hostaddr").map(|(_, value)| value.to_owned());
        parameters.add("host", address.ok_or(DatabaseUrlError::MissingHost)?.into())?;
    }

    let mut text = Zeroizing::new(String::new());
    for (name, value) in parameters.iter() {
        let value = Zeroizing::new(value.replace('\\', "\\\\").replace('\'', "\\'"));
        let pair = Zeroizing::new(format!(" {name}='{}'", value.as_str()));
        pair.parse::<Config>().map_err(|_| DatabaseUrlError::InvalidValue(name))?;
        text.push_str(&pair);
    }
    let mut config: Config =
        text.parse().map_err(|_| DatabaseUrlError::Malformed("the parameters do not fit together"))?;

    let hosts = config.get_hosts();
    if hosts.contains(&Host::Tcp(String::new())) {
        return Err(DatabaseUrlError::InvalidValue("host"));
    }
    if ![0, hosts.len()].contains(&config.get_hostaddrs().len()) {
        return Err(DatabaseUrlError::InvalidValue("hostaddr"));
    }
    if ![0, 1, hosts.len()].contains(&config.get_ports().len()) {
        return Err(DatabaseUrlError::InvalidValue("port"));
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_TIMEOUT);
    }
    if !tcp_user_timeout.is_zero() {
        config.tcp_user_timeout(tcp_user_timeout);
    }
    config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    Ok(config)
}

fn path(value: Option<Zeroizing<String>>, name: &'static str) -> Result<Option<PathBuf>, DatabaseUrlError> {
    match value {
        Some(path) if path.is_empty() => Err(DatabaseUrlError::InvalidValue(name)),
        Some(path) => Ok(Some(PathBuf::from(path.as_str()))),
        None => Ok(None),
    }
}

#[cfg(test)]
#[path = "url_tests.rs"]
mod tests;
