//! `[database]`: how Postgres is reached.

use std::time::Duration;

use figment::value::Value;

use super::{
    reader::Reader,
    secret::Secret,
    setting::{
        SettingDoc,
        Shape::{Number, Switch, Text},
    },
    value::{Parsed, Refusal, choice, duration, number, switch, text},
};

const URL_RULE: &str = "a URL postgres://user:password@host:port/database, with sslmode and the like as its query";

pub(super) const SETTINGS: &[SettingDoc] = &[
    SettingDoc::new("database.url", Text, URL_RULE, "The database; also as EPHEMINT_DATABASE_URL.").secret(),
    SettingDoc::new("database.migration_url", Text, URL_RULE, "The same database with the right to change its schema.")
        .unset("database.url")
        .secret(),
    SettingDoc::new("database.migrate", Switch, "true or false", "Whether the service applies migrations at start.")
        .default("true"),
    SettingDoc::new(
        "database.pooler",
        Text,
        "none or transaction",
        "Whether a pooler in transaction mode, such as PgBouncer, stands between.",
    )
    .default("none"),
    SettingDoc::new("database.pool_size", Number, "1 to 1000", "Most open connections to look presented tokens up; beyond it each worker of the gateway listener has one for exchanges.").default("16"),
    SettingDoc::new(
        "database.operations_pool_size",
        Number,
        "1 to 1000",
        "Connections kept apart for everything but looking sessions up, so that revoking works under any load.",
    )
    .default("4"),
    SettingDoc::new("database.connect_timeout", Text, "10ms to 60s", "How long opening a connection may take.")
        .default("2s"),
    SettingDoc::new("database.wait_timeout", Text, "1ms to 60s", "How long a request waits for a free connection.")
        .default("250ms"),
    SettingDoc::new("database.query_timeout", Text, "10ms to 60s", "How long one statement may take.").default("1s"),
];

/// A pooler between the service and Postgres.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooler {
    /// None, or one that keeps a server's connection for as long as its client's lasts.
    None,
    /// One that gives a server's connection for one transaction at a time.
    Transaction,
}

/// How Postgres is reached.
#[derive(Debug)]
pub struct DatabaseConfig {
    /// Where the database is, credentials included.
    pub url: Secret<String>,
    /// Where migrations run; absent: at `url`.
    pub migration_url: Option<Secret<String>>,
    /// Whether the service applies migrations at start.
    pub migrate: bool,
    /// What stands between.
    pub pooler: Pooler,
    /// Most open connections for looking sessions up.
    pub pool_size: usize,
    /// Most open connections for everything else.
    pub operations_pool_size: usize,
    /// How long opening a connection may take.
    pub connect_timeout: Duration,
    /// How long a request waits for a free connection.
    pub wait_timeout: Duration,
    /// How long one statement may take.
    pub query_timeout: Duration,
}

pub(super) fn read(reader: &mut Reader) -> Option<DatabaseConfig> {
    let longest = Duration::from_mins(1);
    let url = reader.read("database.url", url);
    let migration_url = reader.read_optional("database.migration_url", self::url);
    let migrate = reader.read("database.migrate", switch);
    let poolers = [("none", Pooler::None), ("transaction", Pooler::Transaction)];
    let pooler = reader.read("database.pooler", choice(&poolers));
    if pooler == Some(Pooler::Transaction) && migrate == Some(true) && matches!(migration_url, Some(None)) {
        let rule = "behind database.pooler, migrations need the server itself: set it, or database.migrate = false";
        reader.combination("database.migration_url", rule);
    }
    let pool_size = reader.read("database.pool_size", number(1..=1_000));
    let operations_pool_size = reader.read("database.operations_pool_size", number(1..=1_000));
    let connect_timeout = reader.read("database.connect_timeout", duration(Duration::from_millis(10)..=longest));
    let wait_timeout = reader.read("database.wait_timeout", duration(Duration::from_millis(1)..=longest));
    let query_timeout = reader.read("database.query_timeout", duration(Duration::from_millis(10)..=longest));
    Some(DatabaseConfig {
        url: url?,
        migration_url: migration_url?,
        migrate: migrate?,
        pooler: pooler?,
        pool_size: pool_size?,
        operations_pool_size: operations_pool_size?,
        connect_timeout: connect_timeout?,
        wait_timeout: wait_timeout?,
        query_timeout: query_timeout?,
    })
}

/// Only the scheme is judged here: the driver's URLs allow lists of hosts and percent-encoded socket paths.
fn url(value: &Value) -> Parsed<Secret<String>> {
    let text = text(value)?;
    let rest = ["postgres://", "postgresql://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    let sound = |rest: &&str| !rest.is_empty() && !rest.contains(|it: char| it.is_whitespace() || it.is_control());
    rest.filter(sound).map(|_| Secret::new(text.to_owned())).ok_or_else(Refusal::default)
}
