//! Two replicas on one database, as real processes: what is revoked on one is dead on the other within the bound, whatever is cut,
//! frozen, delayed or paused.

mod barrier;
mod promptly;
mod race;

use std::{io::Write as _, time::Duration};

use ephemint::clock::{Clock as _, SystemClock};
use futures_util::future::join_all;
use nix::sys::signal::Signal;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::support::{
    app::COOKIE,
    database::{TestDatabase, eventually},
    program::{Serving, add_client, config_file},
    proxy::DatabaseProxy,
};

/// The promise: no token later than this after a revocation was answered.
const BOUND: Duration = Duration::from_secs(2);

struct Pair {
    database: TestDatabase,
    proxy: DatabaseProxy,
    one: Serving,
    other: Serving,
    secret: String,
    http: Client,
    _files: [NamedTempFile; 2],
}

/// What happens to the way between a replica and the database.
type Fault = fn(&DatabaseProxy);

struct Held {
    id: String,
    cookie: String,
}

impl Pair {
    /// Two replicas; the other one reaches the database through a proxy.
    async fn start() -> Self {
        let database = TestDatabase::migrated().await;
        let proxy = DatabaseProxy::open().await;
        let more = "[database]\nquery_timeout = '1s'\nconnect_timeout = '500ms'\nwait_timeout = '500ms'";
        let files = [config_file(&database.url, more), config_file(&proxy.url(&database.name), more)];
        let secret = add_client(files[0].path()).await;
        let (one, other) = (Serving::start(files[0].path()).await, Serving::start(files[1].path()).await);
        let http = Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().unwrap();
        Self { database, proxy, one, other, secret, http, _files: files }
    }

    async fn session(&self) -> Held {
        self.session_of("alice").await
    }

    async fn session_of(&self, subject: &str) -> Held {
        // A busy machine may answer with 503 first.
        let started = eventually("a session", async || {
            let start = self.http.post(format!("http://{}/admin/sessions", self.one.admin)).bearer_auth(&self.secret);
            let answer = start.json(&json!({ "subject": subject })).send().await.unwrap();
            if answer.status() == StatusCode::CREATED { Some(answer.json::<Value>().await.unwrap()) } else { None }
        })
        .await;
        let cookie = format!("{COOKIE}={}", started["session_token"].as_str().unwrap());
        Held { id: started["session_id"].as_str().unwrap().to_owned(), cookie }
    }

    /// A session that the other replica keeps in memory.
    async fn remembered(&self) -> Held {
        let session = self.session().await;
        for _ in 0..3 {
            assert_eq!(self.exchange(&session).await, StatusCode::OK);
        }
        session
    }

    /// An exchange at the other replica.
    async fn exchange(&self, session: &Held) -> StatusCode {
        let request = self.http.get(format!("http://{}/exchange/orders", self.other.gateway));
        request.header("cookie", &session.cookie).send().await.unwrap().status()
    }

    /// Revokes at the first replica.
    async fn revoke(&self, session: &Held, query: &str) {
        let url = format!("http://{}/admin/sessions/{}{query}", self.one.admin, session.id);
        let answer = self.http.delete(url).bearer_auth(&self.secret).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
    }

    /// Many sessions of many subjects.
    async fn sessions(&self, count: usize) -> Vec<Held> {
        let mut sessions = Vec::new();
        while sessions.len() < count {
            let next = sessions.len()..count.min(sessions.len() + 20);
            sessions.extend(join_all(next.map(async |place| self.session_of(&format!("s{place}")).await)).await);
        }
        sessions
    }

    /// Exchanges without a pause for a while; returns how long after the call the last token came.
    async fn last_token(&self, session: &Held, watched: Duration) -> Duration {
        let clock = SystemClock::new();
        let mut last = Duration::ZERO;
        while clock.monotonic() < watched {
            if self.exchange(session).await == StatusCode::OK {
                // When it was asked for does not matter: this is when it was had.
                last = clock.monotonic();
            }
        }
        last
    }
}

/// A measured figure, past the test harness, which hides what tests that succeed have to say.
#[expect(clippy::explicit_write, reason = "`println!` is hidden by the test harness")]
fn say(line: &str) {
    writeln!(std::io::stdout(), "{line}").unwrap();
}

/// The median, the 99th percentile and the longest.
fn percentiles(mut times: Vec<Duration>) -> [Duration; 3] {
    times.sort_unstable();
    [times.len() / 2, times.len() * 99 / 100, times.len() - 1].map(|place| times[place])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_frozen_or_delayed_the_other_replica_gives_no_token_after_the_bound() {
    let pair = Pair::start().await;
    let faults: [(&str, Fault); 3] = [
        ("cut", DatabaseProxy::close),
        ("frozen", DatabaseProxy::freeze),
        ("delayed", |proxy| proxy.delay(Duration::from_millis(900))),
    ];
    for (name, fault) in faults {
        let session = pair.remembered().await;
        fault(&pair.proxy);
        pair.revoke(&session, "").await;
        let last = pair.last_token(&session, BOUND + Duration::from_secs(1)).await;
        assert!(last <= BOUND, "{name}: a token {last:?} after the revocation");
        // It comes back by itself, and the session stays dead.
        match name {
            "cut" => pair.proxy.reopen(),
            "frozen" => pair.proxy.thaw(),
            _ => pair.proxy.delay(Duration::ZERO),
        }
        let other = pair.session().await;
        eventually("tokens again", async || (pair.exchange(&other).await == StatusCode::OK).then_some(())).await;
        assert_eq!(pair.exchange(&session).await, StatusCode::UNAUTHORIZED, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_process_serves_nothing_that_went_stale_meanwhile() {
    let pair = Pair::start().await;
    for _ in 0..3 {
        let session = pair.remembered().await;
        // Requests in flight while it stops, and the first ones when it goes on.
        let during = async {
            for _ in 0..50 {
                let _ = pair.exchange(&session).await;
            }
        };
        let pause = async {
            pair.other.signal(Signal::SIGSTOP);
            pair.revoke(&session, "").await;
            // Longer than any lease; the paused process knows nothing of it.
            tokio::time::sleep(BOUND + Duration::from_millis(200)).await;
            pair.other.signal(Signal::SIGCONT);
        };
        let ((), ()) = tokio::join!(during, pause);
        for _ in 0..20 {
            assert_eq!(pair.exchange(&session).await, StatusCode::UNAUTHORIZED);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_commit_out_of_order_are_not_skipped() {
    let pair = Pair::start().await;
    let (early, late) = (pair.remembered().await, pair.remembered().await);
    // A transaction that began first commits last.
    let slow = pair.database.client().await;
    let revoke = |id: &str| {
        format!("UPDATE session SET revoked_at = created_at, revoke_reason = 'admin' WHERE session_id = '{id}'")
    };
    slow.batch_execute(&format!("BEGIN; {}", revoke(&early.id))).await.unwrap();
    pair.database.execute(&revoke(&late.id)).await;
    eventually("the later one is known", async || {
        (pair.exchange(&late).await == StatusCode::UNAUTHORIZED).then_some(())
    })
    .await;
    assert_eq!(pair.exchange(&early).await, StatusCode::OK, "nothing is committed yet");
    slow.batch_execute("COMMIT").await.unwrap();
    let clock = SystemClock::new();
    eventually("the earlier one is known", async || {
        (pair.exchange(&early).await == StatusCode::UNAUTHORIZED).then_some(())
    })
    .await;
    assert!(clock.monotonic() < BOUND);
}
