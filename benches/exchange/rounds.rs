//! Interleaved rounds: every target is measured for a short slice between slices of the plain server, again and again, so that
//! a machine whose speed changes by the minute changes all of them alike.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

use anyhow::{Result, ensure};

use crate::{
    load::{self, Answers, Force, count},
    stage::{Server, Stage, Tokens},
    usage,
};

/// The name of the target that all others are set against.
pub(crate) const PLAIN: &str = "plain";

/// One thing to measure.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) name: &'static str,
    address: String,
    /// The processes whose CPU counts, each with its children.
    processes: Vec<u32>,
    path: &'static str,
    tokens: PathBuf,
    count: u64,
    /// The number of the next session to ask for.
    next: u64,
}

impl Target {
    pub(crate) fn new(name: &'static str, server: &Server, path: &'static str, tokens: &Tokens) -> Result<Self> {
        Ok(Self {
            name,
            address: server.address.clone(),
            processes: vec![server.id()?],
            path,
            tokens: tokens.file.clone(),
            count: tokens.count,
            next: 0,
        })
    }

    /// The same, behind a gateway: `processes` are all that take part in an answer.
    pub(crate) fn behind(
        name: &'static str,
        gateway: SocketAddr,
        processes: Vec<u32>,
        path: &'static str,
        tokens: &Tokens,
    ) -> Self {
        let (tokens, count) = (tokens.file.clone(), tokens.count);
        Self { name, address: gateway.to_string(), processes, path, tokens, count, next: 0 }
    }

    /// Drives it for one slice.
    pub(crate) async fn slice(&mut self, stage: &Stage, force: Force) -> Result<Slice> {
        let before = self.used(stage)?;
        let answers = load::exchanges(stage.path(), &self.address, self.path, &self.tokens, self.next, force).await?;
        let after = self.used(stage)?;
        self.next = (self.next + answers.requests) % self.count;
        // What belonged to a process that has ended meanwhile, as the database's do with their connections, is gone.
        let used = |place: usize| after[place].saturating_sub(before[place]);
        let each = |place: usize| count(used(place)) / count(answers.requests.max(1));
        let ours = (0..3).map(used).sum::<u64>();
        let elsewhere = count(used(3).saturating_sub(ours));
        #[expect(clippy::cast_precision_loss, reason = "a handful of cores")]
        let capacity = answers.seconds * 1e6 * usage::cores() as f64;
        Ok(Slice { answers, cpu: each(0), database_cpu: each(1), elsewhere: elsewhere / capacity })
    }

    /// The same, where everything but success is a failure of the run.
    pub(crate) async fn clean_slice(&mut self, stage: &Stage, force: Force) -> Result<Slice> {
        let slice = self.slice(stage, force).await?;
        let Answers { requests, refused, lost, .. } = slice.answers;
        // What is lost on a machine that stands still for seconds is no reason to throw a run away, unless it is much.
        ensure!(
            requests > 0 && refused == 0 && lost * 1_000 <= requests,
            "{}: {requests} answers, {refused} of them refusals, {lost} lost",
            self.name
        );
        Ok(slice)
    }

    /// Microseconds used by the server, the database, load generators that have ended, and the whole machine.
    fn used(&self, stage: &Stage) -> Result<[u64; 4]> {
        let ours = self.processes.iter().map(|&id| usage::of_family(id)).sum::<Result<u64>>()?;
        Ok([ours, stage.database_cpu()?, usage::of_ended_children()?, usage::of_machine()?])
    }
}

/// What one slice showed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slice {
    pub(crate) answers: Answers,
    /// Microseconds of the server's CPU for one request.
    pub(crate) cpu: f64,
    /// Microseconds of the database's CPU for one request.
    pub(crate) database_cpu: f64,
    /// The share of the machine that others took.
    pub(crate) elsewhere: f64,
}

/// All slices of a run: by target, one for each round.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    pub(crate) slices: BTreeMap<&'static str, Vec<Slice>>,
    /// For each slice, requests per second and CPU of the plain server just before and after it.
    plain: BTreeMap<&'static str, Vec<(f64, f64)>>,
}

impl Measured {
    /// Measures `targets`, grouped by what is compared with each other, `rounds` times.
    pub(crate) async fn take(
        stage: &Stage,
        plain: &mut Target,
        groups: &mut [Vec<Target>],
        rounds: usize,
        force: Force,
    ) -> Result<Self> {
        let mut measured = Self::default();
        for round in 0..rounds {
            groups.reverse();
            let mut before = plain.clean_slice(stage, force).await?;
            measured.slices.entry(PLAIN).or_default().push(before);
            for group in &mut *groups {
                // One group's order is turned over with all others': whoever comes second profits from nothing.
                if round > 0 {
                    group.reverse();
                }
                let mut taken = Vec::new();
                for target in group.iter_mut() {
                    taken.push((target.name, target.clean_slice(stage, force).await?));
                }
                let after = plain.clean_slice(stage, force).await?;
                measured.slices.entry(PLAIN).or_default().push(after);
                let around = |of: fn(&Slice) -> f64| f64::midpoint(of(&before), of(&after));
                for (name, slice) in taken {
                    measured.slices.entry(name).or_default().push(slice);
                    let base = (around(|slice| slice.answers.per_second()), around(|slice| slice.cpu));
                    measured.plain.entry(name).or_default().push(base);
                }
                before = after;
            }
        }
        Ok(measured)
    }

    /// The median of something over a target's slices.
    pub(crate) fn of(&self, name: &str, what: impl Fn(&Slice) -> f64) -> Option<f64> {
        median(self.slices.get(name)?.iter().map(what))
    }

    /// Throughput and CPU as multiples of the plain server's beside it.
    pub(crate) fn against_plain(&self, name: &str) -> Option<(f64, f64)> {
        let pairs: Vec<_> = self.slices.get(name)?.iter().zip(self.plain.get(name)?).collect();
        let throughput = median(pairs.iter().map(|(slice, plain)| slice.answers.per_second() / plain.0))?;
        Some((throughput, median(pairs.iter().map(|(slice, plain)| slice.cpu / plain.1))?))
    }

    /// Throughput and CPU, the database's included, as multiples of another target's in the same round.
    pub(crate) fn against(&self, name: &str, other: &str) -> Option<(f64, f64)> {
        let pairs: Vec<_> = self.slices.get(name)?.iter().zip(self.slices.get(other)?).collect();
        let total = |slice: &Slice| slice.cpu + slice.database_cpu;
        let throughput =
            median(pairs.iter().map(|(one, other)| one.answers.per_second() / other.answers.per_second()))?;
        Some((throughput, median(pairs.iter().map(|(one, other)| total(one) / total(other)))?))
    }
}

/// The middle value; the mean of the two middle ones where their number is even.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        Some(values[middle])
    } else {
        Some(f64::midpoint(*values.get(middle.checked_sub(1)?)?, values[middle]))
    }
}
