//! What a run needs: a Postgres of its own, stored sessions whose tokens are known, and the servers.

use std::{
    fs,
    io::Write as _,
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    pin::pin,
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use ephemint::{
    clock::{Clock as _, SystemClock},
    crypto::master_key::{MasterKey, Vault},
    dev::postgres::{Durability, EmbeddedPostgres, Options},
    domain::{session::SessionId, session_token::SessionToken},
    storage::{migrate, url::DatabaseUrl},
};
use serde_json::json;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio_postgres::{Client, NoTls, binary_copy::BinaryCopyInWriter, types::Type};

use crate::baselines::Baseline;

pub(crate) const ISSUER: &str = "https://app.example.com";
pub(crate) const AUDIENCE: &str = "orders";
pub(crate) const COOKIE: &str = "__Host-session";
pub(crate) const USERNAME: &str = "bench";
pub(crate) const PASSWORD: &str = "quartz heron umbrella 41";

/// Nobody's secret.
const MASTER_KEY: [u8; 32] = *b"bench-bench-bench-bench-bench-12";

const DATABASE: &str = "bench";

/// The keys of the run.
pub(crate) fn vault() -> Result<Vault> {
    Ok(Vault::new(MasterKey::from(MASTER_KEY), Vec::new())?)
}

/// The place where everything happens; it goes when dropped.
pub(crate) struct Stage {
    pub(crate) postgres: EmbeddedPostgres,
    pub(crate) directory: TempDir,
    client: Client,
}

/// The tokens of some stored sessions, in a file for wrk.
#[derive(Debug, Clone)]
pub(crate) struct Tokens {
    pub(crate) file: PathBuf,
    pub(crate) count: u64,
}

impl Stage {
    pub(crate) async fn prepare() -> Result<Self> {
        // The database's account must be able to pass through the directory.
        let directory = tempfile::Builder::new()
            .prefix("ephemint-bench-")
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir()?;
        let options =
            Options { directory: directory.path().join("postgres"), durability: Durability::ThrowAway, binaries: None };
        let postgres = tokio::task::spawn_blocking(move || EmbeddedPostgres::start(&options)).await??;
        connect(&postgres.url("postgres")).await?.batch_execute(&format!("CREATE DATABASE {DATABASE}")).await?;
        let url = postgres.url(DATABASE);
        migrate::run(&DatabaseUrl::parse(&url)?, Duration::from_secs(5), Duration::from_secs(5)).await?;
        let client = connect(&url).await?;
        crate::load::write_scripts(directory.path())?;
        Ok(Self { postgres, directory, client })
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    fn url(&self) -> String {
        self.postgres.url(DATABASE)
    }

    /// Stores `count` sessions and remembers the token of every `step`th.
    pub(crate) async fn store_sessions(&self, name: &str, count: u64, step: u64) -> Result<Tokens> {
        self.store_sessions_seen_in(Duration::ZERO, name, count, step).await
    }

    /// The same, as if they were used so far in the future: until then no use of theirs is written down.
    pub(crate) async fn store_sessions_seen_in(
        &self,
        seen_in: Duration,
        name: &str,
        count: u64,
        step: u64,
    ) -> Result<Tokens> {
        const COLUMNS: &str = "session_id, token_digest, subject, created_at, auth_time, last_seen_at, expires_at, \
                               subject_epoch, global_epoch, start_method, amr, claims";
        let types = [
            Type::UUID,
            Type::BYTEA,
            Type::TEXT,
            Type::TIMESTAMPTZ,
            Type::TIMESTAMPTZ,
            Type::TIMESTAMPTZ,
            Type::TIMESTAMPTZ,
            Type::INT8,
            Type::INT8,
            Type::TEXT,
            Type::TEXT_ARRAY,
            Type::JSONB,
        ];
        // Indexes of many rows are made in a fraction of the time once all rows are there.
        let later = if count >= 1_000_000 { self.drop_indexes().await? } else { Vec::new() };
        let (vault, clock) = (vault()?, SystemClock::new());
        let file = self.path().join(name);
        let mut written = std::io::BufWriter::new(fs::File::create(&file)?);
        let sink = self.client.copy_in(&format!("COPY session ({COLUMNS}) FROM STDIN BINARY")).await?;
        let mut rows = pin!(BinaryCopyInWriter::new(sink, &types));
        let claims = json!({ "role": "member" });
        for number in 0..count {
            let (token, now) = (SessionToken::generate()?, clock.now());
            if number % step == 0 {
                written.write_all(token.expose().as_bytes())?;
            }
            let (id, expires_at) = (SessionId::generate(now)?.as_uuid(), now + Duration::from_hours(12));
            let (digest, subject) = (vault.session_token_digest(&token), format!("user-{number}"));
            rows.as_mut()
                .write(&[
                    &id,
                    &digest.as_ref(),
                    &subject,
                    &now,
                    &now,
                    &(now + seen_in),
                    &expires_at,
                    &0_i64,
                    &0_i64,
                    &"admin_api",
                    &["pwd"].as_slice(),
                    &claims,
                ])
                .await?;
        }
        rows.as_mut().finish().await?;
        written.flush()?;
        for statement in later {
            self.client.batch_execute(&statement).await?;
        }
        self.client.batch_execute("VACUUM (ANALYZE) session").await?;
        self.client.batch_execute("CHECKPOINT").await?;
        Ok(Tokens { file, count: count.div_ceil(step) })
    }

    /// Drops the indexes of the sessions, and what depends on them; returns the statements that make them again.
    async fn drop_indexes(&self) -> Result<Vec<String>> {
        const CONSTRAINTS: &str = "SELECT conrelid::regclass::text AS owner, quote_ident(conname) AS name, \
                                   pg_get_constraintdef(oid) AS definition FROM pg_constraint \
                                   WHERE confrelid = 'session'::regclass \
                                   OR conrelid = 'session'::regclass AND contype IN ('p', 'u') ORDER BY contype";
        const INDEXES: &str = "SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS definition \
                               FROM pg_index WHERE indrelid = 'session'::regclass";
        self.client.batch_execute("SET maintenance_work_mem = '1GB'").await?;
        let mut again = Vec::new();
        // Foreign keys go before the keys that they refer to, and come after them.
        for row in self.client.query(CONSTRAINTS, &[]).await? {
            let (owner, name): (String, String) = (row.get("owner"), row.get("name"));
            let definition: String = row.get("definition");
            self.client.batch_execute(&format!("ALTER TABLE {owner} DROP CONSTRAINT {name}")).await?;
            again.insert(0, format!("ALTER TABLE {owner} ADD CONSTRAINT {name} {definition}"));
        }
        for row in self.client.query(INDEXES, &[]).await? {
            let (name, definition): (String, String) = (row.get("name"), row.get("definition"));
            self.client.batch_execute(&format!("DROP INDEX {name}")).await?;
            again.push(definition);
        }
        Ok(again)
    }

    /// Bytes that the sessions take, their indexes included.
    pub(crate) async fn size_of_sessions(&self) -> Result<u64> {
        let row = self.client.query_one("SELECT pg_total_relation_size('session')", &[]).await?;
        Ok(u64::try_from(row.get::<_, i64>(0))?)
    }

    /// Starts the service with more settings, and waits until it is ready.
    pub(crate) async fn start_service(&self, name: &str, level: &str, more: &str) -> Result<Server> {
        use base64::Engine as _;
        let [public, gateway, admin] = [free_address()?, free_address()?, free_address()?];
        let key = base64::engine::general_purpose::STANDARD.encode(MASTER_KEY);
        let settings = format!(
            r#"
            public = {{ listen = "{public}", origin = "{ISSUER}" }}
            gateway.listen = "{gateway}"
            admin.listen = "{admin}"
            database.url = "{}"
            secrets.master_key = "{key}"
            session.max_per_subject = 10000
            log = {{ format = "json", level = "{level}" }}
            shutdown = {{ drain = "0s", timeout = "1s" }}
            {more}
            [[audience]]
            name = "{AUDIENCE}"
            claims = ["role"]
            [[audience]]
            name = "strict"
            claims = ["role"]
            consistency = "strict"
            [[audience]]
            name = "closed"
            enabled = false
            "#,
            self.url()
        );
        let file = self.path().join(format!("{name}.toml"));
        fs::write(&file, settings)?;
        let program = env!("CARGO_BIN_EXE_ephemint");
        let checked = command(program).args(["config", "check", "--config"]).arg(&file).output().await?;
        ensure!(checked.status.success(), "{name}: {}", String::from_utf8_lossy(&checked.stderr));
        let child = command(program).arg("serve").arg("--config").arg(&file).spawn()?;
        let server = Server { child, address: gateway, public, admin: Some(admin) };
        server.until_ready().await.with_context(|| format!("{name} does not start"))?;
        Ok(server)
    }

    /// Adds the account that signs in.
    pub(crate) async fn add_account(&self, service: &str) -> Result<()> {
        let file = self.path().join(format!("{service}.toml"));
        let mut command = command(env!("CARGO_BIN_EXE_ephemint"));
        command.args(["users", "add", USERNAME, "--config"]).arg(file).stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let mut input = child.stdin.take().context("no standard input")?;
        tokio::io::AsyncWriteExt::write_all(&mut input, format!("{PASSWORD}\n").as_bytes()).await?;
        drop(input);
        let output = child.wait_with_output().await?;
        ensure!(output.status.success(), "no account: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// Starts one of the servers that the exchange is compared with.
    pub(crate) async fn start_baseline(&self, baseline: Baseline) -> Result<Server> {
        let address = free_address()?;
        let mut command = command(std::env::current_exe()?);
        let name = clap::ValueEnum::to_possible_value(&baseline).context("a baseline without a name")?;
        command.args(["--bench", "--baseline", name.get_name(), "--listen", &address, "--database", &self.url()]);
        let server = Server { child: command.spawn()?, address: address.clone(), public: address, admin: None };
        server.until_ready().await?;
        Ok(server)
    }

    /// CPU time that the database has used so far, in microseconds.
    pub(crate) fn database_cpu(&self) -> Result<u64> {
        crate::usage::of_family(self.postgres.id())
    }
}

/// A server under load; killed when dropped.
pub(crate) struct Server {
    child: Child,
    /// Where exchanges are asked for.
    pub(crate) address: String,
    /// Where people sign in, with the service.
    pub(crate) public: String,
    admin: Option<String>,
}

impl Server {
    pub(crate) fn id(&self) -> Result<u32> {
        self.child.id().context("the server has ended")
    }

    async fn until_ready(&self) -> Result<()> {
        let url = match &self.admin {
            Some(admin) => format!("http://{admin}/readyz"),
            None => format!("http://{}/exchange/{AUDIENCE}", self.address),
        };
        let http = reqwest::Client::builder().no_proxy().build()?;
        for _ in 0..300 {
            match http.get(&url).send().await {
                Ok(response) if self.admin.is_none() || response.status().is_success() => return Ok(()),
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
        anyhow::bail!("{url} does not answer")
    }

    /// The sum of all samples of a metric whose labels hold `label`.
    pub(crate) async fn metric(&self, name: &str, label: &str) -> Result<f64> {
        let admin = self.admin.as_deref().context("a baseline has no metrics")?;
        let http = reqwest::Client::builder().no_proxy().build()?;
        let text = http.get(format!("http://{admin}/metrics")).send().await?.text().await?;
        let samples = text.lines().filter(|line| line.starts_with(name) && line.contains(label));
        Ok(samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    }
}

fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    command
}

/// An address that was free a moment ago.
fn free_address() -> Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

async fn connect(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}
