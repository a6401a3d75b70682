//! The pool of database connections, where every wait has a bound, and single connections for migrations.
//!
//! Every connection is to a server that takes writes: a replica cannot be asked whether a session is revoked.

use std::{
    error::Error,
    fmt, io,
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use deadpool_postgres::{
    BuildError, Hook, HookError, Manager, ManagerConfig, Object, PoolError as DeadpoolError, RecyclingMethod, Runtime,
    TimeoutType, Timeouts,
};
use tokio::{runtime::Handle, task::JoinHandle, time::timeout};
use tokio_postgres::{Client, Config, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{
    at_home::AtHome,
    tls::{self, TlsError},
    url::DatabaseUrl,
};

/// A connection on loan; it returns to the pool when dropped.
pub type PooledConnection = Object;

/// What the hook says of a server in recovery; deadpool carries it as text.
const IN_RECOVERY: &str = "the server is in recovery";

/// Size and bounds of a pool.
#[derive(Debug, Clone, Copy)]
pub struct PoolOptions {
    /// How many connections there may be at once.
    pub size: NonZeroUsize,
    /// Bounds the making of one connection: name, socket, TLS, authentication and settings together.
    pub connect_timeout: Duration,
    /// Bounds the wait for a connection that others hold.
    pub wait_timeout: Duration,
    /// After how long the server gives a statement up. Waits for a lock are given half of it.
    pub query_timeout: Duration,
    /// What stands between.
    pub between: Between,
}

/// What stands between the pool and the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Between {
    /// Nothing that matters: a connection is to the same server process for as long as it lasts.
    Nothing,
    /// A pooler in transaction mode: a connection may be to another server process in each transaction.
    TransactionPooler,
}

/// A pool of connections to one database; clones share it.
#[derive(Clone)]
pub struct Pool {
    connections: deadpool_postgres::Pool,
    home: Handle,
    get_timeout: Duration,
    recipe: Arc<Recipe>,
    /// Pools on other runtimes that were made from this one, and are counted with it.
    branches: Arc<Mutex<Vec<deadpool_postgres::Pool>>>,
    /// Another pool to the same server.
    beside: Option<Arc<Pool>>,
}

/// What connections are made of.
struct Recipe {
    config: Config,
    tls: MakeRustlsConnect,
    options: PoolOptions,
}

/// Why a pool could not be set up; nothing was sent to the database yet.
#[derive(Debug, thiserror::Error)]
pub enum PoolSetupError {
    /// TLS could not be set up.
    #[error("TLS to the database cannot be set up")]
    Tls(#[from] TlsError),
    /// There is no runtime to keep time.
    #[error("the connection pool cannot be built")]
    Build(#[from] BuildError),
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// All connections stayed in use for the whole wait.
    #[error("no database connection became free in time")]
    Timeout,
    /// A connection could not be made, or not in time.
    #[error("the database cannot be reached")]
    Connect(#[source] Box<dyn Error + Send + Sync>),
    /// The pool was closed.
    #[error("the connection pool is closed")]
    Closed,
    /// The server is a replica, or refuses writes for another reason.
    #[error("the database server takes no writes")]
    ReadOnlyServer,
}

/// How a pool is doing, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolStatus {
    /// Connections that exist.
    pub size: usize,
    /// Connections that nobody uses.
    pub available: usize,
    /// Callers that wait for a connection.
    pub waiting: usize,
}

impl Pool {
    /// Sets up an empty pool; connections are made when they are asked for, and live on the runtime of this call.
    ///
    /// # Errors
    /// [`PoolSetupError`] when a certificate file cannot be used, or there is no runtime.
    pub fn new(url: &DatabaseUrl, options: PoolOptions) -> Result<Self, PoolSetupError> {
        Self::build(Recipe { config: url.driver_config(options.connect_timeout), tls: tls::connector(url)?, options })
    }

    /// One connection more to the same server, for the runtime of this call and nobody else. It counts as one of this pool's,
    /// beyond its size. Close it before that runtime ends.
    ///
    /// # Errors
    /// [`PoolSetupError::Build`] when there is no runtime.
    pub fn branch(&self) -> Result<Self, PoolSetupError> {
        let options = PoolOptions { size: NonZeroUsize::MIN, ..self.recipe.options };
        let Recipe { config, tls, .. } = &*self.recipe;
        let branch = Self::build(Recipe { config: config.clone(), tls: tls.clone(), options })?;
        let mut branches = self.branches.lock().unwrap_or_else(PoisonError::into_inner);
        branches.retain(|branch| !branch.is_closed());
        branches.push(branch.connections.clone());
        Ok(branch.beside(self))
    }

    fn build(recipe: Recipe) -> Result<Self, PoolSetupError> {
        let home = Handle::try_current().map_err(|_| BuildError::NoRuntimeSpecified)?;
        let Recipe { config, tls, options } = &recipe;
        // Fast recycling makes no round trip: a dead connection shows in the first statement.
        let fast = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(config.clone(), tls.clone(), fast);
        let settings = settings(*options);
        let connections = deadpool_postgres::Pool::builder(manager)
            .max_size(options.size.get())
            .runtime(Runtime::Tokio1)
            .timeouts(Timeouts {
                wait: Some(options.wait_timeout),
                create: Some(options.connect_timeout),
                recycle: Some(options.connect_timeout),
            })
            .post_create(Hook::async_fn(move |connection, _| {
                let settings = settings.clone();
                Box::pin(async move { prepare(connection, &settings).await })
            }))
            .build()?;
        let get_timeout = options.wait_timeout + options.connect_timeout;
        Ok(Self { connections, home, get_timeout, recipe: Arc::new(recipe), branches: Arc::default(), beside: None })
    }

    /// Takes a free connection, makes one where there may be more, or waits.
    ///
    /// Returns within `wait_timeout` and `connect_timeout` together. A connection that the server has closed meanwhile can
    /// be handed out once; its first statement fails.
    ///
    /// # Errors
    /// [`PoolError`].
    pub async fn get(&self) -> Result<PooledConnection, PoolError> {
        // deadpool bounds the making of a connection, but not the hook behind it.
        let get = AtHome::new(self.home.clone(), self.connections.get());
        match timeout(self.get_timeout, get).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(DeadpoolError::Timeout(TimeoutType::Wait))) => Err(PoolError::Timeout),
            Ok(Err(DeadpoolError::Timeout(TimeoutType::Create | TimeoutType::Recycle))) | Err(_) => {
                Err(PoolError::connect_timed_out())
            }
            Ok(Err(DeadpoolError::Closed)) => Err(PoolError::Closed),
            Ok(Err(DeadpoolError::PostCreateHook(HookError::Message(_)))) => Err(PoolError::ReadOnlyServer),
            Ok(Err(DeadpoolError::Backend(error) | DeadpoolError::PostCreateHook(HookError::Backend(error)))) => {
                Err(PoolError::from_driver(error))
            }
            Ok(Err(error @ DeadpoolError::NoRuntimeSpecified)) => Err(PoolError::Connect(Box::new(error))),
        }
    }

    /// What stands between the pool and the server.
    #[must_use]
    pub fn between(&self) -> Between {
        self.recipe.options.between
    }

    /// How the pool is doing now, its branches included.
    #[must_use]
    pub fn status(&self) -> PoolStatus {
        let mut sum = PoolStatus { size: 0, available: 0, waiting: 0 };
        for status in self.all().iter().map(deadpool_postgres::Pool::status) {
            sum.size += status.size;
            sum.available += status.available;
            sum.waiting += status.waiting;
        }
        sum
    }

    /// The same pool, telling another one to the same server when connections are to be made anew.
    #[must_use]
    pub fn beside(self, other: &Self) -> Self {
        Self { beside: Some(Arc::new(other.clone())), ..self }
    }

    /// Closes the connections, here, in branches and beside, that are idle and that nobody has taken for `unused_for`.
    pub(super) fn close_idle(&self, unused_for: Duration) {
        for connections in self.all() {
            drop(connections.retain(|_, metrics| metrics.last_used() < unused_for));
        }
        if let Some(beside) = &self.beside {
            beside.close_idle(unused_for);
        }
    }

    /// Its own connections and those of its branches.
    fn all(&self) -> Vec<deadpool_postgres::Pool> {
        let branches = self.branches.lock().unwrap_or_else(PoisonError::into_inner);
        let open = branches.iter().filter(|branch| !branch.is_closed());
        std::iter::once(&self.connections).chain(open).cloned().collect()
    }

    /// Has every connection prepare its statements anew.
    pub(super) fn forget_statements(&self) {
        self.connections.manager().statement_caches.clear();
    }

    /// Closes idle connections, ends all waits with [`PoolError::Closed`], and closes the rest as they are returned. Branches are
    /// closed too.
    pub fn close(&self) {
        self.all().iter().for_each(deadpool_postgres::Pool::close);
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Pool({:?})", self.status())
    }
}

impl PoolError {
    fn connect_timed_out() -> Self {
        Self::Connect(Box::new(io::Error::new(io::ErrorKind::TimedOut, "the server did not answer in time")))
    }

    fn from_driver(error: tokio_postgres::Error) -> Self {
        // The driver reports a refused `target_session_attrs` as a permission error of its own making; one from the
        // operating system has a number.
        let refused = error
            .source()
            .and_then(|source| source.downcast_ref::<io::Error>())
            .is_some_and(|source| source.kind() == io::ErrorKind::PermissionDenied && source.raw_os_error().is_none());
        if refused { Self::ReadOnlyServer } else { Self::Connect(Box::new(error)) }
    }
}

/// Makes one connection outside of any pool, without the pool's settings: migrations may take their time.
///
/// The handle is of the task that moves the bytes; it ends when the client is dropped or the server closes.
///
/// # Errors
/// [`PoolError::Connect`], also when a certificate file cannot be used, or [`PoolError::ReadOnlyServer`].
pub async fn connect_once(url: &DatabaseUrl, connect_timeout: Duration) -> Result<(Client, JoinHandle<()>), PoolError> {
    let tls = tls::connector(url).map_err(|error| PoolError::Connect(Box::new(error)))?;
    let (client, connection) = timeout(connect_timeout, url.driver_config(connect_timeout).connect(tls))
        .await
        .map_err(|_| PoolError::connect_timed_out())?
        .map_err(PoolError::from_driver)?;
    let task = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::warn!(error = &error as &dyn Error, "a database connection broke");
        }
    });
    Ok((client, task))
}

