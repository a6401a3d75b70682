//! How soon a healthy replica refuses what was revoked elsewhere, while it serves others.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::*;

/// The promise for a healthy installation, at the 99th percentile.
const PROMPT: Duration = Duration::from_millis(100);
const REVOKED: usize = 200;
/// How many clients exchange without a pause meanwhile.
const CLIENTS: usize = 4;

/// Revokes sessions one by one at the first replica, while others are exchanged at the other one. Returns how long after each answer
/// the last token came, and how many exchanges were served meanwhile.
async fn measure(pair: &Pair) -> (Vec<Duration>, u64) {
    let (over, served) = (AtomicBool::new(false), AtomicU64::new(0));
    let load = async {
        let live = pair.sessions(CLIENTS).await;
        let client = async |session: &Held| {
            while !over.load(Ordering::Acquire) {
                assert_eq!(pair.exchange(session).await, StatusCode::OK);
                served.fetch_add(1, Ordering::Relaxed);
            }
        };
        join_all(live.iter().map(client)).await;
    };
    let revoking = async {
        let mut took = Vec::new();
        for session in pair.sessions(REVOKED).await {
            for _ in 0..2 {
                assert_eq!(pair.exchange(&session).await, StatusCode::OK);
            }
            pair.revoke(&session, "").await;
            let (clock, mut last) = (SystemClock::new(), Duration::ZERO);
            while pair.exchange(&session).await == StatusCode::OK {
                last = clock.monotonic();
                assert!(last <= BOUND, "a token {last:?} after the revocation");
            }
            took.push(last);
        }
        over.store(true, Ordering::Release);
        took
    };
    let (took, ()) = tokio::join!(revoking, load);
    (took, served.into_inner())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_a_revocation_reaches_the_other_replica_in_milliseconds() {
    let pair = Pair::start().await;
    // A machine that is busy with other things may spoil a measurement. A fault would spoil each of them: without notifications,
    // half of all revocations would take longer than this.
    for last in [false, false, true] {
        let (took, served) = measure(&pair).await;
        let [median, p99, longest] = percentiles(took);
        say(&format!(
            "revoked elsewhere under load: median {median:.1?}, p99 {p99:.1?}, longest {longest:.1?} of {REVOKED}; \
             {served} exchanges meanwhile"
        ));
        assert!(median < PROMPT, "{median:?}");
        if p99 < PROMPT {
            return;
        }
        assert!(!last, "p99 {p99:?}");
    }
}
