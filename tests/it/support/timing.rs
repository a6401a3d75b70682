//! Compares how long things take, on a machine that may be busy with something else.

use ephemint::clock::{Clock as _, SystemClock};

/// How far apart the times of two kinds may lie, by their median, in milliseconds.
const APART: f64 = 3.0;
/// Samples of each kind in one round.
const SAMPLES: usize = 20;
/// A busy spell may hit one kind more than others: then there are more samples, all of which count.
const ROUNDS: usize = 10;

/// Checks that `attempt` takes the same time for all kinds. It is given a kind and a number that no other attempt has.
pub(crate) async fn all_take_the_same_time<const N: usize>(
    kinds: [&'static str; N],
    mut attempt: impl AsyncFnMut(&'static str, usize),
) {
    let clock = SystemClock::new();
    let mut samples: Vec<[f64; N]> = Vec::new();
    let mut tried = Vec::new();
    for _ in 0..ROUNDS {
        for _ in 0..SAMPLES {
            let mut times = [0.0; N];
            // In turns that begin with another kind each time.
            for kind in (0..N).map(|offset| (samples.len() + offset) % N) {
                let began = clock.monotonic();
                attempt(kinds[kind], samples.len() * N + kind).await;
                times[kind] = clock.monotonic().saturating_sub(began).as_secs_f64() * 1_000.0;
            }
            samples.push(times);
        }
        // Kinds that were measured right after each other are compared, so that a busy spell hits all of them alike.
        let later: Vec<f64> = (0..N).map(|kind| median(&samples, |times| times[kind] - times[0])).collect();
        if later.iter().flat_map(|one| later.iter().map(move |other| one - other)).all(|apart| apart.abs() <= APART) {
            return;
        }
        tried.push((median(&samples, |times| times[0]), later));
    }
    panic!("median of {}, and how much later each of {kinds:?} is (ms), more and more samples: {tried:?}", kinds[0]);
}

fn median<const N: usize>(samples: &[[f64; N]], of: impl Fn(&[f64; N]) -> f64) -> f64 {
    let mut values: Vec<f64> = samples.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
