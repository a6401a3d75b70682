//! The real code under schedules that a generator makes up: `Freshness`, `LogPosition`, `SessionCache` and `Live`.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use proptest::{
    prelude::*,
    test_runner::{Config, TestError, TestRunner},
};

use crate::world::{REPLICAS, SESSIONS, Seen, World};

/// One step of a schedule. What cannot be done is left out.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    Pass {
        milliseconds: u64,
    },
    Begin {
        concerned: usize,
    },
    Commit {
        transaction: usize,
        served_by: Option<usize>,
    },
    Crash,
    PollBegins(usize),
    PollIsAnswered(usize),
    PollEnds(usize),
    PollFails(usize),
    /// Without anything in between.
    WholePoll(usize),
    ExchangeBegins(usize, usize),
    ClientLeaves(usize, usize),
    ReadingIsAnswered(usize, usize),
    ReadingEnds(usize, usize),
    ExchangeEnds(usize, usize),
    /// Without anything in between.
    WholeExchange(usize, usize),
}

impl Step {
    /// Numbers are made and made smaller much faster than steps are.
    pub(crate) fn of(number: u32) -> Self {
        let [kind, first, second, third] = number.to_le_bytes().map(usize::from);
        let (replica, session) = (first % REPLICAS, second % SESSIONS);
        let amount = u64::try_from(second * 256 + third).unwrap();
        match kind % 64 {
            0..10 => Self::Pass { milliseconds: 1 + amount % 200 },
            10 if first.is_multiple_of(8) => Self::Pass { milliseconds: 1_900 + amount % 200 },
            11 if first.is_multiple_of(8) => Self::Pass { milliseconds: 1_000 + amount % 8_000 },
            10 | 11 => Self::ClientLeaves(replica, session),
            12 if first.is_multiple_of(2) => Self::Begin { concerned: second % 6 },
            13..16 => Self::Commit { transaction: second, served_by: (first % 4 != 0).then_some(third % REPLICAS) },
            16 if first.is_multiple_of(8) => Self::Crash,
            16 => Self::PollFails(replica),
            12 | 17..22 => Self::PollBegins(replica),
            22..27 => Self::PollIsAnswered(replica),
            27..32 => Self::PollEnds(replica),
            32..36 => Self::WholePoll(replica),
            36..43 => Self::ExchangeBegins(replica, session),
            43..48 => Self::ReadingIsAnswered(replica, session),
            48..53 => Self::ReadingEnds(replica, session),
            53..59 => Self::ExchangeEnds(replica, session),
            _ => Self::WholeExchange(replica, session),
        }
    }
}

#[test]
fn no_schedule_hands_out_a_token_for_a_session_that_has_ended() {
    let default = Config::default();
    let config = Config { cases: default.cases.max(10_000), failure_persistence: None, ..default };
    let cases = config.cases;
    let seen = Arc::new([const { AtomicUsize::new(0) }; 4]);
    let mut runner = TestRunner::new(config);
    let outcome = runner.run(&proptest::collection::vec(any::<u32>(), 1..250), |numbers| {
        let mut world = World::new();
        for (place, number) in numbers.into_iter().enumerate() {
            let step = Step::of(number);
            world.take(step).map_err(|fault| TestCaseError::fail(format!("{fault}, at step {place}, {step:?}")))?;
        }
        let Seen { from_memory, joined, within_the_bound, acknowledged } = world.seen;
        for (total, count) in seen.iter().zip([from_memory, joined, within_the_bound, acknowledged]) {
            total.fetch_add(count, Ordering::Relaxed);
        }
        Ok(())
    });
    outcome.unwrap_or_else(|failure| match failure {
        TestError::Fail(reason, numbers) => {
            panic!("{reason}\n{:#?}", numbers.into_iter().map(Step::of).collect::<Vec<_>>())
        }
        TestError::Abort(reason) => panic!("{reason}"),
    });
    let totals = seen.each_ref().map(|total| total.load(Ordering::Relaxed));
    let [from_memory, joined, within, acknowledged] = totals;
    crate::checked::say(&format!(
        "{cases} schedules: {acknowledged} ends acknowledged, {from_memory} tokens from memory, {joined} by a joined reading, \
         {within} within the bound after an end"
    ));
    for total in totals {
        assert!(total > 100, "these schedules show little");
    }
}
