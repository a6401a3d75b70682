//! One Postgres for the whole run, one database for each test.

use std::{
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use ephemint::{
    dev::postgres::{Durability, EmbeddedPostgres, Options},
    storage::{migrate, url::DatabaseUrl},
};
use tokio::sync::OnceCell;
use tokio_postgres::NoTls;

/// What directories of test runs begin with; the run's process id follows.
const PREFIX: &str = "ephemint-test-";

static CLUSTER: OnceCell<EmbeddedPostgres> = OnceCell::const_new();
static TEMPLATE: OnceCell<()> = OnceCell::const_new();
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// The run's own Postgres: without TCP, without durability, gone when the run is.
pub(crate) async fn cluster() -> &'static EmbeddedPostgres {
    CLUSTER
        .get_or_init(|| async {
            // Hundreds of databases take their time to be deleted, and no test waits for that.
            std::thread::spawn(sweep);
            tokio::task::spawn_blocking(|| {
                // The server's account must be able to pass through the directory.
                let directory = tempfile::Builder::new()
                    .prefix(&format!("{PREFIX}{}-", std::process::id()))
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

/// Deletes what runs that have ended left behind.
fn sweep() {
    for entry in std::fs::read_dir(std::env::temp_dir()).unwrap().flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('-').next());
        if process.is_some_and(|process| !std::path::Path::new("/proc").join(process).exists()) {
            // Another user's, or being deleted by another run right now.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
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
        let output = tokio::process::Command::new(client_program("pg_dump").await)
            .args(["--host", cluster.socket_directory().to_str().unwrap(), "--username", "ephemint", &self.name])
            .output()
            .await
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        // Each dump is restricted by a random word of its own.
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().filter(|line| !line.contains("restrict ")).fold(String::new(), |text, line| text + line + "\n")
    }

    /// Waits until a statement that holds `text` waits for a lock of that kind, and returns its server process.
    pub(crate) async fn blocked(&self, text: &str) -> i32 {
        let client = self.client().await;
        let sql = "SELECT pid FROM pg_stat_activity WHERE datname = $1 AND wait_event_type = 'Lock' AND strpos(query, $2) > 0";
        eventually("a statement waits for a lock", async || {
            client.query_opt(&format!("{sql} LIMIT 1"), &[&self.name, &text]).await.unwrap().map(|row| row.get(0))
        })
        .await
    }

    /// Ends every connection to the database but the one that asks.
    pub(crate) async fn terminate_connections(&self) {
        let others = "datname = current_database() AND pid <> pg_backend_pid()";
        self.execute(&format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")).await;
    }
}

/// `psql`, `pg_dump` and the like: beside the server that runs, or wherever the system has them.
pub(crate) async fn client_program(name: &str) -> PathBuf {
    let directory = cluster().await.binaries();
    let server = std::fs::canonicalize(directory.join("postgres")).unwrap();
    let beside = [directory, server.parent().unwrap()].map(|directory| directory.join(name));
    beside.into_iter().find(|program| program.exists()).unwrap_or_else(|| name.into())
}

/// Asks again and again until there is an answer, for 20 s at most.
pub(crate) async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), asking).await.unwrap_or_else(|_| panic!("not in time: {what}"))
}

async fn connect(database: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(&cluster().await.url(database), NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn execute(database: &str, sql: &str) {
    connect(database).await.batch_execute(sql).await.unwrap();
}
