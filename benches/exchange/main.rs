//! `make bench`: the exchange under load, beside what it is compared with, as ratios within one run.
//!
//! It starts a throw-away Postgres, the release build of the service and the baselines, each as a process of its own, and
//! drives them with wrk from the same machine. How to read what it prints: `docs/performance.md`.
#![expect(clippy::print_stdout, reason = "what a bench finds goes to standard output")]

mod baselines;
mod gateway;
mod load;
mod report;
mod rounds;
mod scale;
mod stage;
mod usage;

use std::{net::SocketAddr, path::PathBuf};

use anyhow::{Context as _, Result};
use baselines::Baseline;
use clap::Parser;
use load::{Force, count};
use report::{Goal, Wanted};
use rounds::{Measured, PLAIN, Target, median};
use serde_json::json;
use stage::{PASSWORD, Server, Stage, Tokens, USERNAME};

const REUSED: &str = "token_reused";
const STRICT: &str = "strict";
const FRESH: &str = "fresh_signature";
const SIGN: &str = "bare_sign";
const UNCACHED: &str = "nothing_cached";
const NAIVE: &str = "naive";

/// How the kinds of work are called.
const TITLES: [(&str, &str); 13] = [
    (PLAIN, "plain: an empty 200"),
    (REUSED, "exchange, token reused"),
    (STRICT, "exchange, strict"),
    (SIGN, "bare sign: no session, same signer"),
    (FRESH, "exchange, session cached, fresh signature"),
    (NAIVE, "the usual way: pool, SELECT, josekit's signer"),
    (UNCACHED, "exchange, nothing cached"),
    (gateway::BARE, "nginx, without auth_request"),
    (gateway::STATIC, "nginx, auth_request to plain"),
    (gateway::EXCHANGE, "nginx, auth_request to the exchange"),
    (gateway::REPLICAS, "nginx, auth_request to three replicas"),
    (gateway::KEPT_ONE, "nginx, gateway_cache of 2 s, one cookie"),
    (gateway::KEPT_MANY, "nginx, gateway_cache of 2 s, 4 096 cookies"),
];

const EXCHANGE: &str = "/exchange/orders";

/// Sessions that are asked for again and again.
const HOT: u64 = 10_000;
/// Sessions that are asked for so seldom that a small cache has lost them.
const COLD: u64 = 100_000;

/// Measures the exchange beside its baselines.
#[derive(Debug, Parser)]
struct Arguments {
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
    /// Rounds of slices.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of one slice.
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    /// Connections that ask at once.
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// The kinds of work to measure, by the beginnings of their names, all where absent; the figures on latency and memory are then left out.
    #[arg(long)]
    only: Vec<String>,
    /// Also 10 million stored and a million cached sessions; takes some ten minutes more, and 8 GB below `TMPDIR`.
    #[arg(long)]
    scale: bool,
    /// `log.level` of the service.
    #[arg(long, default_value = "info")]
    log_level: String,
    /// Leaves the servers alone for so many seconds under the load of one kind of work, for a profiler.
    #[arg(long)]
    profile: Option<u64>,
    /// Where the JSON goes.
    #[arg(long, default_value = "target/bench.json")]
    json: PathBuf,
    #[arg(long, hide = true)]
    baseline: Option<Baseline>,
    #[arg(long, hide = true, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    #[arg(long, hide = true)]
    database: Option<String>,
}

impl Arguments {
    fn force(&self) -> Force {
        Force { connections: self.connections, seconds: self.seconds, pause: 0.0 }
    }

    fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| name.starts_with(only.as_str()))
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if !arguments.bench {
        println!("nothing is measured but by `make bench`");
        return Ok(());
    }
    match arguments.baseline {
        Some(baseline) => baselines::serve(baseline, arguments.listen, arguments.database.as_deref()).await,
        None => Box::pin(run(&arguments)).await,
    }
}

