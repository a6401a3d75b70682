//! Exchanges and readings that are on their way while something ends.

use super::*;

/// Holds up readings of sessions between the row and the answer.
struct HeldUp {
    proxy: DatabaseProxy,
    /// How many microseconds after 1970 the last reading before began.
    before: i64,
}

impl HeldUp {
    /// A service with one worker for exchanges, over whose connection a session has been read.
    async fn app(more: &str) -> (TestApp, DatabaseProxy) {
        let database = TestDatabase::migrated().await;
        let proxy = DatabaseProxy::open().await;
        let url = proxy.url(&database.name);
        let patient = "gateway.workers = 1\nexchange.timeout = '50s'\ndatabase.query_timeout = '50s'";
        let app = TestApp::spawn_on(database, &url, &format!("{patient}\n{more}")).await;
        app.follower.poll().await.unwrap();
        let other = app.given_session("other").await;
        assert_eq!(app.exchange(&other.cookie()).await.status(), StatusCode::OK);
        (app, proxy)
    }

    async fn readings(app: &TestApp, proxy: DatabaseProxy) -> Self {
        let before = last_reading(app, "").await;
        proxy.hold_readings(true);
        Self { proxy, before }
    }

    /// Returns once a reading has found its row, and `exchanges` wait for it.
    async fn has_read(&self, app: &TestApp, exchanges: f64) {
        eventually("the row is read", async || {
            let in_flight = sample(&app.metrics().await, "ephemint_exchanges_in_flight", &[]);
            let is_read = last_reading(app, "AND state = 'idle'").await > self.before;
            (is_read && in_flight > exchanges - 0.5).then_some(())
        })
        .await;
    }

    fn release(&self) {
        self.proxy.hold_readings(false);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exchange_under_way_when_its_session_is_revoked_gives_no_token() {
    let (app, proxy) = HeldUp::app("").await;
    let session = app.given_session("alice").await;
    let held_up = HeldUp::readings(&app, proxy).await;
    let meanwhile = async {
        held_up.has_read(&app, 1.0).await;
        let revoked = app.admin(Method::DELETE, &format!("/admin/sessions/{}", session.id)).send().await.unwrap();
        assert_eq!(revoked.status(), StatusCode::OK);
        held_up.release();
    };
    let cookie = session.cookie();
    let (answer, ()) = tokio::join!(app.exchange(&cookie), meanwhile);
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reading_that_was_joined_is_not_believed_without_a_lease() {
    // No poll but the first one during the test.
    let (app, proxy) = HeldUp::app("exchange.max_staleness = '20s'\nexchange.poll_interval = '10s'").await;
    // Nobody tells this replica of the revocation.
    app.database.execute("ALTER TABLE session DISABLE TRIGGER session_changed").await;
    let session = app.given_session("alice").await;
    let cookie = session.cookie();
    let held_up = HeldUp::readings(&app, proxy).await;
    let later = async {
        held_up.has_read(&app, 1.0).await;
        let joins = app.exchange(&cookie);
        let meanwhile = async {
            held_up.has_read(&app, 2.0).await;
            app.database.execute("UPDATE session SET revoked_at = created_at, revoke_reason = 'admin'").await;
            app.clock.advance(Duration::from_secs(21));
            held_up.release();
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
    eventually("a poll", async || app.follower.poll().await.ok()).await;
    eventually("an exchange", async || {
        (app.exchange(&session.cookie()).await.status() == StatusCode::OK).then_some(())
    })
    .await;
    assert!(lookups(&app).await > reads);
    // What is read is the same, so is the token.
    assert_eq!(app.access_token("orders", &session).await, token);
}
