//! The hop through nginx: the shipped configuration with the exchange, with a static answer in its place, and without either; with
//! several replicas behind it; and with answers that it keeps by itself.

use std::{
    fs::Permissions,
    net::{SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt as _,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use ephemint::dev::{
    gateway::{Gateway, Options},
    gateway_config::{NginxAddresses, nginx, nginx_with_cache},
};
use tempfile::TempDir;

use crate::{
    Arguments,
    load::{Force, count},
    report::{Goal, Wanted},
    rounds::{Measured, Target},
    stage::{AUDIENCE, Server, Stage, Tokens},
};

pub(crate) const BARE: &str = "gateway_bare";
pub(crate) const STATIC: &str = "gateway_static";
pub(crate) const EXCHANGE: &str = "gateway_exchange";
pub(crate) const REPLICAS: &str = "gateway_replicas";
pub(crate) const KEPT_ONE: &str = "gateway_kept_one";
pub(crate) const KEPT_MANY: &str = "gateway_kept_many";

/// Where the application is, as wrk asks for it.
const APPLICATION: &str = "/api/hello";

const GATEWAY_CACHE: Duration = Duration::from_secs(2);

/// An nginx, and what it talks to.
struct Hop {
    name: &'static str,
    nginx: Gateway,
    /// The processes behind it.
    behind: Vec<u32>,
    tokens: Tokens,
}

impl Hop {
    fn target(&self) -> Result<Target> {
        let master = std::fs::read_to_string(self.nginx.prefix().join("nginx.pid"))?.trim().parse()?;
        let processes = [&[master], self.behind.as_slice()].concat();
        Ok(Target::behind(self.name, self.nginx.address(), processes, APPLICATION, &self.tokens))
    }
}

/// The gateways that were asked for, with what only they need.
pub(crate) struct Gateways {
    // In this order: each nginx goes before what it talks to.
    hops: Vec<Hop>,
    /// The service whose answers are kept.
    kept: Option<Server>,
    replicas: Vec<Server>,
    memory: Option<TempDir>,
}

impl Gateways {
    /// Starts what is wanted; `main` is the service, `plain` the static answer and the application.
    pub(crate) async fn start(
        stage: &Stage,
        main: &Server,
        plain: &Server,
        hot: &Tokens,
        arguments: &Arguments,
    ) -> Result<Self> {
        let mut gateways = Self { hops: Vec::new(), kept: None, replicas: Vec::new(), memory: None };
        let service = |name, more| stage.start_service(name, &arguments.log_level, more);
        for name in [BARE, STATIC, EXCHANGE].into_iter().filter(|name| arguments.wants(name)) {
            let exchange = if name == EXCHANGE { main } else { plain };
            let addresses = addresses(exchange, plain)?;
            let mut config = nginx(&addresses);
            if name == BARE {
                config = replaced(&config, "auth_request /_exchange;", "auth_request off;")?;
            }
            gateways.hops.push(Hop::start(stage, name, &addresses, config, &[exchange, plain], hot.clone()).await?);
        }
        if arguments.wants(REPLICAS) {
            gateways.replicas = vec![service("second", "").await?, service("third", "").await?];
            let addresses = addresses(main, plain)?;
            let servers = [&[main], gateways.replicas.iter().collect::<Vec<_>>().as_slice()].concat();
            let lines: Vec<_> = servers.iter().map(|server| format!("server {};", server.address)).collect();
            let config = replaced(&nginx(&addresses), &lines[0], &lines.join("\n        "))?;
            let behind = [servers.as_slice(), &[plain]].concat();
            let hop = Hop::start(stage, REPLICAS, &addresses, config, &behind, hot.clone()).await?;
            gateways.hops.push(hop);
        }
        if arguments.wants(KEPT_ONE) || arguments.wants(KEPT_MANY) {
            let kept = service("kept", "exchange.gateway_cache = \"2s\"").await?;
            // As it is to be run: in memory, in a place that nginx's account can write to.
            let memory = tempfile::Builder::new().prefix("ephemint-bench-").tempdir_in("/dev/shm")?;
            std::fs::set_permissions(memory.path(), Permissions::from_mode(0o777))?;
            for (name, cookies) in [(KEPT_ONE, 1), (KEPT_MANY, 4_096)] {
                if !arguments.wants(name) {
                    continue;
                }
                let directory = memory.path().join(name);
                let directory = directory.to_str().context("a path that is no text")?;
                let addresses = addresses(&kept, plain)?;
                let config = nginx_with_cache(&addresses, GATEWAY_CACHE, directory).context("too short to keep")?;
                let tokens = stage.store_sessions(&format!("{name}_tokens"), cookies, 1).await?;
                gateways.hops.push(Hop::start(stage, name, &addresses, config, &[&kept, plain], tokens).await?);
            }
            (gateways.kept, gateways.memory) = (Some(kept), Some(memory));
        }
        Ok(gateways)
    }

    /// What is to be measured.
    pub(crate) fn targets(&self) -> Result<Vec<Target>> {
        self.hops.iter().map(Hop::target).collect()
    }

    /// How much of what an nginx with a memory is asked still reaches the service.
    pub(crate) async fn reaching(&self, stage: &Stage, force: Force) -> Result<Vec<Goal>> {
        const EXCHANGES: &str = "ephemint_exchanges_total";
        let mut goals = Vec::new();
        let Some(kept) = &self.kept else { return Ok(goals) };
        for hop in self.hops.iter().filter(|hop| [KEPT_ONE, KEPT_MANY].contains(&hop.name)) {
            let before = kept.metric(EXCHANGES, "").await?;
            let slice = hop.target()?.clean_slice(stage, force).await?;
            let asked = kept.metric(EXCHANGES, "").await? - before;
            let cookies = if hop.name == KEPT_ONE { "one cookie" } else { "4 096 cookies" };
            let what = format!("gateway_cache, {cookies}: share of requests that reach the exchange");
            goals.push(Goal::new(what, asked / count(slice.answers.requests), "", Wanted::Nothing));
        }
        Ok(goals)
    }
}

impl Hop {
    async fn start(
        stage: &Stage,
        name: &'static str,
        addresses: &NginxAddresses<'_>,
        config: String,
        behind: &[&Server],
        tokens: Tokens,
    ) -> Result<Self> {
        let mut behind = behind.iter().map(|server| server.id()).collect::<Result<Vec<_>>>()?;
        behind.sort_unstable();
        behind.dedup();
        // A log costs every row the same and hides what differs. What a busy machine delays is late, and no refusal.
        let mut config = replaced(&config, "access_log access.log requests;", "access_log off;")?;
        for (limit, patient) in [
            ("proxy_connect_timeout 250ms;", "proxy_connect_timeout 5s;"),
            ("proxy_connect_timeout 1s;", "proxy_connect_timeout 5s;"),
            ("proxy_send_timeout 1s;", "proxy_send_timeout 5s;"),
            ("proxy_read_timeout 1s;", "proxy_read_timeout 5s;"),
        ] {
            config = replaced(&config, limit, patient)?;
        }
        let options = Options { directory: stage.path().join(name), config, listen: addresses.listen, program: None };
        let nginx = tokio::task::spawn_blocking(move || Gateway::start(&options)).await??;
        Ok(Self { name, nginx, behind, tokens })
    }
}

/// What the slices say about the goals.
pub(crate) fn goals(measured: &Measured) -> Vec<Goal> {
    let mut goals = Vec::new();
    for (what, one, other, wanted) in [
        ("gateway: with the exchange, of a static answer", EXCHANGE, STATIC, Wanted::AtLeast(0.80)),
        ("gateway: with the exchange, of none", EXCHANGE, BARE, Wanted::AtLeast(0.50)),
        ("gateway: three replicas, of one", REPLICAS, EXCHANGE, Wanted::Nothing),
        ("gateway: gateway_cache for one cookie, of asking each time", KEPT_ONE, EXCHANGE, Wanted::Nothing),
        ("gateway: gateway_cache for 4 096 cookies, of asking each time", KEPT_MANY, EXCHANGE, Wanted::Nothing),
    ] {
        if let Some((throughput, cpu)) = measured.against(one, other) {
            goals.push(Goal::new(format!("{what}: throughput"), throughput, " ×", wanted));
            goals.push(Goal::new(format!("{what}: CPU of all"), cpu, " ×", Wanted::Nothing));
        }
    }
    goals
}

fn addresses(exchange: &Server, application: &Server) -> Result<NginxAddresses<'static>> {
    let address = |text: &str| text.parse::<SocketAddr>().context("an address");
    Ok(NginxAddresses {
        listen: TcpListener::bind("127.0.0.1:0")?.local_addr()?,
        public: address(&exchange.public)?,
        gateway: address(&exchange.address)?,
        application: address(&application.address)?,
        audience: AUDIENCE,
    })
}

/// The configuration with something else in a place that it must have.
fn replaced(config: &str, place: &str, with: &str) -> Result<String> {
    ensure!(config.contains(place), "the shipped configuration has no {place:?}");
    Ok(config.replace(place, with))
}
