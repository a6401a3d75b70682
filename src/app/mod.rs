//! The only wiring: from a configuration and a clock to three listeners that answer.

pub mod background;
mod descriptors;
mod parts;
pub mod services;
mod supervisor;

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use actix_server::{Server, ServerHandle};

use crate::{
    clock::Clock,
    config::{Config, HttpConfig, ShutdownConfig},
    http::{
        drain::Drain,
        listeners::{admin_app, gateway_app, public_app},
        pages::{Pages, PagesError},
        server::{self, ConnectionLimits, Door},
        state::{AppState, CookieRules, RequestLimits, Shared},
    },
    telemetry::{error_chain::ErrorChain, logging},
    version,
};
use background::Background;
use descriptors::connections_per_listener;
use services::{Services, ServicesError};
use supervisor::Progress;

/// How long a client may leave a written answer untaken.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long connections that have just been accepted are served on, after the last one was and before the listener stops.
const SETTLE: Duration = Duration::from_millis(500);
/// How long the admin listener may take after the others have gone: a last scrape, no more.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Why the service does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A part that the listeners need is not usable.
    #[error(transparent)]
    Services(#[from] ServicesError),
    /// A page cannot be shown.
    #[error("the pages cannot be shown")]
    Pages(#[from] PagesError),
    /// A listener's address is not to be had.
    #[error("{listener} cannot listen on {address}; is another process using it?")]
    Bind {
        /// The setting.
        listener: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A listener could not be served.
    #[error("a listener could not be started")]
    Serve(#[source] io::Error),
}

/// Where the listeners are, with the ports that the system chose where the configuration says 0.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// For browsers.
    pub public: SocketAddr,
    /// For proxies and services.
    pub gateway: SocketAddr,
    /// For operators and trusted back ends.
    pub admin: SocketAddr,
}

/// A service that is ready to run: migrated, with keys, its sockets bound.
pub struct Application {
    services: Services,
    state: AppState,
    addresses: Addresses,
    public: Server,
    gateway: Server,
    admin: Server,
    doors: [Door; 3],
    drain: Drain,
    shutdown: ShutdownConfig,
    poll_interval: Duration,
    follow_interval: Duration,
}

impl Application {
    /// Prepares everything that must hold before the first request: schema, keys, sockets.
    ///
    /// # Errors
    /// [`StartError`] names what is in the way; nothing runs then.
    pub async fn build(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, StartError> {
        let pages = Arc::new(Pages::load(&config.pages, &config.public.origin)?);
        // Bound last: a client is refused rather than kept waiting while the schema is brought up to date.
        let services = Services::prepare(config, clock).await?;
        let public = bind("public.listen", config.public.listen)?;
        let gateway = bind("gateway.listen", config.gateway.listen)?;
        let admin = bind("admin.listen", config.admin.listen)?;
        let addresses = Addresses {
            public: public.local_addr().map_err(StartError::Serve)?,
            gateway: gateway.local_addr().map_err(StartError::Serve)?,
            admin: admin.local_addr().map_err(StartError::Serve)?,
        };
        let door = |listener| Door::of(listener).map_err(StartError::Serve);
        let doors = [door(&public)?, door(&gateway)?, door(&admin)?];
        let poll_interval = services.keys.rules().effective_poll_interval();
        let drain = Drain::new();
        let state = state(config, &services, pages, &drain);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let gateway_workers = if config.gateway.workers == 0 { cores } else { config.gateway.workers };
        // Each of the gateway's workers has one of its own.
        let database = config.database.pool_size + config.database.operations_pool_size + gateway_workers;
        let max_connections = connections_per_listener(config.http.max_connections, 3, database);
        let limits = |workers| limits(&config.http, config.shutdown.timeout, workers, max_connections);

        let cookie_key = services.vault.cookie_key();
        let public_state = state.clone();
        let public_factory = move || public_app(public_state.clone(), cookie_key);
        let gateway_state = state.clone();
        let gateway_factory = move || gateway_app(gateway_state.clone());
        let admin_state = state.clone();
        let admin_factory = move || admin_app(admin_state.clone());
        Ok(Self {
            public: server::start(public, "public", limits(cores), drain.clone(), public_factory)
                .map_err(StartError::Serve)?,
            gateway: server::start(gateway, "gateway", limits(gateway_workers), drain.clone(), gateway_factory)
                .map_err(StartError::Serve)?,
            admin: server::start(admin, "admin", limits(1), drain.clone(), admin_factory).map_err(StartError::Serve)?,
            doors,
            services,
            state,
            addresses,
            drain,
            shutdown: config.shutdown.clone(),
            poll_interval,
            follow_interval: config.exchange.poll_interval,
        })
    }

    /// Where the listeners are.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// What the handlers share.
    #[must_use]
    pub fn state(&self) -> &AppState {
        &self.state
    }

    /// The services behind the handlers.
    #[must_use]
    pub fn services(&self) -> &Services {
        &self.services
    }

    /// Serves until `stop` is ready, then leaves in good order.
    ///
    /// The way out: readiness says no and every answer asks its client to close; after the drain period the public and the
    /// gateway listener finish what is in flight; pending last-seen times are written; the admin listener goes last, so that a
    /// final scrape sees it all.
    ///
    /// # Errors
    /// When a listener fails while it serves.
    pub async fn run(self, stop: impl Future<Output = ()>) -> io::Result<()> {
        let background = Background::start(&self.services, self.poll_interval, self.follow_interval);
        let handles = [self.public.handle(), self.gateway.handle()];
        let admin_handle = self.admin.handle();
        tracing::info!(
            version = version::VERSION,
            commit = version::COMMIT,
            public = %self.addresses.public,
            gateway = %self.addresses.gateway,
            admin = %self.addresses.admin,
            "ephemint is ready"
        );
        supervisor::tell(Progress::Ready);
        let mut serving = tokio::spawn(async move { tokio::try_join!(self.public, self.gateway).map(drop) });
        let mut administering = tokio::spawn(self.admin);
        let failed = tokio::select! {
            () = stop => None,
            ended = &mut serving => Some(flatten(ended)),
            ended = &mut administering => Some(flatten(ended)),
        };
        if let Some(failed) = failed {
            // A listener that ends by itself takes the process with it; a supervisor starts it anew.
            background.stop().await;
            return failed.and(Err(io::Error::other("a listener ended by itself")));
        }
        tracing::info!(drain_seconds = self.shutdown.drain.as_secs_f64(), "stopping: draining connections");
        supervisor::tell(Progress::Stopping);
        self.drain.begin();
        tokio::time::sleep(self.shutdown.drain).await;
        logging::expect_closed_listeners();
        let settle = SETTLE.min(self.shutdown.drain);
        let [public_door, gateway_door, admin_door] = self.doors;
        close(&public_door, &handles[0]).await;
        close(&gateway_door, &handles[1]).await;
        tokio::time::sleep(settle).await;
        let [public, gateway] = handles;
        tokio::join!(stop_gracefully(public, self.shutdown.timeout), stop_gracefully(gateway, self.shutdown.timeout));
        background.stop().await;
        if let Err(error) = self.services.registry.leave().await {
            tracing::debug!(error = %ErrorChain(&error), "the other replicas were not told of the stop");
        }
        if let Err(error) = self.services.activity.flush().await {
            tracing::warn!(error = %ErrorChain(&error), "last-seen times were not written before the stop");
        }
        close(&admin_door, &admin_handle).await;
        tokio::time::sleep(settle).await;
        stop_gracefully(admin_handle, LAST_WORDS).await;
        self.services.lookups.close();
        self.services.database.close();
        tracing::info!("stopped");
        Ok(())
    }
}

async fn close(door: &Door, handle: &ServerHandle) {
    if let Err(error) = door.close(handle).await {
        tracing::warn!(error = %ErrorChain(&error), "a listener goes on accepting until it stops");
    }
}

async fn stop_gracefully(handle: ServerHandle, timeout: Duration) {
    // The server bounds the wait itself, in whole seconds; this bounds the server.
    if tokio::time::timeout(timeout + Duration::from_secs(1), handle.stop(true)).await.is_err() {
        tracing::warn!("a listener did not stop in time");
    }
}

fn flatten(ended: Result<io::Result<()>, tokio::task::JoinError>) -> io::Result<()> {
    ended.unwrap_or_else(|error| Err(io::Error::other(error)))
}

fn bind(listener: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    server::bind(address).map_err(|source| StartError::Bind { listener, address, source })
}

fn limits(http: &HttpConfig, shutdown_timeout: Duration, workers: usize, max_connections: usize) -> ConnectionLimits {
    ConnectionLimits {
        head_timeout: http.head_timeout,
        keep_alive: http.keep_alive,
        write_timeout: WRITE_TIMEOUT,
        max_connections,
        workers,
        shutdown_timeout,
    }
}

fn state(config: &Config, services: &Services, pages: Arc<Pages>, drain: &Drain) -> AppState {
    AppState::new(Shared {
        clock: Arc::clone(&services.clock),
        metrics: services.metrics.clone(),
        lookups: services.lookups.clone(),
        database: services.database.clone(),
        sessions: Arc::clone(&services.sessions),
        exchange: Arc::clone(&services.exchange),
        revocations: Arc::clone(&services.revocations),
        keys: Arc::clone(&services.keys),
        clients: Arc::clone(&services.clients),
        pages,
        accounts: Arc::clone(&services.accounts),
        issuer: services.issuer.clone(),
        algorithms: services.keys.rules().algorithms.clone(),
        origin: config.public.origin.as_str().to_owned(),
        cookie: CookieRules {
            name: config.session.cookie_name.clone(),
            same_site: config.session.same_site.as_str(),
            persistent: config.session.persistent,
        },
        limits: RequestLimits {
            max_head: config.http.max_head,
            max_body: config.http.max_body,
            body_timeout: config.http.body_timeout,
        },
        trusted_proxies: config.gateway.trusted_proxies.clone(),
        drain: drain.clone(),
    })
}
