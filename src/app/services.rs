//! Everything below the listeners, wired: shared by the running service and by the commands that work on its database.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use super::parts;
use crate::{
    clock::Clock,
    config::Config,
    crypto::{
        error::CryptoError,
        master_key::{MasterKey, Vault},
        passwords::HashError,
    },
    domain::access_token::{MAX_TOKEN_LENGTH, longest_token},
    outbound::webhook::SetupError,
    random::RandomFailed,
    service::{
        accounts::Accounts,
        activity::Activity,
        canary::Canary,
        clients::Clients,
        events::Events,
        exchange::{Exchange, IssuerRules},
        freshness::Freshness,
        keys::{Keys, KeysError},
        live_sessions::LiveSessions,
        registry::Registry,
        revocation_follower::RevocationFollower,
        revocations::Revocations,
        session_cache::SessionCache,
        session_count::SessionCount,
        session_loader::SessionLoader,
        sessions::Sessions,
        token_cache::TokenCache,
    },
    storage::{
        clients::ClientStore,
        error::StorageError,
        migrate::{self, MigrateError, Migrated},
        pool::{Pool, PoolOptions, PoolSetupError},
        run::Database,
        sessions::SessionStore,
        signing_keys::SigningKeyStore,
        url::{DatabaseUrl, DatabaseUrlError},
    },
    telemetry::{
        error_chain::ErrorChain,
        metrics::{Metrics, seconds},
    },
    version,
};

/// How long one replica waits for another that is migrating.
const MIGRATION_WAIT: Duration = Duration::from_secs(60);
/// How long a session or token that was read is kept at most, whatever the log says.
const LONGEST_KEPT: Duration = Duration::from_mins(15);
/// How often making the first keys is tried while other replicas hold the lock.
const KEY_TRIES: u32 = 10;