async fn run(arguments: &Arguments) -> Result<()> {
    let load_before = usage::load_average();
    println!("{}", usage::machine());
    let stage = Stage::prepare().await?;
    let hot = stage.store_sessions("hot", HOT, 1).await?;
    let cold = stage.store_sessions("cold", COLD, 1).await?;
    let service = |name, more| stage.start_service(name, &arguments.log_level, more);
    let main = service("main", "").await?;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let idle_memory = usage::memory_of(main.id()?)?;
    // Half of the life of such a token is over when it is signed, so none is handed out twice.
    let unreused = service("unreused", "token = { ttl = \"5s\", backdate = \"30s\" }").await?;
    // Holds some hundred sessions; by the time one comes up again it has been lost.
    let uncached = service("uncached", "exchange.cache_size = \"1MiB\"").await?;
    let plain = stage.start_baseline(Baseline::Plain).await?;
    let sign = stage.start_baseline(Baseline::Sign).await?;
    let naive = stage.start_baseline(Baseline::Naive).await?;

    let plain_server = plain;
    let mut plain = Target::new(PLAIN, &plain_server, EXCHANGE, &hot)?;
    let mut groups = vec![
        vec![Target::new(REUSED, &main, EXCHANGE, &hot)?],
        vec![Target::new(STRICT, &main, "/exchange/strict", &hot)?, Target::new(NAIVE, &naive, EXCHANGE, &cold)?],
        vec![Target::new(UNCACHED, &uncached, EXCHANGE, &cold)?],
        vec![Target::new(FRESH, &unreused, EXCHANGE, &hot)?, Target::new(SIGN, &sign, EXCHANGE, &hot)?],
    ];
    let gateways = gateway::Gateways::start(&stage, &main, &plain_server, &hot, arguments).await?;
    groups.push(gateways.targets()?);
    for group in &mut groups {
        group.retain(|target| arguments.wants(target.name));
    }
    groups.retain(|group| !group.is_empty());
    let warm_up = Force { seconds: 1, ..arguments.force() };
    for target in std::iter::once(&mut plain).chain(groups.iter_mut().flatten()) {
        target.clean_slice(&stage, warm_up).await?;
    }
    if let Some(seconds) = arguments.profile {
        println!("process {} is under load for {seconds} s", main.id()?);
        if let Some(target) = groups.iter_mut().flatten().next() {
            target.clean_slice(&stage, Force { seconds, ..arguments.force() }).await?;
        }
        return Ok(());
    }

    println!(
        "measuring: {} rounds of {} s slices, {} connections",
        arguments.rounds, arguments.seconds, arguments.connections
    );
    let measured = Measured::take(&stage, &mut plain, &mut groups, arguments.rounds, arguments.force()).await?;
    let titles: Vec<_> = TITLES.into_iter().filter(|(name, _)| measured.slices.contains_key(name)).collect();
    println!("\n{}", report::work_table(&measured, &titles));
    let mut goals = ratios(&measured);
    goals.extend(gateway::goals(&measured));
    goals.extend(gateways.reaching(&stage, arguments.force()).await?);
    if arguments.only.is_empty() {
        let mut reused = Target::new(REUSED, &main, EXCHANGE, &hot)?;
        goals.push(queries(&stage, &main, &mut reused, arguments.force()).await?);
        goals.push(source_of_uncached(&uncached).await?);
        let peak = measured.of(REUSED, |slice| slice.answers.per_second()).context("no peak")?;
        stage.add_account("main").await?;
        goals.extend(latency(&stage, &main, &mut reused, peak).await?);
        goals.push(Goal::new("memory of the idle service", mebibytes(idle_memory), " MiB", Wanted::AtMost(30.0)));
        goals.extend(memory(&stage, &hot, &cold, arguments).await?);
    }
    if arguments.scale {
        drop((gateways, main, unreused, uncached, naive, sign));
        goals.extend(scale::measure(&stage, &hot, arguments).await?);
    }
    println!("{}", report::goal_table(&goals));

    let others = median(measured.slices.values().flatten().map(|slice| slice.elsewhere)).unwrap_or(0.0);
    println!(
        "Others used {:.0} % of the machine meanwhile (median); load average before: {load_before}.",
        others * 100.0
    );
    if others > 0.05 {
        println!("The machine was not quiet: trust ratios and CPU, not throughput and latency.");
    }
    let about = json!({
        "machine": usage::machine(),
        "postgres": stage.postgres.version(),
        "commit": ephemint::version::COMMIT,
        "rounds": arguments.rounds,
        "seconds": arguments.seconds,
        "connections": arguments.connections,
        "log_level": arguments.log_level,
        "load_average_before": load_before,
        "share_of_machine_used_by_others": others,
    });
    let document = report::document(&measured, &goals, &about);
    std::fs::write(&arguments.json, format!("{document:#}\n")).context("the JSON cannot be written")?;
    println!("All slices: {}", arguments.json.display());
    Ok(())
}

/// What the slices say about the goals.
fn ratios(measured: &Measured) -> Vec<Goal> {
    let mut goals = Vec::new();
    let mut goal = |what: &str, pair: Option<(f64, f64)>, throughput, cpu| {
        if let Some((times, times_cpu)) = pair {
            goals.push(Goal::new(format!("{what}: throughput"), times, " ×", throughput));
            goals.push(Goal::new(format!("{what}: CPU"), times_cpu, " ×", cpu));
        }
    };
    let (at_least, at_most) = (Wanted::AtLeast, Wanted::AtMost);
    goal("token reused, of plain", measured.against_plain(REUSED), at_least(0.80), at_most(1.5));
    goal("strict, of plain", measured.against_plain(STRICT), at_least(0.33), at_most(4.5));
    goal("strict, of the usual way", measured.against(STRICT, NAIVE), at_least(3.5), Wanted::Nothing);
    goal("fresh signature, of bare sign", measured.against(FRESH, SIGN), at_least(0.90), Wanted::Nothing);
    goal("nothing cached, of the usual way", measured.against(UNCACHED, NAIVE), at_least(2.0), Wanted::Nothing);
    goals
}

