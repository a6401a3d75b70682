//! Applies `sql/migrations`, safely from any number of replicas at once.

use std::time::Duration;

use tokio_postgres::Client;

use super::{
    pool::{PoolError, connect_once},
    url::DatabaseUrl,
};

mod embedded {
    refinery::embed_migrations!("sql/migrations");
}

/// Any number that no other program uses for its advisory locks in this database.
const LOCK: i64 = 7_301_993_201_834_100;
/// How long between two tries for the lock. A blocking wait would deadlock with `CREATE INDEX CONCURRENTLY`.
const RETRY: Duration = Duration::from_millis(50);
/// How long a migration waits for a table that others use. While it waits, all later users of the table wait behind it, so a
/// long wait would be an outage: better to fail and be started again.
const SET_LOCK_TIMEOUT: &str = "SET lock_timeout = '5s'";

/// Why the schema could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// There is no connection to migrate over.
    #[error(transparent)]
    Connect(PoolError),
    /// The database could not be made.
    #[error("the database could not be made")]
    Create(#[source] tokio_postgres::Error),
    /// The lock could not be asked for.
    #[error("the migration lock failed")]
    Lock(#[source] tokio_postgres::Error),
    /// The database did not say in time whether the lock is free.
    #[error("the database did not answer for {} s", .0.as_secs())]
    Silent(Duration),
    /// Another process has held the lock for the whole wait.
    #[error("another process has been migrating for {} s; is one stuck?", .0.as_secs())]
    Locked(Duration),
    /// A migration failed, or one that was applied has another text than this program's.
    #[error("a migration failed")]
    Migration(#[source] Box<refinery::Error>),
    /// A newer migration was applied without this one, so it never will be.
    #[error(
        "migration {0} was never applied, although newer ones were: this program and the database do not belong together"
    )]
    Skipped(i32),
    /// The database is older than this program and may not be migrated.
    #[error("the schema is at version {found}, and this program needs {needed}: run `ephemint migrate` first")]
    TooOld {
        /// The newest migration that was applied; 0 if none.
        found: i32,
        /// The newest migration that this program knows.
        needed: i32,
    },
}

/// What a migration run did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    /// The migrations that this run applied, as `number name`.
    pub applied: Vec<String>,
    /// The schema's version now; above [`newest`] where a newer program has migrated.
    pub version: i32,
}

/// The newest migration that this program knows.
#[must_use]
pub fn newest() -> i32 {
    embedded::migrations::runner().get_migrations().iter().map(refinery::Migration::version).max().unwrap_or(0)
}

/// Brings the schema up to date over a connection of its own, holding an advisory lock while it does.
///
/// Each migration is a transaction: after a crash the next run goes on where this one stopped. Migrations that only a newer
/// program knows are left alone, so that two neighbouring versions run on one database.
///
/// # Errors
/// [`MigrateError`] names what failed; nothing of a failed migration stays.
pub async fn run(url: &DatabaseUrl, connect_timeout: Duration, wait: Duration) -> Result<Migrated, MigrateError> {
    let (mut client, connection) = connect_once(url, connect_timeout).await.map_err(MigrateError::Connect)?;
    let result = run_on(&mut client, wait).await;
    // The lock goes with the connection.
    drop(client);
    connection.abort();
    result
}

/// Makes a database of that name if there is none, over a connection to another one; `name` is a plain identifier of ours.
///
/// # Errors
/// [`MigrateError`] when the server cannot be reached or refuses.
pub async fn ensure_database(
    maintenance: &DatabaseUrl,
    name: &'static str,
    connect_timeout: Duration,
) -> Result<(), MigrateError> {
    let (client, connection) = connect_once(maintenance, connect_timeout).await.map_err(MigrateError::Connect)?;
    let known = client.query_opt("SELECT 1 FROM pg_database WHERE datname = $1", &[&name]).await;
    let made = match known {
        Ok(Some(_)) => Ok(()),
        Ok(None) => client.batch_execute(&format!("CREATE DATABASE \"{name}\"")).await,
        Err(error) => Err(error),
    };
    drop(client);
    connection.abort();
    made.map_err(MigrateError::Create)
}

async fn run_on(client: &mut Client, wait: Duration) -> Result<Migrated, MigrateError> {
    lock(client, wait).await?;
    client.batch_execute(SET_LOCK_TIMEOUT).await.map_err(MigrateError::Lock)?;
    let failed = |error| MigrateError::Migration(Box::new(error));
    let runner = embedded::migrations::runner().set_abort_divergent(true).set_abort_missing(false);
    let report = runner.run_async(client).await.map_err(failed)?;
    let applied =
        report.applied_migrations().iter().map(|done| format!("{} {}", done.version(), done.name())).collect();
    let history = runner.get_applied_migrations_async(client).await.map_err(failed)?;
    let versions: Vec<i32> = history.iter().map(refinery::Migration::version).collect();
    let skipped =
        runner.get_migrations().iter().map(refinery::Migration::version).find(|known| !versions.contains(known));
    if let Some(skipped) = skipped {
        return Err(MigrateError::Skipped(skipped));
    }
    Ok(Migrated { applied, version: versions.into_iter().max().unwrap_or(0) })
}

async fn lock(client: &Client, wait: Duration) -> Result<(), MigrateError> {
    let mut answered = false;
    let tries = async {
        loop {
            let row =
                client.query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK]).await.map_err(MigrateError::Lock)?;
            if row.get(0) {
                return Ok(());
            }
            answered = true;
            tokio::time::sleep(RETRY).await;
        }
    };
    let result = tokio::time::timeout(wait, tries).await;
    result.unwrap_or_else(|_| Err(if answered { MigrateError::Locked(wait) } else { MigrateError::Silent(wait) }))
}
