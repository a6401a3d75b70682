//! Exchanges and readings that are on their way while something ends.

use super::*;

/// Holds up readings of sessions between the row and the answer.
struct HeldUp {
    lock: tokio_postgres::Client,
}

impl HeldUp {
    /// A service whose readings take two statements, because a token may be stored under a former master key too.
    async fn app(more: &str) -> TestApp {
        let former = "d3Jvbmctd3Jvbmctd3Jvbmctd3Jvbmctd3Jvbmctd28=";
        let patient = "exchange.timeout = '50s'\ndatabase.query_timeout = '50s'";
        following(&format!("{patient}\nsecrets.previous_master_keys = ['{former}']\n{more}")).await
    }

    async fn readings(app: &TestApp) -> Self {
        let lock = app.database.client().await;
        lock.batch_execute("BEGIN; LOCK TABLE former_token IN ACCESS EXCLUSIVE MODE").await.unwrap();
        Self { lock }
    }

    /// Returns once a reading has found its row, and `exchanges` wait for it.
    async fn has_read(&self, app: &TestApp, exchanges: f64) {
        let waiting = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'former_token'::regclass";
        crate::support::database::eventually("the row is read", async || {
            let in_flight = sample(&app.metrics().await, "ephemint_exchanges_in_flight", &[]);
            let waits = !self.lock.query(waiting, &[]).await.unwrap().is_empty();
            (waits && in_flight > exchanges - 0.5).then_some(())
        })
        .await;
    }

    async fn release(self) {
        self.lock.batch_execute("COMMIT").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exchange_under_way_when_its_session_is_revoked_gives_no_token() {
    let app = HeldUp::app("").await;
    let session = app.given_session("alice").await;
    let held_up = HeldUp::readings(&app).await;
    let meanwhile = async {
        held_up.has_read(&app, 1.0).await;
        let revoked = app.admin(Method::DELETE, &format!("/admin/sessions/{}", session.id)).send().await.unwrap();
        assert_eq!(revoked.status(), StatusCode::OK);
        held_up.release().await;
    };
    let cookie = session.cookie();
    let (answer, ()) = tokio::join!(app.exchange(&cookie), meanwhile);
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reading_that_was_joined_is_not_believed_without_a_lease() {
    // No poll but the first one during the test.
    let app = HeldUp::app("exchange.max_staleness = '20s'\nexchange.poll_interval = '10s'").await;
    // Nobody tells this replica of the revocation.
    app.database.execute("ALTER TABLE session DISABLE TRIGGER session_changed").await;
    let session = app.given_session("alice").await;
    let cookie = session.cookie();
    let held_up = HeldUp::readings(&app).await;
    let later = async {
        held_up.has_read(&app, 1.0).await;
        let joins = app.exchange(&cookie);
        let meanwhile = async {
            held_up.has_read(&app, 2.0).await;
            app.database.execute("UPDATE session SET revoked_at = created_at, revoke_reason = 'admin'").await;
            app.clock.advance(Duration::from_secs(21));
            held_up.release().await;
        };
        tokio::join!(joins, meanwhile).0
    };
    let (_, joined) = tokio::join!(app.exchange(&cookie), later);
    assert_eq!(joined.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_new_connection_everything_is_read_again() {
    let database = TestDatabase::migrated().await;
    let proxy = DatabaseProxy::open().await;
    let url = proxy.url(&database.name);
    let app = TestApp::spawn_on(database, &url, "").await;
    app.follower.poll().await.unwrap();
    let session = app.given_session("alice").await;
    let token = app.access_token("orders", &session).await;
    let reads = lookups(&app).await;
    assert_eq!(app.access_token("orders", &session).await, token);
    assert!((lookups(&app).await - reads).abs() < 0.5);

    proxy.close();
    proxy.reopen();
    crate::support::database::eventually("a poll", async || app.follower.poll().await.ok()).await;
    crate::support::database::eventually("an exchange", async || {
        (app.exchange(&session.cookie()).await.status() == StatusCode::OK).then_some(())
    })
    .await;
    assert!(lookups(&app).await > reads);
    // What is read is the same, so is the token.
    assert_eq!(app.access_token("orders", &session).await, token);
}
