//! A session that is used from another browser or network than it remembers: recorded, stopped until a sign-in, or ended.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    answer::single,
    app::{COOKIE, Started, TestApp, sample},
    browser::{AT_HOME, AWAY, Browser, CHROME, FIREFOX, HOME, LATER_FIREFOX, NEIGHBOUR, cookie, held, record},
    database::{TestDatabase, eventually},
    program::{Serving, add_client, config_file},
};

const OTHER_BROWSER: Browser = Browser { agent: CHROME, address: HOME };
const OTHER_PLACE: Browser = Browser { agent: FIREFOX, address: AWAY };

async fn exchange_status(app: &TestApp, token: &str) -> u16 {
    app.exchange(&cookie(token)).await.status().as_u16()
}

async fn signed_in(app: &TestApp) -> Started {
    held(&AT_HOME.sign_in(app, "alice", None).await)
}

/// What the session remembers: user agent and network.
async fn remembered(app: &TestApp, session: &Started) -> (Option<String>, Option<String>) {
    let sql = format!("SELECT user_agent, text(network) FROM session WHERE session_id = '{}'", session.id);
    let row = app.database.client().await.query_one(&sql, &[]).await.unwrap();
    (row.get(0), row.get(1))
}

fn some(user_agent: &str, network: &str) -> (Option<String>, Option<String>) {
    (Some(user_agent.to_owned()), Some(network.to_owned()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_default_a_change_is_remembered_and_refuses_nobody() {
    let app = TestApp::spawn().await;
    let session = signed_in(&app).await;
    assert_eq!(remembered(&app, &session).await, some("Firefox", "203.0.113.0/24"));
    for browser in [OTHER_BROWSER, OTHER_PLACE, AT_HOME] {
        assert_eq!(browser.status(&app, &session.token).await, 200);
    }
    OTHER_PLACE.status(&app, &session.token).await;
    assert_eq!(remembered(&app, &session).await, some("Firefox", "198.51.100.0/24"));
    assert_eq!(exchange_status(&app, &session.token).await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_can_demand_a_sign_in_which_mends_it() {
    for (setting, elsewhere) in [("on_user_agent_change", OTHER_BROWSER), ("on_network_change", OTHER_PLACE)] {
        let app = TestApp::spawn_with(&format!("session.{setting} = 'reauthenticate'")).await;
        let session = signed_in(&app).await;
        app.advance(Duration::from_secs(60)).await;
        assert_eq!(AT_HOME.status(&app, &session.token).await, 200);
        assert_eq!(elsewhere.status(&app, &session.token).await, 401, "{setting}");
        assert_eq!(AT_HOME.status(&app, &session.token).await, 401, "of no use to anybody");
        assert_eq!(exchange_status(&app, &session.token).await, 401, "nor at the gateway");
        let shown = record(&app, &session.id).await;
        assert_eq!(shown["status"], "reauthentication_needed");
        assert!(shown["reauthenticate_since"].is_string(), "{shown}");
        let outcome = "outcome=\"reauthentication_needed\"";
        let refused = sample(&app.metrics().await, "ephemint_exchanges_total", &[outcome]);
        assert!((refused - 1.0).abs() < f64::EPSILON, "{refused}");

        app.advance(Duration::from_secs(1)).await;
        let mended = elsewhere.sign_in(&app, "alice", Some(&session.token)).await;
        assert!(mended.stepped_up);
        let mended = held(&mended);
        assert_eq!(mended.id, session.id);
        assert_eq!(elsewhere.status(&app, &mended.token).await, 200);
        assert_eq!(exchange_status(&app, &mended.token).await, 200);
        assert_eq!(exchange_status(&app, &session.token).await, 401);
        let shown = record(&app, &session.id).await;
        assert_eq!((&shown["status"], &shown["reauthenticate_since"]), (&json!("active"), &Value::Null));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_demands_a_sign_in_is_ended_by_signing_out_from_anywhere() {
    let app = TestApp::spawn_with("session.on_user_agent_change = 'reauthenticate'").await;
    let logout = "SELECT count(*) FROM session WHERE revoke_reason = 'logout'";
    for (ended, browser) in [(1, AT_HOME), (2, OTHER_BROWSER)] {
        let session = signed_in(&app).await;
        app.advance(Duration::from_secs(1)).await;
        assert_eq!(OTHER_BROWSER.status(&app, &session.token).await, 401);
        let wrong = browser.request(&app, Method::POST, "/logout", &session.token).body("csrf_token=wrong");
        let wrong = wrong.header("content-type", "application/x-www-form-urlencoded").send().await.unwrap();
        assert_eq!(wrong.status(), 403);
        let out = browser.send(&app, Method::POST, "/logout", &session.token).await;
        assert_eq!(out.status(), 204);
        let line = single(out.headers(), "set-cookie");
        assert_eq!(line, format!("{COOKIE}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0"));
        assert_eq!(app.database.count(logout).await, ended);
        assert!(!AT_HOME.sign_in(&app, "alice", Some(&session.token)).await.stepped_up, "nothing is left to step up");
    }
    // Never judged where it moved to, and the first thing seen from there is the sign-out.
    let session = signed_in(&app).await;
    assert_eq!(OTHER_BROWSER.send(&app, Method::POST, "/logout", &session.token).await.status(), 204);
    assert_eq!(app.database.count(logout).await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_can_end_the_session() {
    for (setting, elsewhere) in [("on_user_agent_change", OTHER_BROWSER), ("on_network_change", OTHER_PLACE)] {
        let app = TestApp::spawn_with(&format!("session.{setting} = 'end'")).await;
        let session = signed_in(&app).await;
        assert_eq!(elsewhere.status(&app, &session.token).await, 401, "{setting}");
        assert_eq!(AT_HOME.status(&app, &session.token).await, 401);
        assert_eq!(exchange_status(&app, &session.token).await, 401);
        let ended = "SELECT count(*) FROM session WHERE revoke_reason = 'unusual_activity'";
        assert_eq!(app.database.count(ended).await, 1);
        let ended = sample(&app.metrics().await, "ephemint_sessions_ended_total", &["reason=\"unusual_activity\""]);
        assert!((ended - 1.0).abs() < f64::EPSILON, "{ended}");
        assert!(!elsewhere.sign_in(&app, "alice", Some(&session.token)).await.stepped_up);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_change_is_let_through_by_the_strictest_rules() {
    let app = TestApp::spawn_with("session.on_user_agent_change = 'end'\nsession.on_network_change = 'end'").await;
    let session = signed_in(&app).await;
    for browser in [
        AT_HOME,
        Browser { agent: LATER_FIREFOX, address: HOME },
        Browser { agent: FIREFOX, address: NEIGHBOUR },
        Browser { agent: "", address: NEIGHBOUR },
    ] {
        assert_eq!(browser.status(&app, &session.token).await, 200, "{browser:?}");
    }
    // The exchange hears neither: a gateway's own name and a client's forwarding headers decide nothing.
    let request = app.gateway(Method::GET, "/exchange/orders").header("cookie", session.cookie());
    let request = request.header("user-agent", CHROME).header("x-forwarded-for", AWAY);
    assert_eq!(request.send().await.unwrap().status(), 200);
    assert_eq!(AT_HOME.status(&app, &session.token).await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_of_a_back_end_learns_its_browser_from_the_first_use() {
    let app = TestApp::spawn_with("session.on_user_agent_change = 'end'\nsession.on_network_change = 'end'").await;
    let session = app.given(json!({ "subject": "alice", "ip": AWAY, "device": "Kiosk" })).await;
    assert_eq!(remembered(&app, &session).await, (None, None));
    app.exchange(&session.cookie()).await;
    assert_eq!(remembered(&app, &session).await, (None, None), "the exchange teaches nothing");
    assert_eq!(AT_HOME.status(&app, &session.token).await, 200);
    assert_eq!(remembered(&app, &session).await, some("Firefox", "203.0.113.0/24"));
    assert_eq!(OTHER_PLACE.status(&app, &session.token).await, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_are_kept_as_precisely_as_the_setting_says() {
    for (precision, ip, network) in [
        ("full", json!(HOME), Some("203.0.113.0/24")),
        ("network", json!("203.0.113.0"), Some("203.0.113.0/24")),
        ("none", Value::Null, None),
    ] {
        let app = TestApp::spawn_with(&format!("session.address_precision = '{precision}'")).await;
        let session = app.given(json!({ "subject": "alice", "ip": HOME })).await;
        assert_eq!(record(&app, &session.id).await["ip"], ip, "{precision}");
        AT_HOME.status(&app, &session.token).await;
        assert_eq!(remembered(&app, &session).await.1.as_deref(), network, "{precision}");
        let dump = app.database.dump().await;
        assert_eq!(dump.contains(HOME), precision == "full", "{precision}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_requests_from_elsewhere_make_one_event_without_any_secret() {
    let database = TestDatabase::migrated().await;
    let file = config_file(
        &database.url,
        "session.on_user_agent_change = 'reauthenticate'\nsession.renewal_grace = '0s'\ndatabase.wait_timeout = '20s'",
    );
    let serving = Serving::start(file.path()).await;
    let secret = add_client(file.path()).await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let start = async || {
        let request = http.post(format!("http://{}/admin/sessions", serving.admin)).bearer_auth(&secret);
        let started: Value = request.json(&json!({ "subject": "alice" })).send().await.unwrap().json().await.unwrap();
        started["session_token"].as_str().unwrap().to_owned()
    };
    let ask = async |method: Method, path: &str, token: &str, agent: &str| {
        let request = http.request(method, format!("http://{}{path}", serving.public)).header("user-agent", agent);
        request.header("cookie", format!("{COOKIE}={token}")).send().await.unwrap()
    };
    let (moved, stolen) = (start().await, start().await);
    assert_eq!(ask(Method::GET, "/session", &moved, FIREFOX).await.status(), 200);
    let asked = join_all((0..20).map(|_| ask(Method::GET, "/session", &moved, CHROME))).await;
    assert!(asked.iter().all(|response| response.status() == 401));

    let renewed = ask(Method::POST, "/session/renew", &stolen, FIREFOX).await;
    let line = renewed.headers()["set-cookie"].to_str().unwrap().to_owned();
    let token = line.split(['=', ';']).nth(1).unwrap().to_owned();
    let asked = join_all((0..20).map(|_| ask(Method::GET, "/session", &stolen, CHROME))).await;
    assert!(asked.iter().all(|response| response.status() == 401));

    let lines = |event: &str| -> Vec<Value> {
        let log = serving.log.lock().unwrap();
        let lines = log.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["event"] == event).collect()
    };
    let told = |event: &'static str| eventually(event, async move || (!lines(event).is_empty()).then(|| lines(event)));
    let unusual = told("unusual_activity").await;
    assert_eq!(unusual.len(), 1, "{unusual:?}");
    let line = &unusual[0];
    assert_eq!((&line["changed"], &line["consequence"]), (&json!("user_agent"), &json!("reauthenticate")));
    assert_eq!((&line["previous_device"], &line["device"]), (&json!("Firefox"), &json!("Chrome on Windows")));
    let reused = told("session_token_reused").await;
    assert_eq!(reused.len(), 1, "{reused:?}");
    assert_eq!((&reused[0]["consequence"], &reused[0]["device"]), (&json!("end"), &json!("Chrome on Windows")));
    let revoked = told("session_revoked").await;
    assert_eq!(revoked.len(), 1, "{revoked:?}");
    assert_eq!(told("session_renewed").await.len(), 1);
    let log = serving.log.lock().unwrap().join("\n");
    for secret in [&moved, &stolen, &token] {
        assert!(!log.contains(&secret[4..]));
    }
}