/// The settings of a pooled connection, by `SET` and not as startup options, which poolers refuse.
///
/// The generic plan keeps a cached statement from being planned anew for its first executions.
/// A pooler would give them to others: behind one, each transaction sets its own.
fn settings(options: PoolOptions) -> String {
    const RECOVERY: &str = "SELECT pg_is_in_recovery()::text";
    match options.between {
        Between::Nothing => {
            format!("{}; SET plan_cache_mode = force_generic_plan; {RECOVERY}", limits("", options.query_timeout))
        }
        Between::TransactionPooler => RECOVERY.to_owned(),
    }
}

/// How long a statement, a lock and a silence in a transaction may take, for the connection or (`LOCAL `) the transaction.
pub(super) fn limits(scope: &str, query_timeout: Duration) -> String {
    let statement = milliseconds(query_timeout);
    let lock = milliseconds(query_timeout / 2);
    format!(
        "SET {scope}statement_timeout = {statement}; SET {scope}lock_timeout = {lock}; \
         SET {scope}idle_in_transaction_session_timeout = {statement}"
    )
}

/// Whole milliseconds, never 0, which would switch the limit off.
fn milliseconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX).max(1)
}

/// Applies the settings and refuses a replica, in one round trip.
async fn prepare(connection: &Client, settings: &str) -> Result<(), HookError> {
    let answer = connection.simple_query(settings).await.map_err(HookError::Backend)?;
    if takes_writes(&answer) { Ok(()) } else { Err(HookError::message(IN_RECOVERY)) }
}

/// Whether the last of the statements, which asked whether the server is in recovery, was answered with no.
pub(super) fn takes_writes(answer: &[SimpleQueryMessage]) -> bool {
    answer.iter().any(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0) == Some("false"),
        _ => false,
    })
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
