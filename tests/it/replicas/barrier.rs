//! `?wait=all` between real processes: soon where all is well, at the bound where it is not, and never a token after it.

use super::*;

impl Pair {
    /// Revokes and waits for all; returns how long that took.
    async fn revoke_everywhere(&self, session: &Held) -> Duration {
        let clock = SystemClock::new();
        self.revoke(session, "?wait=all").await;
        clock.monotonic()
    }

    async fn no_token_any_more(&self, session: &Held, fault: &str) {
        for _ in 0..10 {
            assert_ne!(self.exchange(session).await, StatusCode::OK, "{fault}");
        }
    }

    /// Until both replicas are in the registry and have passed what was asked of them.
    async fn settled(&self) {
        eventually("a barrier that is passed at once", async || {
            let session = self.session().await;
            (self.revoke_everywhere(&session).await < BOUND / 2).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_all_is_well_the_answer_that_waits_takes_milliseconds() {
    let pair = Pair::start().await;
    pair.settled().await;
    let (mut took, mut plain) = (Vec::new(), Vec::new());
    for _ in 0..100 {
        let [session, other] = [pair.remembered().await, pair.session().await];
        let clock = SystemClock::new();
        pair.revoke(&other, "").await;
        plain.push(clock.monotonic());
        took.push(pair.revoke_everywhere(&session).await);
        // Not one more, not even right after the answer.
        assert_eq!(pair.exchange(&session).await, StatusCode::UNAUTHORIZED);
    }
    let ([median, p99, longest], [without, ..]) = (percentiles(took), percentiles(plain));
    say(&format!(
        "wait=all with two healthy replicas: median {median:.1?}, p99 {p99:.1?}, longest {longest:.1?} of 100; \
         without waiting {without:.1?}"
    ));
    // By polls alone it would be half of the poll interval, 250 ms. A machine that does other things takes tens of milliseconds.
    assert!(median < Duration::from_millis(100), "{median:?}, and without waiting {without:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_frozen_delayed_or_paused_no_token_comes_after_the_answer() {
    let pair = Pair::start().await;
    let faults: [(&str, Fault); 3] = [
        ("cut", DatabaseProxy::close),
        ("frozen", DatabaseProxy::freeze),
        ("delayed", |proxy| proxy.delay(Duration::from_millis(300))),
    ];
    for (name, fault) in faults {
        let session = pair.remembered().await;
        fault(&pair.proxy);
        let took = pair.revoke_everywhere(&session).await;
        assert!(name == "delayed" || took >= BOUND, "{name}: {took:?}");
        assert!(took < 3 * BOUND, "{name}: {took:?}");
        pair.no_token_any_more(&session, name).await;
        match name {
            "cut" => pair.proxy.reopen(),
            "frozen" => pair.proxy.thaw(),
            _ => pair.proxy.delay(Duration::ZERO),
        }
        pair.settled().await;
    }
    let session = pair.remembered().await;
    pair.other.signal(Signal::SIGSTOP);
    let took = pair.revoke_everywhere(&session).await;
    assert!(took >= BOUND, "it cannot have noticed: {took:?}");
    pair.other.signal(Signal::SIGCONT);
    pair.no_token_any_more(&session, "paused").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_starts_or_stops_meanwhile_is_neither_missed_nor_waited_for() {
    let mut pair = Pair::start().await;
    let session = pair.remembered().await;
    let Pair { one, secret, http, database, .. } = &pair;
    // Its place is taken by another one again and again, while revocations wait for all.
    let file = config_file(&database.url, "");
    for _ in 0..3 {
        let started = Serving::start(file.path()).await;
        let held = pair.session().await;
        let exchange = async || {
            let request =
                http.get(format!("http://{}/exchange/orders", started.gateway)).header("cookie", &held.cookie);
            request.send().await.unwrap().status()
        };
        // Right after its start.
        assert_eq!(exchange().await, StatusCode::OK);
        let url = format!("http://{}/admin/sessions/{}?wait=all", one.admin, held.id);
        assert_eq!(http.delete(url).bearer_auth(secret).send().await.unwrap().status(), StatusCode::OK);
        assert_eq!(exchange().await, StatusCode::UNAUTHORIZED);
        started.terminate();
        let mut started = started;
        assert_eq!(started.exit_code(Duration::from_secs(20)).await, 0);
    }
    assert_eq!(pair.database.count("SELECT count(*) FROM replica").await, 2, "who stops takes its row along");
    let took = pair.revoke_everywhere(&session).await;
    assert!(took < BOUND, "{took:?}");
    // One that is killed leaves its row, and is waited for until its silence is believed.
    pair.other.child.kill().await.unwrap();
    let last = pair.session().await;
    assert!(pair.revoke_everywhere(&last).await >= BOUND);
}