/// Why the parts below the listeners are not usable.
#[derive(Debug, thiserror::Error)]
pub enum ServicesError {
    /// A database address cannot be understood.
    #[error("{key}")]
    Url {
        /// The setting.
        key: &'static str,
        /// What is wrong with it.
        #[source]
        source: DatabaseUrlError,
    },
    /// The pool cannot be set up.
    #[error("the database connection cannot be set up")]
    Pool(#[from] PoolSetupError),
    /// The schema could not be brought up to date, or is too old.
    #[error("the database at {place} cannot be used")]
    Migrate {
        /// Host, port and database.
        place: String,
        /// Why.
        #[source]
        source: MigrateError,
    },
    /// The database does not answer.
    #[error("the database at {place} cannot be used")]
    Database {
        /// Host, port and database.
        place: String,
        /// Why.
        #[source]
        source: StorageError,
    },
    /// The webhook's receiver cannot be reached in any way.
    #[error("hooks.url cannot be used")]
    Webhook(#[from] SetupError),
    /// No keys could be derived.
    #[error("secrets.master_key cannot be used")]
    MasterKey(#[from] CryptoError),
    /// No password could be hashed.
    #[error("[password] cannot be used")]
    Password(#[from] HashError),
    /// The generator gave nothing.
    #[error(transparent)]
    Random(#[from] RandomFailed),
    /// The signing keys are not usable.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// An audience's tokens can be too large for gateways.
    #[error(
        "audience {audience}: its tokens can reach {length} bytes and may have {MAX_TOKEN_LENGTH}; give it fewer or shorter scopes"
    )]
    TokenTooLong {
        /// The audience.
        audience: String,
        /// The longest token that its policy allows.
        length: usize,
    },
    /// Two metrics clash.
    #[error("the metrics cannot be registered")]
    Metrics,
}

/// The parts below the listeners.
#[derive(Debug)]
pub struct Services {
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The counters.
    pub metrics: Metrics,
    /// The database, for looking up presented tokens.
    pub lookups: Database,
    /// The database, for everything else.
    pub database: Database,
    /// The derived keys.
    pub vault: Arc<Vault>,
    /// Last-seen times on their way to the database.
    pub activity: Arc<Activity>,
    /// Where security events go.
    pub events: Arc<Events>,
    /// The sessions.
    pub sessions: Arc<Sessions>,
    /// This replica among all others.
    pub registry: Arc<Registry>,
    /// Follows the revocation log.
    pub follower: Arc<RevocationFollower>,
    /// The feed of revocations.
    pub revocations: Arc<Revocations>,
    /// Measures how long a revocation takes, where that is wanted.
    pub canary: Option<Arc<Canary>>,
    /// The sessions that are kept in memory.
    pub live: Arc<LiveSessions>,
    /// How many sessions are live.
    pub session_count: Arc<SessionCount>,
    /// The signing keys.
    pub keys: Arc<Keys>,
    /// The service credentials.
    pub clients: Arc<Clients>,
    /// The password accounts.
    pub accounts: Arc<Accounts>,
    /// The exchange.
    pub exchange: Arc<Exchange>,
    /// Who issues tokens, with what.
    pub issuer: IssuerRules,
}

impl Services {
    /// Wires everything, migrates where that is allowed, and makes sure that there are keys.
    ///
    /// # Errors
    /// [`ServicesError`] names what is in the way.
    pub async fn prepare(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, ServicesError> {
        let services = Self::connect(config, clock)?;
        if config.database.migrate {
            migrate(config).await?;
        }
        services.check_schema(config).await?;
        services.prepare_keys().await?;
        // Before the first exchange, so that no barrier misses a decision of this replica.
        services.registry.beat().await.map_err(|source| ServicesError::Database { place: place(config), source })?;
        Ok(services)
    }

    /// Wires everything without asking the database anything.
    ///
    /// # Errors
    /// [`ServicesError`] names the setting that is in the way.
    pub fn connect(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, ServicesError> {
        let metrics = Metrics::new().map_err(|_| ServicesError::Metrics)?;
        metrics.exchange_max_staleness_seconds.set(seconds(config.exchange.max_staleness));
        let connections = config.database.pool_size + config.database.operations_pool_size;
        metrics.database_pool_limit.set(i64::try_from(connections).unwrap_or(i64::MAX));
        metrics.build_info.with_label_values(&[version::VERSION, version::COMMIT]).set(1);
        let vault = Arc::new(vault(config)?);
        let url = database_url(config)?;
        let pool = |size| pool(config, &url, size);
        let (lookups, operations) = (pool(config.database.pool_size)?, pool(config.database.operations_pool_size)?);
        let database = |pool| Database::new(pool, config.database.query_timeout, Arc::clone(&clock), metrics.clone());
        // What one finds out about the server, such as that it is no longer the primary, holds for the other.
        let (lookups, database) =
            (database(lookups.clone().beside(&operations)), database(operations.clone().beside(&lookups)));
        let store = SessionStore::new(lookups.clone(), database.clone());
        let idle = config.session.idle_rule();
        let activity = Arc::new(Activity::new(store.clone(), idle, metrics.clone()));
        let freshness = Arc::new(Freshness::new(config.exchange.max_staleness, LONGEST_KEPT));
        let rules = parts::session_rules(config);
        let (registry, barrier) = parts::registry(&rules, &database, &freshness, &clock)?;
        let keys = Arc::new(Keys::new(
            SigningKeyStore::new(database.clone()),
            Arc::clone(&vault),
            Arc::clone(&clock),
            parts::key_rules(config),
            metrics.clone(),
        ));
        let issuer = parts::issuer(config);
        let revocations = Arc::new(parts::revocations(config, &database, &keys, &issuer, &clock, &metrics)?);
        let follower =
            parts::follower(config, &url, &registry, &freshness, &clock, &metrics).telling(Arc::clone(&revocations));
        let follower = Arc::new(follower);
        let canary = parts::canary(config, &database, &freshness, &clock, &metrics).map(Arc::new);
        let cache_size = config.exchange.cache_size as u64;
        let loader = Arc::new(SessionLoader::new(
            store.clone(),
            // A session is about half as large as its token.
            SessionCache::new(cache_size / 3),
            Arc::clone(&freshness),
            Arc::clone(&activity),
            Arc::clone(&clock),
            tokio::runtime::Handle::current(),
        ));
        let session_count = Arc::new(SessionCount::new(store.clone(), idle, Arc::clone(&clock), metrics.clone()));
        let webhook = parts::webhook(config, &database, &clock, &metrics)?;
        let events = Arc::new(Events::new(webhook, metrics.clone()));
        let sessions = Arc::new(Sessions::new(
            store,
            Arc::clone(&vault),
            Arc::clone(&clock),
            rules,
            Arc::clone(&activity),
            Arc::clone(&events),
            Arc::clone(&follower),
            barrier,
            metrics.clone(),
        ));
        let live = Arc::new(LiveSessions::new(
            Arc::clone(&sessions),
            loader,
            freshness,
            Arc::clone(&vault),
            Arc::clone(&clock),
            Arc::clone(&activity),
            metrics.clone(),
        ));
        let clients =
            Arc::new(Clients::new(ClientStore::new(database.clone()), Arc::clone(&vault), Arc::clone(&clock)));
        let accounts = Arc::new(parts::accounts(config, &lookups, &database, &vault, &events, &clock, &metrics)?);
        for policy in &config.audiences {
            let length = longest_token(policy, &issuer.issuer_of(policy.algorithm));
            if length > MAX_TOKEN_LENGTH {
                return Err(ServicesError::TokenTooLong { audience: policy.name.to_string(), length });
            }
        }
        let exchange = Arc::new(Exchange::new(
            config.audiences.clone(),
            config.exchange.default_audience.clone(),
            issuer.clone(),
            config.exchange.timeout,
            config.exchange.gateway_cache,
            Arc::clone(&live),
            TokenCache::new(cache_size - cache_size / 3),
            Arc::clone(keys.ring()),
            Arc::clone(&clock),
            metrics.clone(),
        ));
        Ok(Self {
            clock,
            metrics,
            lookups,
            database,
            vault,
            activity,
            events,
            sessions,
            registry,
            follower,
            revocations,
            canary,
            live,
            session_count,
            keys,
            clients,
            accounts,
            exchange,
            issuer,
        })
    }

    /// Refuses a database that is older than this program.
    ///
    /// # Errors
    /// [`ServicesError`].
    pub async fn check_schema(&self, config: &Config) -> Result<(), ServicesError> {
        let place = || place(config);
        let needed = migrate::newest();
        let found = match self.database.schema_version().await {
            Ok(found) => found,
            Err(error) if error.undefined_table() => 0,
            Err(source) => return Err(ServicesError::Database { place: place(), source }),
        };
        if found < needed {
            let source = MigrateError::TooOld { found, needed };
            return Err(ServicesError::Migrate { place: place(), source });
        }
        Ok(())
    }

    async fn prepare_keys(&self) -> Result<(), ServicesError> {
        // Replicas that start together queue for one lock, and a try waits for it only as long as a statement may take.
        for _ in 1..KEY_TRIES {
            match self.keys.prepare().await {
                Err(KeysError::Storage(error)) => {
                    tracing::warn!(error = %ErrorChain(&error), "the signing keys could not be prepared; trying again");
                }
                result => return result.map_err(Into::into),
            }
        }
        Ok(self.keys.prepare().await?)
    }
}

/// Brings the schema up to date.
///
/// # Errors
/// [`ServicesError`] names what is in the way.
pub async fn migrate(config: &Config) -> Result<Migrated, ServicesError> {
    let (key, url) = match &config.database.migration_url {
        Some(url) => ("database.migration_url", url),
        None => ("database.url", &config.database.url),
    };
    let url = DatabaseUrl::parse(url.expose()).map_err(|source| ServicesError::Url { key, source })?;
    let result = migrate::run(&url, config.database.connect_timeout, MIGRATION_WAIT).await;
    let migrated = result.map_err(|source| ServicesError::Migrate { place: url.describe(), source })?;
    for applied in &migrated.applied {
        tracing::info!(migration = applied, "migration applied");
    }
    Ok(migrated)
}

/// The keys derived from the configured master keys.
fn vault(config: &Config) -> Result<Vault, CryptoError> {
    let current = MasterKey::from(*config.secrets.master_key.expose());
    let previous = config.secrets.previous_master_keys.iter().map(|key| MasterKey::from(*key.expose())).collect();
    Vault::new(current, previous)
}

/// Host, port and database, for people.
fn place(config: &Config) -> String {
    database_url(config).map(|url| url.describe()).unwrap_or_default()
}

fn database_url(config: &Config) -> Result<DatabaseUrl, ServicesError> {
    let url = config.database.url.expose();
    DatabaseUrl::parse(url).map_err(|source| ServicesError::Url { key: "database.url", source })
}

/// A pool of at most `size` connections.
fn pool(config: &Config, url: &DatabaseUrl, size: usize) -> Result<Pool, PoolSetupError> {
    let options = PoolOptions {
        size: NonZeroUsize::new(size).unwrap_or(NonZeroUsize::MIN),
        connect_timeout: config.database.connect_timeout,
        wait_timeout: config.database.wait_timeout,
        query_timeout: config.database.query_timeout,
        between: parts::between(config),
    };
    Pool::new(url, options)
}
