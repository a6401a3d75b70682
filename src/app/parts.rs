//! The parts of the services that take several settings each.

use std::sync::Arc;

use crate::{
    clock::Clock,
    config::{Config, Pooler},
    crypto::{
        master_key::Vault,
        passwords::{HashError, PasswordCost, PasswordHasher},
        webhook_key::WebhookKey,
    },
    outbound::webhook::{Receiver, SetupError},
    random::RandomFailed,
    service::{
        accounts::{AccountParts, Accounts},
        barrier::Barrier,
        canary::Canary,
        events::Events,
        exchange::IssuerRules,
        freshness::Freshness,
        keys::{KeyRules, Keys},
        password_pool::{PasswordPool, PasswordPoolOptions},
        registry::Registry,
        revocation_follower::RevocationFollower,
        revocations::{FeedRules, Revocations},
        sessions::SessionRules,
        webhook::{Webhook, WebhookRules},
    },
    storage::{
        accounts::AccountStore,
        canary::CanaryStore,
        ended_sessions::EndedSessionStore,
        hook_deliveries::HookDeliveryStore,
        login_throttle::LoginThrottleStore,
        pool::Between,
        replicas::{ReplicaId, ReplicaStore},
        revocation_feed::RevocationFeed,
        run::Database,
        url::DatabaseUrl,
    },
    telemetry::metrics::Metrics,
};

/// How long sessions live, and what ends them.
pub(super) fn session_rules(config: &Config) -> SessionRules {
    SessionRules {
        idle: config.session.idle_rule(),
        absolute_timeout: config.session.absolute_timeout,
        revocation_bound: config.exchange.max_staleness.max(config.exchange.timeout),
        max_per_subject: config.session.max_per_subject,
        renewal_grace: config.session.renewal_grace,
        on_token_reuse: config.session.on_token_reuse,
        unusual_activity: config.session.unusual_activity,
        address_precision: config.session.address_precision,
        turn_timeout: config.database.query_timeout,
    }
}

/// This replica among the others, and what waits for them.
pub(super) fn registry(
    rules: &SessionRules,
    database: &Database,
    freshness: &Arc<Freshness>,
    clock: &Arc<dyn Clock>,
) -> Result<(Arc<Registry>, Barrier), RandomFailed> {
    let store = ReplicaStore::new(database.clone());
    let (id, bound) = (ReplicaId::generate()?, rules.revocation_bound);
    let registry = Registry::new(id, bound, store.clone(), Arc::clone(freshness), Arc::clone(clock));
    let registry = Arc::new(registry);
    let barrier = Barrier::new(Arc::clone(&registry), store, Arc::clone(clock));
    Ok((registry, barrier))
}

/// What reads the revocation log. A reading that takes longer than the lease would renew nothing.
pub(super) fn follower(
    config: &Config,
    url: &DatabaseUrl,
    registry: &Arc<Registry>,
    freshness: &Arc<Freshness>,
    clock: &Arc<dyn Clock>,
    metrics: &Metrics,
) -> RevocationFollower {
    let patience = config.database.query_timeout.min(config.exchange.max_staleness);
    let connect_timeout = config.database.connect_timeout.min(patience);
    let feed = RevocationFeed::new(
        registry.id(),
        url.clone(),
        between(config),
        connect_timeout,
        patience,
        Arc::clone(clock),
        metrics.clone(),
    );
    RevocationFollower::new(feed, Arc::clone(registry), Arc::clone(freshness), Arc::clone(clock), metrics.clone())
}

/// Who issues tokens, with what.
pub(super) fn issuer(config: &Config) -> IssuerRules {
    IssuerRules {
        issuer: config.token.issuer.as_str().to_owned(),
        algorithm: config.token.algorithm,
        backdate: config.token.backdate,
    }
}

/// The feed of revocations. A token of a session that has ended may have been handed out until every replica knew.
pub(super) fn revocations(
    config: &Config,
    database: &Database,
    keys: &Keys,
    issuer: &IssuerRules,
    clock: &Arc<dyn Clock>,
    metrics: &Metrics,
) -> Result<Revocations, RandomFailed> {
    let last_token = config.exchange.max_staleness.max(config.exchange.timeout);
    let rules = FeedRules {
        issuer: issuer.issuer.clone(),
        algorithm: issuer.algorithm,
        window: last_token + keys.rules().longest_token + config.revocations.leeway,
        lease: config.exchange.max_staleness,
        leeway: config.revocations.leeway,
        absolute_timeout: config.session.absolute_timeout,
        max_entries: config.revocations.max_entries,
        max_listeners: config.revocations.max_listeners,
        heartbeat: config.revocations.heartbeat,
    };
    let store = EndedSessionStore::new(database.clone());
    Revocations::new(store, Arc::clone(keys.ring()), rules, Arc::clone(clock), metrics.clone())
}

