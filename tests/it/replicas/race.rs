//! Readings that arrive late, around the moment at which their replica hears of a revocation.

use super::*;

/// How many races are driven.
const RACES: usize = 1_000;
/// How many at a time.
const AT_ONCE: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_was_read_before_its_revocation_is_never_believed_after_it() {
    let pair = Pair::start().await;
    let (mut won, mut lost) = (0, 0);
    for round in 0..RACES / AT_ONCE {
        let sessions = pair.sessions(AT_ONCE).await;
        // The other replica has never seen them: each exchange fills its memory, or must not.
        pair.proxy.delay(Duration::from_millis(u64::try_from(round % 10).unwrap()));
        let pair = &pair;
        let races = sessions.iter().enumerate().map(|(place, session)| async move {
            let late = async |turns: usize| {
                for _ in 0..turns {
                    tokio::task::yield_now().await;
                }
            };
            let exchange = async {
                late(place % 5 * 40).await;
                pair.exchange(session).await
            };
            let revoke = async {
                late(place / 5 * 40).await;
                pair.revoke(session, "").await;
            };
            tokio::join!(exchange, revoke).0
        });
        for status in join_all(races).await {
            *(if status == StatusCode::OK { &mut won } else { &mut lost }) += 1;
        }
        pair.proxy.delay(Duration::ZERO);
        // From the moment at which it knows of a later revocation, it knows of these.
        let marker = pair.remembered().await;
        pair.revoke(&marker, "").await;
        eventually("the later revocation is known", async || {
            (pair.exchange(&marker).await == StatusCode::UNAUTHORIZED).then_some(())
        })
        .await;
        for _ in 0..2 {
            for status in join_all(sessions.iter().map(|session| pair.exchange(session))).await {
                assert_eq!(status, StatusCode::UNAUTHORIZED, "round {round}");
            }
        }
    }
    say(&format!("{RACES} races: {won} times a token first, {lost} times the revocation; no stale hit after either"));
    assert!(won > RACES / 20, "these races show little: {won} tokens");
}
