//! What handlers may hold.

use std::{sync::Arc, time::Duration};

use ipnet::IpNet;

use crate::{
    clock::Clock,
    domain::audience::Algorithm,
    http::{drain::Drain, pages::Pages},
    service::{
        accounts::Accounts, clients::Clients, exchange::Exchange, exchange::IssuerRules, keys::Keys,
        revocations::Revocations, sessions::Sessions,
    },
    storage::run::Database,
    telemetry::metrics::Metrics,
};

/// Everything that the listeners share. Cloned cheaply.
#[derive(Debug, Clone)]
pub struct AppState(Arc<Shared>);

/// The parts of [`AppState`].
#[derive(Debug)]
pub struct Shared {
    /// Reads the present for headers and log lines.
    pub clock: Arc<dyn Clock>,
    /// Counts.
    pub metrics: Metrics,
    /// Asked for readiness and pool figures only.
    pub database: Database,
    /// Asked for pool figures only.
    pub lookups: Database,
    /// The sessions.
    pub sessions: Arc<Sessions>,
    /// The exchange.
    pub exchange: Arc<Exchange>,
    /// The feed of revocations.
    pub revocations: Arc<Revocations>,
    /// The signing keys.
    pub keys: Arc<Keys>,
    /// The service credentials.
    pub clients: Arc<Clients>,
    /// The pages that people meet.
    pub pages: Arc<Pages>,
    /// The password accounts.
    pub accounts: Arc<Accounts>,
    /// Who issues tokens, with what.
    pub issuer: IssuerRules,
    /// The algorithms that have an issuer.
    pub algorithms: Vec<Algorithm>,
    /// Where people reach the public listener: scheme, host and port.
    pub origin: String,
    /// Session cookie rules.
    pub cookie: CookieRules,
    /// Limits of a request.
    pub limits: RequestLimits,
    /// Proxies whose forwarding headers describe the client.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether the process is on its way out.
    pub drain: Drain,
}

/// How the session cookie is called and written (RFC 6265bis §4.1).
#[derive(Debug, Clone)]
pub struct CookieRules {
    /// Its name, with the `__Host-` prefix.
    pub name: String,
    /// `Lax` or `Strict`.
    pub same_site: &'static str,
    /// Whether the cookie outlives the browser, until the session's absolute end.
    pub persistent: bool,
}

impl CookieRules {
    /// The `Set-Cookie` value that gives a browser a session with this time left to live.
    #[must_use]
    pub fn set(&self, token: &str, left: time::Duration) -> String {
        let max_age =
            if self.persistent { format!("; Max-Age={}", left.whole_seconds().max(0)) } else { String::new() };
        format!("{}={token}; Path=/; Secure; HttpOnly; SameSite={}{max_age}", self.name, self.same_site)
    }

    /// The `Set-Cookie` value that takes it away.
    #[must_use]
    pub fn clear(&self) -> String {
        format!("{}=; Path=/; Secure; HttpOnly; SameSite={}; Max-Age=0", self.name, self.same_site)
    }
}

/// How much of a request is accepted.
#[derive(Debug, Clone, Copy)]
pub struct RequestLimits {
    /// Bytes of the request line and headers.
    pub max_head: usize,
    /// Bytes of a body.
    pub max_body: usize,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
}

impl AppState {
    /// Shares the parts.
    #[must_use]
    pub fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }
}

impl std::ops::Deref for AppState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}