/// The canary, where it is wanted.
pub(super) fn canary(
    config: &Config,
    database: &Database,
    freshness: &Arc<Freshness>,
    clock: &Arc<dyn Clock>,
    metrics: &Metrics,
) -> Option<Canary> {
    let interval = config.exchange.canary_interval?;
    let (store, bound) = (CanaryStore::new(database.clone()), config.exchange.max_staleness);
    Some(Canary::new(store, Arc::clone(freshness), interval, bound, Arc::clone(clock), metrics.clone()))
}

/// What stands between this process and the database's server.
pub(super) fn between(config: &Config) -> Between {
    match config.database.pooler {
        Pooler::None => Between::Nothing,
        Pooler::Transaction => Between::TransactionPooler,
    }
}

/// The webhook, where one is configured.
pub(super) fn webhook(
    config: &Config,
    database: &Database,
    clock: &Arc<dyn Clock>,
    metrics: &Metrics,
) -> Result<Option<Arc<Webhook>>, SetupError> {
    let Some(receiver) = &config.hooks.receiver else { return Ok(None) };
    let rules = WebhookRules {
        events: config.hooks.events.iter().copied().collect(),
        max_attempts: config.hooks.max_attempts,
        max_pending: config.hooks.max_pending,
    };
    let keys = receiver.secrets.iter().map(|secret| WebhookKey::new(secret.expose())).collect();
    let receiver = Receiver::new(&receiver.url, config.hooks.timeout)?;
    let store = HookDeliveryStore::new(database.clone());
    Ok(Some(Arc::new(Webhook::new(store, receiver, keys, rules, Arc::clone(clock), metrics.clone()))))
}

/// The password accounts. Attempts to sign in, which anybody may make, keep to the connections of lookups.
pub(super) fn accounts(
    config: &Config,
    lookups: &Database,
    database: &Database,
    vault: &Arc<Vault>,
    events: &Arc<Events>,
    clock: &Arc<dyn Clock>,
    metrics: &Metrics,
) -> Result<Accounts, HashError> {
    let cost = PasswordCost {
        memory_kib: config.password.memory_kib,
        iterations: config.password.iterations,
        parallelism: config.password.parallelism,
    };
    let options = PasswordPoolOptions { threads: config.password.hash_threads, queue: config.password.hash_queue };
    let pool = PasswordPool::new(PasswordHasher::new(cost)?, options, Arc::clone(clock), metrics.clone());
    Ok(Accounts::new(AccountParts {
        store: AccountStore::new(lookups.clone(), database.clone()),
        throttle_store: LoginThrottleStore::new(lookups.clone()),
        throttle_rules: config.login.throttle.clone(),
        most_delayed: config.login.most_delayed,
        most_at_once: config.login.most_at_once,
        pool,
        vault: Arc::clone(vault),
        words: own_names(config.public.origin.as_str()),
        events: Arc::clone(events),
        clock: Arc::clone(clock),
        metrics: metrics.clone(),
    }))
}

/// Words by which people call the service: its program and the parts of its host name.
fn own_names(origin: &str) -> Vec<String> {
    let host = origin.rsplit('/').next().unwrap_or_default();
    let host = host.split(':').next().unwrap_or_default();
    let parts = host.split('.').chain([host, "ephemint"]);
    parts.map(str::to_owned).collect()
}

pub(super) fn key_rules(config: &Config) -> KeyRules {
    let mut algorithms = vec![config.token.algorithm];
    for policy in &config.audiences {
        if !algorithms.contains(&policy.algorithm) {
            algorithms.push(policy.algorithm);
        }
    }
    let longest = config.audiences.iter().map(|policy| policy.lifetime).max().unwrap_or(config.token.ttl);
    KeyRules {
        algorithms,
        rotate_every: config.keys.rotate_every,
        publish_lead: config.keys.publish_lead,
        poll_interval: config.keys.poll_interval,
        longest_token: longest.max(config.token.ttl),
    }
}
