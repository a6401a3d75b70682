//! No enumeration: unknown, wrong, disabled and throttled take the same time.

use ephemint::{
    clock::{Clock as _, SystemClock},
    service::accounts::LoginError,
};

use super::{PASSWORD, attempt, given_account};
use crate::support::app::TestApp;

const WRONG: &str = "gravel otters hum";
const KINDS: [&str; 4] = ["unknown", "wrong", "disabled", "throttled"];
/// How far apart the times of two kinds may lie, by their median, in milliseconds.
const APART: f64 = 3.0;
const SAMPLES: usize = 40;
/// The machine may be busy with something else for a while: then there are more samples, all of which count.
const ROUNDS: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_wrong_disabled_and_throttled_take_the_same_time() {
    let app = TestApp::spawn_with("login.longest_delay = '0s'\nlogin.network_free_failures = 1000").await;
    for name in ["wrong", "disabled", "throttled"] {
        given_account(&app, name).await;
    }
    app.state.accounts.disable("disabled").await.unwrap();
    for _ in 0..5 {
        let _ = attempt(&app.state.accounts, "throttled", WRONG, "192.0.2.1").await;
    }
    let mut samples = Vec::new();
    let mut tried = Vec::new();
    for _ in 0..ROUNDS {
        for _ in 0..SAMPLES {
            samples.push(measure(&app, samples.len()).await);
        }
        // Kinds that were measured right after each other are compared, so that a busy spell hits all of them alike.
        let apart: Vec<f64> = (1..KINDS.len()).map(|kind| median(&samples, |times| times[kind] - times[0])).collect();
        if apart.iter().all(|apart| apart.abs() <= APART)
            && apart.iter().flat_map(|one| apart.iter().map(move |other| one - other)).all(|apart| apart.abs() <= APART)
        {
            return;
        }
        tried.push((median(&samples, |times| times[0]), apart));
    }
    panic!("median of {}, and how much later {:?} are (ms), more and more samples: {tried:?}", KINDS[0], &KINDS[1..]);
}

/// One attempt of each kind, in turns that begin with another kind each time; milliseconds.
async fn measure(app: &TestApp, sample: usize) -> [f64; 4] {
    let clock = SystemClock::new();
    let mut times = [0.0; 4];
    for offset in 0..KINDS.len() {
        let kind = (sample + offset) % KINDS.len();
        let network = sample * KINDS.len() + kind;
        // A network of its own for each, but for the one that is throttled.
        let address = match KINDS[kind] {
            "throttled" => "192.0.2.1".to_owned(),
            _ => format!("10.0.{}.{}", network / 256, network % 256),
        };
        let typed = if ["disabled", "throttled"].contains(&KINDS[kind]) { PASSWORD } else { WRONG };
        let began = clock.monotonic();
        let result = attempt(&app.state.accounts, KINDS[kind], typed, &address).await;
        times[kind] = clock.monotonic().saturating_sub(began).as_secs_f64() * 1_000.0;
        assert!(matches!(result, Err(LoginError::Refused)), "{}: {result:?}", KINDS[kind]);
    }
    times
}

fn median(samples: &[[f64; 4]], of: impl Fn(&[f64; 4]) -> f64) -> f64 {
    let mut values: Vec<f64> = samples.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
