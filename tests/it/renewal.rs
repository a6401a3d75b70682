//! `POST /session/renew`: another token for the same session, a grace for what is on its way, and a watch for stolen tokens.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::support::{
    answer::problem,
    app::{TestApp, payload, sample},
    browser::{AT_HOME, cookie, given, native, record},
    database::TestDatabase,
    proxy::DatabaseProxy,
};

const RENEW: &str = "/session/renew";

async fn renew(app: &TestApp, token: &str) -> String {
    let response = AT_HOME.send(app, Method::POST, RENEW, token).await;
    assert_eq!(response.status(), StatusCode::OK);
    given(&response)
}

async fn exchange_status(app: &TestApp, token: &str) -> u16 {
    app.exchange(&cookie(token)).await.status().as_u16()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewal_brings_a_new_token_for_the_same_session_and_the_old_one_has_a_grace() {
    let app = TestApp::spawn().await;
    let session = app.given_session("alice").await;
    let response = AT_HOME.send(&app, Method::POST, RENEW, &session.token).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["cache-control"], "no-store");
    let token = given(&response);
    assert_ne!(token, session.token);
    let answer = response.text().await.unwrap();
    assert!(!answer.contains(&token[4..]) && !answer.contains("session_token"), "only the cookie carries it: {answer}");
    let shown = AT_HOME.send(&app, Method::GET, "/session", &token).await.text().await.unwrap();
    assert_eq!(answer, shown, "the answer is that of GET /session");
    assert_eq!(serde_json::from_str::<Value>(&shown).unwrap()["session_id"], session.id);

    for token in [&session.token, &token] {
        assert_eq!(AT_HOME.status(&app, token).await, 200);
        let response = app.exchange(&cookie(token)).await;
        assert_eq!(payload(&crate::support::app::bearer(&response))["sid"], session.id);
    }
    app.advance(Duration::from_millis(9_999)).await;
    assert_eq!(exchange_status(&app, &session.token).await, 200, "in its grace");
    app.advance(Duration::from_millis(1)).await;
    assert_eq!(exchange_status(&app, &session.token).await, 401, "the end is exclusive");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_renewals_bring_one_new_token_and_refuse_nobody() {
    let app = TestApp::spawn_with("database.wait_timeout = '20s'").await;
    let session = app.given_session("alice").await;
    let responses = join_all((0..16).map(|_| AT_HOME.send(&app, Method::POST, RENEW, &session.token))).await;
    let mut tokens = Vec::new();
    for response in &responses {
        assert_eq!(response.status(), StatusCode::OK);
        if response.headers().contains_key("set-cookie") {
            tokens.push(given(response));
        }
    }
    assert_eq!(tokens.len(), 1, "one of them brought it");
    let late = AT_HOME.send(&app, Method::POST, RENEW, &session.token).await;
    assert_eq!(late.status(), StatusCode::OK);
    assert!(!late.headers().contains_key("set-cookie"), "a token in its grace makes no new one");
    assert_eq!(exchange_status(&app, &tokens[0]).await, 200);
    assert_eq!(app.database.count("SELECT count(*) FROM former_token").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_comes_after_its_grace_ends_the_session() {
    for by_exchange in [true, false] {
        let app = TestApp::spawn().await;
        let session = app.given_session("alice").await;
        let token = renew(&app, &session.token).await;
        app.advance(Duration::from_secs(11)).await;
        assert_eq!(exchange_status(&app, &token).await, 200);
        let refused = if by_exchange {
            exchange_status(&app, &session.token).await
        } else {
            AT_HOME.status(&app, &session.token).await
        };
        assert_eq!(refused, 401);
        assert_eq!(exchange_status(&app, &token).await, 401, "nobody knows who of the two is the thief");
        assert_eq!(record(&app, &session.id).await["status"], "revoked");
        assert_eq!(app.database.count("SELECT count(*) FROM session WHERE revoke_reason = 'token_reuse'").await, 1);
        let ended = sample(&app.metrics().await, "ephemint_sessions_ended_total", &["reason=\"token_reuse\""]);
        assert!((ended - 1.0).abs() < f64::EPSILON, "{ended}");
        // The same answer as for any other token, and no second event.
        assert_eq!(exchange_status(&app, &session.token).await, 401);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reused_token_can_be_only_recorded_and_is_recorded_once() {
    let app = TestApp::spawn_with("session.on_token_reuse = 'record'").await;
    let session = app.given_session("alice").await;
    let token = renew(&app, &session.token).await;
    let reused = "SELECT count(*) FROM former_token WHERE reused_at IS NOT NULL";
    app.advance(Duration::from_secs(9)).await;
    assert_eq!(exchange_status(&app, &session.token).await, 200);
    assert_eq!(app.database.count(reused).await, 0, "a grace is no reuse");
    app.advance(Duration::from_secs(1)).await;
    let tries = (0..8).map(|_| exchange_status(&app, &session.token));
    assert_eq!(join_all(tries).await, [401; 8]);
    assert_eq!(app.database.count(reused).await, 1);
    let at = "SELECT extract(epoch FROM reused_at)::int8 FROM former_token";
    let first = app.database.count(at).await;
    app.advance(Duration::from_secs(60)).await;
    assert_eq!(exchange_status(&app, &session.token).await, 401);
    assert_eq!(app.database.count(at).await, first);
    assert_eq!(exchange_status(&app, &token).await, 200, "the session lives on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_grace_the_old_token_is_dead_at_once() {
    let app = TestApp::spawn_with("session.renewal_grace = '0s'\nsession.on_token_reuse = 'record'").await;
    let session = app.given_session("alice").await;
    let token = renew(&app, &session.token).await;
    assert_eq!(exchange_status(&app, &session.token).await, 401);
    assert_eq!(exchange_status(&app, &token).await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_five_former_tokens_are_remembered_and_those_of_the_last_hour() {
    let app = TestApp::spawn_with("session.idle_timeout = '2h'").await;
    let session = app.given_session("alice").await;
    let mut tokens = vec![session.token.clone()];
    for _ in 0..9 {
        app.advance(Duration::from_secs(15 * 60)).await;
        tokens.push(renew(&app, tokens.last().unwrap()).await);
    }
    assert_eq!(app.database.count("SELECT count(*) FROM former_token").await, 5);
    app.advance(Duration::from_secs(30)).await;
    assert_eq!(exchange_status(&app, &tokens[3]).await, 401);
    assert_eq!(exchange_status(&app, &tokens[9]).await, 200, "nobody can tell that it was ever ours");
    assert_eq!(exchange_status(&app, &tokens[4]).await, 401);
    assert_eq!(exchange_status(&app, &tokens[9]).await, 401, "this one is known to be reused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stolen_token_cannot_be_buried_under_renewals() {
    let app = TestApp::spawn().await;
    let owner = app.given_session("alice").await;
    let mut stolen = owner.token.clone();
    for _ in 0..3 {
        for _ in 0..12 {
            stolen = renew(&app, &stolen).await;
            app.advance(Duration::from_millis(1)).await;
        }
        app.advance(Duration::from_secs(15 * 60)).await;
    }
    // The newest, and two of each minute: three of them, or one more where a minute ended in between.
    let kept = app.database.count("SELECT count(*) FROM former_token").await;
    assert!((5..=2 * 4 + 5).contains(&kept), "{kept}");
    assert_eq!(exchange_status(&app, &stolen).await, 200);
    assert_eq!(exchange_status(&app, &owner.token).await, 401);
    assert_eq!(exchange_status(&app, &stolen).await, 401, "its owner was not the last to use it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewal_moves_no_end_and_counts_as_a_use() {
    let app = TestApp::spawn_with("session.persistent = true\nsession.absolute_timeout = '1h'").await;
    let session = app.given_session("alice").await;
    app.advance(Duration::from_secs(600)).await;
    let response = AT_HOME.send(&app, Method::POST, RENEW, &session.token).await;
    let line = crate::support::answer::single(response.headers(), "set-cookie").to_owned();
    assert!(line.ends_with("; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=3000"), "{line}");
    let answer: Value = response.json().await.unwrap();
    assert_eq!((&answer["absolute_expires_in"], &answer["idle_expires_in"]), (&3_000.into(), &1_800.into()));
    let token = line.split(['=', ';']).nth(1).unwrap();
    app.advance(Duration::from_secs(1_799)).await;
    assert_eq!(exchange_status(&app, token).await, 200);
    app.advance(Duration::from_secs(1_201)).await;
    assert_eq!(exchange_status(&app, token).await, 401, "past its absolute end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_without_cookies_gets_its_new_token_in_the_answer() {
    let app = TestApp::spawn().await;
    let session = app.given_session("alice").await;
    let response = native(&app, Method::POST, RENEW, &session.token).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert!(!response.headers().contains_key("set-cookie"));
    let answer: Value = response.json().await.unwrap();
    let token = answer["session_token"].as_str().unwrap().to_owned();
    assert_eq!(answer["session_id"], session.id);
    let again = native(&app, Method::POST, RENEW, &session.token).send().await.unwrap();
    assert!(again.json::<Value>().await.unwrap()["session_token"].is_null(), "in its grace");

    let shown = native(&app, Method::GET, "/session", &token).send().await.unwrap();
    assert_eq!(shown.status(), StatusCode::OK);
    assert_eq!(exchange_status(&app, &token).await, 200, "the same token in any clothes");
    let out = native(&app, Method::POST, "/logout", &token).send().await.unwrap();
    assert_eq!(out.status(), StatusCode::NO_CONTENT);
    assert!(!out.headers().contains_key("set-cookie"));
    let dead = native(&app, Method::POST, "/logout", &token).send().await.unwrap();
    assert!(!dead.headers().contains_key("set-cookie"));
    assert_eq!(exchange_status(&app, &token).await, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cookie_makes_it_a_browser_whatever_else_is_sent() {
    let app = TestApp::spawn().await;
    let session = app.given_session("alice").await;
    let both = AT_HOME.request(&app, Method::POST, RENEW, &session.token);
    let both = both.header("authorization", format!("Session {}", session.token)).send().await.unwrap();
    let token = given(&both);
    assert!(both.json::<Value>().await.unwrap().get("session_token").is_none());
    let two = AT_HOME.request(&app, Method::POST, RENEW, &token);
    let two = two.header("authorization", format!("Session {}", app.given_session("alice").await.token));
    problem(two.send().await.unwrap(), 401, "no-session").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_live_session_of_our_own_pages_is_renewed() {
    let database = TestDatabase::migrated().await;
    let proxy = DatabaseProxy::open().await;
    let url = proxy.url(&database.name);
    let app = TestApp::spawn_on(database, &url, "").await;
    let session = app.given_session("alice").await;
    problem(app.public(Method::POST, RENEW).send().await.unwrap(), 401, "no-session").await;
    problem(AT_HOME.send(&app, Method::POST, RENEW, "ems_nonsense").await, 401, "no-session").await;
    problem(AT_HOME.send(&app, Method::GET, RENEW, &session.token).await, 405, "method-not-allowed").await;
    let foreign = app.public(Method::POST, RENEW).header("cookie", session.cookie());
    let foreign = foreign.header("origin", "https://evil.example.com").send().await.unwrap();
    assert!(!foreign.headers().contains_key("set-cookie"));
    problem(foreign, 403, "cross-site-request").await;
    proxy.close();
    problem(AT_HOME.send(&app, Method::POST, RENEW, &session.token).await, 503, "unavailable").await;
    proxy.reopen();
    assert_eq!(app.database.count("SELECT count(*) FROM former_token").await, 0, "nothing was renewed");

    let token = renew(&app, &session.token).await;
    AT_HOME.send(&app, Method::POST, "/logout", &token).await;
    problem(AT_HOME.send(&app, Method::POST, RENEW, &token).await, 401, "no-session").await;
    assert_eq!(exchange_status(&app, &session.token).await, 401, "a grace ends with its session");
}