/// Statements per exchange when everything is cached.
async fn queries(stage: &Stage, main: &Server, reused: &mut Target, force: Force) -> Result<Goal> {
    const QUERIES: &str = "ephemint_database_queries_total";
    // Tokens are signed anew every half a minute; sessions are only read again after a quarter of an hour.
    reused.clean_slice(stage, force).await?;
    let before = main.metric(QUERIES, "").await?;
    let slice = reused.clean_slice(stage, Force { seconds: 3 * force.seconds, ..force }).await?;
    let queries = main.metric(QUERIES, "").await? - before;
    let each = queries / count(slice.answers.requests);
    Ok(Goal::new("database queries per exchange in steady state", each, "", Wanted::AtMost(0.001)))
}

/// Whether nothing was cached where nothing was to be.
async fn source_of_uncached(uncached: &Server) -> Result<Goal> {
    const EXCHANGES: &str = "ephemint_exchanges_total";
    let read = uncached.metric(EXCHANGES, "source=\"database\"").await?;
    let share = read / uncached.metric(EXCHANGES, "").await?;
    Ok(Goal::new("nothing cached: share of exchanges that read the database", share, "", Wanted::AtLeast(0.95)))
}

/// The slowest hundredth at 70 % of the peak, alone and beside sign-ins at full rate.
async fn latency(stage: &Stage, main: &Server, reused: &mut Target, peak: f64) -> Result<[Goal; 4]> {
    const CONNECTIONS: usize = 128;
    let aim = 0.7 * peak;
    let mut force = Force { connections: CONNECTIONS, seconds: 3, pause: count(CONNECTIONS as u64) / aim * 1e3 };
    for _ in 0..2 {
        let rate = reused.clean_slice(stage, Force { seconds: 1, ..force }).await?.answers.per_second();
        // What is above the aim is taken off by a longer pause, and the other way round.
        force.pause = (force.pause + count(CONNECTIONS as u64) * (1.0 / aim - 1.0 / rate) * 1e3).max(0.1);
    }
    let mut found = [Vec::new(), Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..3 {
        let alone = reused.clean_slice(stage, force).await?.answers;
        let sign_ins = Force { connections: 4, seconds: force.seconds, pause: 0.0 };
        let (beside, logins) = tokio::join!(
            reused.clean_slice(stage, force),
            load::logins(stage.path(), &main.public, USERNAME, PASSWORD, sign_ins)
        );
        let (beside, logins) = (beside?.answers, logins?);
        anyhow::ensure!(logins.requests > logins.refused, "nobody could sign in: {logins:?}");
        let figures = [alone.p99_ms, alone.per_second() / peak, beside.p99_ms / alone.p99_ms, logins.per_second()];
        found.iter_mut().zip(figures).for_each(|(found, figure)| found.push(figure));
    }
    let [p99, share, times, logins] = found.map(|figures| median(figures).unwrap_or(f64::NAN));
    Ok([
        Goal::new("p99 at 70 % of peak", p99, " ms", Wanted::AtMost(2.0)),
        Goal::new("share of peak that was offered for it", share, "", Wanted::Nothing),
        Goal::new("p99 with sign-ins at full rate beside, of p99 without", times, " ×", Wanted::AtMost(2.0)),
        Goal::new("sign-ins per second meanwhile", logins, "", Wanted::Nothing),
    ])
}

/// What one session in memory takes: first without a token, then with one.
async fn memory(stage: &Stage, hot: &Tokens, cold: &Tokens, arguments: &Arguments) -> Result<[Goal; 2]> {
    let server = stage.start_service("memory", &arguments.log_level, "exchange.cache_size = \"1GiB\"").await?;
    // A disabled audience: the session is read and kept, but no token is signed.
    let mut closed = Target::new("no token", &server, "/exchange/closed", cold)?;
    let mut open = Target::new("token", &server, EXCHANGE, cold)?;
    let mut warm = Target::new("warm", &server, EXCHANGE, hot)?;
    warm.clean_slice(stage, arguments.force()).await?;
    let before = usage::memory_of(server.id()?)?;
    let mut each = [0.0; 2];
    for (each, target) in each.iter_mut().zip([&mut closed, &mut open]) {
        let mut asked = 0;
        while asked < cold.count + 1_000 {
            asked += target.slice(stage, arguments.force()).await?.answers.requests;
        }
        *each = count(usage::memory_of(server.id()?)?.saturating_sub(before)) / count(cold.count);
    }
    Ok([
        Goal::new("memory of a cached session without a token", each[0], " bytes", Wanted::AtMost(400.0)),
        Goal::new("memory of a cached session with its token", each[1], " bytes", Wanted::AtMost(800.0)),
    ])
}

fn mebibytes(bytes: u64) -> f64 {
    count(bytes) / f64::from(1 << 20)
}
