//! One Postgres for the whole run, one database for each test.

use std::{
    os::unix::fs::PermissionsExt as _,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use ephemint::{
    dev::postgres::{Durability, EmbeddedPostgres, Options},
    storage::{migrate, url::DatabaseUrl},
};
use tokio::sync::OnceCell;
use tokio_postgres::NoTls;

static CLUSTER: OnceCell<EmbeddedPostgres> = OnceCell::const_new();
static TEMPLATE: OnceCell<()> = OnceCell::const_new();
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// The run's own Postgres: without TCP, without durability, gone when the run is.
pub(crate) async fn cluster() -> &'static EmbeddedPostgres {
    CLUSTER
        .get_or_init(|| async {
            tokio::task::spawn_blocking(|| {
                // The server's account must be able to pass through the directory.
                let directory = tempfile::Builder::new()
                    .prefix("ephemint-test-")
                    .permissions(std::fs::Permissions::from_mode(0o755))
                    .tempdir()
                    .unwrap()
                    .keep();
                EmbeddedPostgres::start(&Options { directory, durability: Durability::ThrowAway, binaries: None })
                    .unwrap_or_else(|error| panic!("the tests need Postgres: {error}"))
            })
            .await
            .unwrap()
        })
        .await
}

/// A database of a test's own.
#[derive(Debug, Clone)]
pub(crate) struct TestDatabase {
    pub(crate) name: String,
    pub(crate) url: String,
}

impl TestDatabase {
    /// A database with the current schema and no rows.
    pub(crate) async fn migrated() -> Self {
        TEMPLATE
            .get_or_init(|| async {
                execute("postgres", "CREATE DATABASE template_migrated").await;
                let url = cluster().await.url("template_migrated");
                let url = DatabaseUrl::parse(&url).unwrap();
                migrate::run(&url, Duration::from_secs(5), Duration::from_secs(5)).await.unwrap();
                execute("postgres", "ALTER DATABASE template_migrated WITH IS_TEMPLATE true ALLOW_CONNECTIONS false")
                    .await;
            })
            .await;
        Self::create(" TEMPLATE template_migrated").await
    }

    /// A database with nothing in it.
    pub(crate) async fn empty() -> Self {
        Self::create("").await
    }

    async fn create(template: &str) -> Self {
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        execute("postgres", &format!("CREATE DATABASE {name}{template}")).await;
        let url = cluster().await.url(&name);
        Self { name, url }
    }

    /// A connection as the owner, for looking and meddling behind the service's back.
    pub(crate) async fn client(&self) -> tokio_postgres::Client {
        connect(&self.name).await
    }

    /// Runs statements as the owner.
    pub(crate) async fn execute(&self, sql: &str) {
        execute(&self.name, sql).await;
    }

    /// The first column of the one row of a query, as a number.
    pub(crate) async fn count(&self, sql: &str) -> i64 {
        self.client().await.query_one(sql, &[]).await.unwrap().get(0)
    }

    /// Everything in the database as text, the way a thief would carry it off.
    pub(crate) async fn dump(&self) -> String {
        let cluster = cluster().await;
        // The directory may hold links to the server's programs only; the dump lies beside the real ones.
        let server = cluster.binaries().join("postgres").canonicalize().unwrap();
        let output = tokio::process::Command::new(server.with_file_name("pg_dump"))
            .args(["--host", cluster.socket_directory().to_str().unwrap(), "--username", "ephemint", &self.name])
            .output()
            .await
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

async fn connect(database: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(&cluster().await.url(database), NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn execute(database: &str, sql: &str) {
    connect(database).await.batch_execute(sql).await.unwrap();
}
