//! `--scale`: ten million stored sessions beside ten thousand, and a million in memory.

use std::time::Duration;

use anyhow::{Context as _, Result};
use ephemint::clock::{Clock as _, SystemClock};

use crate::{
    Arguments, EXCHANGE,
    baselines::Baseline,
    load::{Force, count},
    report::{Goal, Wanted},
    rounds::{PLAIN, Target, median},
    stage::{Server, Stage, Tokens},
    usage,
};

/// How many are stored; one in ten of them is asked for.
const STORED: u64 = 10_000_000;
const STEP: u64 = 10;

/// A million sessions are each asked for once, ten thousand again and again: noting their uses would cost one of them far more.
const SEEN_IN: Duration = Duration::from_hours(2);

/// A cache so small that it has lost a session when it comes up again.
const LOSING: &str = "exchange.cache_size = \"1MiB\"";

/// Measures it all; takes some ten minutes.
pub(crate) async fn measure(stage: &Stage, hot: &Tokens, arguments: &Arguments) -> Result<Vec<Goal>> {
    println!("storing {STORED} sessions");
    let clock = SystemClock::new();
    let began = clock.monotonic();
    let many = stage.store_sessions_seen_in(SEEN_IN, "many", STORED, STEP).await?;
    println!(
        "stored in {:.0} s, {:.1} GB",
        clock.monotonic().saturating_sub(began).as_secs_f64(),
        count(stage.size_of_sessions().await?) / 1e9
    );
    let plain = stage.start_baseline(Baseline::Plain).await?;
    let mut plain = Target::new(PLAIN, &plain, EXCHANGE, hot)?;
    let mut goals = Box::pin(stored(stage, &mut plain, &many, arguments)).await?;
    goals.extend(Box::pin(cached(stage, &mut plain, hot, &many, arguments)).await?);
    Ok(goals)
}

/// The path without memory, beside the same in a database with a thousandth of the rows.
async fn stored(stage: &Stage, plain: &mut Target, many: &Tokens, arguments: &Arguments) -> Result<Vec<Goal>> {
    let force = arguments.force();
    let small_stage = Stage::prepare().await?;
    let few = small_stage.store_sessions_seen_in(SEEN_IN, "few", STORED / 1_000, 1).await?;
    let small = small_stage.start_service("few", &arguments.log_level, LOSING).await?;
    let large = stage.start_service("many", &arguments.log_level, LOSING).await?;
    let mut small = Target::new("stored_few", &small, EXCHANGE, &few)?;
    let mut large = Target::new("stored_many", &large, EXCHANGE, many)?;
    for (target, stage) in [(&mut small, &small_stage), (&mut large, stage)] {
        target.clean_slice(stage, force).await?;
    }
    let mut found = [Vec::new(), Vec::new()];
    for round in 0..arguments.rounds {
        let (few, many);
        if round % 2 == 0 {
            few = beside_plain(&mut small, plain, &small_stage, force).await?;
            many = beside_plain(&mut large, plain, stage, force).await?;
        } else {
            many = beside_plain(&mut large, plain, stage, force).await?;
            few = beside_plain(&mut small, plain, &small_stage, force).await?;
        }
        found[0].push(many.0 / few.0);
        found[1].push(many.1 / few.1);
    }
    let [throughput, cpu] = found.map(|found| median(found).unwrap_or(f64::NAN));
    let what = "10 000 000 stored sessions, nothing cached, of 10 000";
    Ok(vec![
        Goal::new(format!("{what}: throughput"), throughput, " ×", Wanted::AtLeast(0.90)),
        Goal::new(format!("{what}: CPU, the database's included"), cpu, " ×", Wanted::Nothing),
    ])
}

/// Memory and speed with a million sessions in memory.
async fn cached(
    stage: &Stage,
    plain: &mut Target,
    hot: &Tokens,
    many: &Tokens,
    arguments: &Arguments,
) -> Result<Vec<Goal>> {
    let force = arguments.force();
    let server = stage.start_service("million", &arguments.log_level, "exchange.cache_size = \"4GiB\"").await?;
    let mut ten_thousand = Target::new("cached_few", &server, EXCHANGE, hot)?;
    ten_thousand.clean_slice(stage, force).await?;
    let before = rounds(&mut ten_thousand, plain, stage, arguments).await?;

    // At a disabled audience first, where nothing is signed: a session without a token.
    let empty = usage::memory_of(server.id()?)?;
    let mut each = [0.0; 2];
    for (each, path) in each.iter_mut().zip(["/exchange/closed", EXCHANGE]) {
        let mut fill = Target::new("fill", &server, path, many)?;
        let mut asked = 0;
        while asked < many.count {
            asked += fill.slice(stage, Force { seconds: 10, ..force }).await?.answers.requests;
        }
        *each = count(usage::memory_of(server.id()?)?.saturating_sub(empty)) / count(many.count);
    }
    let kept = entries(&server).await?;
    ten_thousand.clean_slice(stage, force).await?;
    let after = rounds(&mut ten_thousand, plain, stage, arguments).await?;
    let mut million = Target::new("cached_many", &server, EXCHANGE, many)?;
    let spread = rounds(&mut million, plain, stage, arguments).await?;
    let what = "10 000 hot of 1 000 000 cached sessions, of 10 000 alone";
    Ok(vec![
        Goal::new("sessions in memory", kept, "", Wanted::AtLeast(count(many.count))),
        Goal::new("memory of each of 1 000 000 sessions without a token", each[0], " bytes", Wanted::AtMost(400.0)),
        Goal::new("memory of each of 1 000 000 sessions with its token", each[1], " bytes", Wanted::AtMost(800.0)),
        Goal::new(format!("{what}: throughput"), after.0 / before.0, " ×", Wanted::AtLeast(0.95)),
        Goal::new(format!("{what}: CPU"), after.1 / before.1, " ×", Wanted::Nothing),
        Goal::new("1 000 000 sessions in turn, most tokens signed anew: CPU", spread.1, " × plain", Wanted::Nothing),
    ])
}

/// Sessions in memory, as the service counts them.
async fn entries(server: &Server) -> Result<f64> {
    server.metric("ephemint_cache_entries", "cache=\"sessions\"").await
}

/// Medians of throughput and CPU as multiples of plain's, over all rounds.
async fn rounds(target: &mut Target, plain: &mut Target, stage: &Stage, arguments: &Arguments) -> Result<(f64, f64)> {
    let mut found = (Vec::new(), Vec::new());
    for _ in 0..arguments.rounds {
        let (throughput, cpu) = beside_plain(target, plain, stage, arguments.force()).await?;
        found.0.push(throughput);
        found.1.push(cpu);
    }
    Ok((median(found.0).context("no rounds")?, median(found.1).context("no rounds")?))
}

/// One slice between two of plain: throughput and CPU, the database's included, as multiples of theirs.
async fn beside_plain(target: &mut Target, plain: &mut Target, stage: &Stage, force: Force) -> Result<(f64, f64)> {
    let before = plain.clean_slice(stage, force).await?;
    let slice = target.clean_slice(stage, force).await?;
    let after = plain.clean_slice(stage, force).await?;
    let throughput = f64::midpoint(before.answers.per_second(), after.answers.per_second());
    let cpu = (slice.cpu + slice.database_cpu) / f64::midpoint(before.cpu, after.cpu);
    Ok((slice.answers.per_second() / throughput, cpu))
}
