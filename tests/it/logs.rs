//! A whole life of the real process at its most talkative: each request is one line, each line one object, and no secret is
//! anywhere but with its owner.

mod canaries;
mod sign_in;

use std::{collections::HashMap, time::Duration};

use ephemint::domain::strict_json;
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Map, Value, json};

use crate::support::{
    app::bearer,
    database::TestDatabase,
    program::{Serving, add_client, config_file, run},
    proxy::DatabaseProxy,
};
use canaries::Canaries;

/// A subject that would end a carelessly written line, and begin another.
const ODD_SUBJECT: &str = "o\"brien\\ \u{2028}\u{202e}{\"message\":\"forged\"} 名前 \\n";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e47";
const PARENT: &str = "00f067aa0ba902b7";

/// The name of requests that are repeated until the database is seen to be gone.
const WAITING: &str = "waiting-for-the-cut";

/// What the log must say of one request.
struct Expected {
    listener: &'static str,
    method: &'static str,
    route: &'static str,
    status: u16,
    problem: Option<&'static str>,
}

/// A running process, and all that was asked of it.
struct Life {
    serving: Serving,
    http: Client,
    expected: Vec<Expected>,
    /// The bodies of all refusals.
    refusals: String,
}

impl Life {
    async fn start(config: &std::path::Path) -> Self {
        let http = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        let http = http.timeout(Duration::from_secs(20)).build().unwrap();
        Self { serving: Serving::start(config).await, http, expected: Vec::new(), refusals: String::new() }
    }

    fn request(&self, listener: &str, method: &str, target: &str) -> RequestBuilder {
        let address = match listener {
            "public" => &self.serving.public,
            "gateway" => &self.serving.gateway,
            _ => &self.serving.admin,
        };
        self.http.request(Method::from_bytes(method.as_bytes()).unwrap(), format!("http://{address}{target}"))
    }

    /// Sends a request under a name of its own and notes what the log must say of it.
    async fn send(&mut self, request: RequestBuilder, expected: Expected) -> Response {
        let number = self.expected.len();
        let request = request.header("x-request-id", id(number)).header("traceparent", traceparent(number));
        let response = request.send().await.unwrap();
        assert_eq!(response.status().as_u16(), expected.status, "{} {}", expected.method, expected.route);
        self.expected.push(expected);
        response
    }

    /// The same for a request that is refused; its body is kept.
    async fn refused(&mut self, request: RequestBuilder, expected: Expected) {
        let response = self.send(request, expected).await;
        self.refusals.push_str(&format!("{:?}", response.headers()));
        self.refusals.push_str(&response.text().await.unwrap());
    }
}

fn id(number: usize) -> String {
    format!("life-request-{number}")
}

fn trace(number: usize) -> String {
    format!("{TRACE}{number:02x}")
}

fn traceparent(number: usize) -> String {
    format!("00-{}-{PARENT}-01", trace(number))
}

fn on(listener: &'static str, method: &'static str, route: &'static str, status: u16) -> Expected {
    Expected { listener, method, route, status, problem: None }
}

fn refusal(
    listener: &'static str,
    method: &'static str,
    route: &'static str,
    status: u16,
    code: &'static str,
) -> Expected {
    Expected { listener, method, route, status, problem: Some(code) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_life_is_told_in_lines_that_hold_no_secret() {
    let database = TestDatabase::migrated().await;
    let proxy = DatabaseProxy::open().await;
    let url = proxy.url(&database.name).replace("ephemint@", "ephemint:canary-password@");
    let more =
        format!("log.level = 'trace'\nlog.format = 'json'\nexchange.max_staleness = '100ms'\n{}", sign_in::settings());
    let config = config_file(&url, &more);
    let mut canaries = Canaries::new();
    canaries.text("database password", "canary-password");

    let mut life = Life::start(config.path()).await;
    let secret = add_client(config.path()).await;
    canaries.client_secret(&secret);
    let session = start_session(&mut life, &secret, &mut canaries).await;
    use_session(&mut life, &session, &mut canaries).await;
    misplace_secrets(&mut life, &session, &secret, &mut canaries).await;
    sign_in::with_secrets_in_every_field(&mut life, config.path(), &secret, &mut canaries).await;
    let hash = database.client().await.query_one("SELECT password_hash FROM account", &[]).await.unwrap();
    canaries.stored_text("password hash", hash.get(0));
    proxy.close();
    lose_the_database(&mut life, &session, &secret).await;
    proxy.reopen();
    end_session(&mut life, &session).await;

    let metrics = life.http.get(format!("http://{}/metrics", life.serving.admin)).send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    life.serving.terminate();
    assert_eq!(life.serving.exit_code(Duration::from_secs(20)).await, 0);
    life.serving.logged("stopped").await;
    let log = life.serving.log.lock().unwrap().clone();

    let lines: Vec<Map<String, Value>> = log.iter().map(|line| parsed(line)).collect();
    every_request_is_told_once(&lines, &life.expected);
    let started = lines.iter().filter(|line| line.get("event") == Some(&json!("session_started")));
    let odd = started.filter(|line| line["subject"] == ODD_SUBJECT).count();
    assert_eq!(odd, 1, "what is odd is kept, within its line");
    assert!(lines.iter().all(|line| line["message"] != "forged"));

    for (place, text) in [("log", log.join("\n")), ("metrics", metrics), ("refusals", life.refusals.clone())] {
        canaries.assert_absent(place, &text);
    }
    canaries.assert_absent_at_rest(&database.dump().await);
    for arguments in [["clients", "list", "--json"].as_slice(), &["clients", "rotate", "ops"], &["config", "show"]] {
        let output = run(config.path(), arguments).await;
        assert!(output.status.success(), "{arguments:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        said.lines().for_each(|line| drop(parsed(line)));
        canaries.assert_absent("a command", &(said + &String::from_utf8(output.stdout).unwrap()));
    }
}

/// A line as the one object that it must be, without a name that occurs twice.
fn parsed(line: &str) -> Map<String, Value> {
    let object = strict_json::object(line.as_bytes()).unwrap_or_else(|fault| panic!("{fault}: {line}"));
    for field in ["timestamp", "level", "message", "target"] {
        assert!(object[field].is_string(), "{field}: {line}");
    }
    object
}

fn every_request_is_told_once(lines: &[Map<String, Value>], expected: &[Expected]) {
    let answered = lines.iter().filter(|line| line["message"] == "request answered");
    let mut by_id: HashMap<&str, Vec<&Map<String, Value>>> = HashMap::new();
    for line in answered {
        by_id.entry(line["request.id"].as_str().unwrap()).or_default().push(line);
    }
    for (number, expected) in expected.iter().enumerate() {
        let told = by_id.remove(id(number).as_str()).unwrap_or_default();
        let [line] = told[..] else { panic!("{} lines of {} {}", told.len(), expected.method, expected.route) };
        let shown = format!("{line:?}");
        assert_eq!(line["listener"], expected.listener, "{shown}");
        assert_eq!(line["http.method"], expected.method, "{shown}");
        assert_eq!(line["http.route"], expected.route, "{shown}");
        assert_eq!(line["http.status"], expected.status, "{shown}");
        assert_eq!(line.get("problem.code").and_then(Value::as_str), expected.problem, "{shown}");
        assert_eq!(line["level"], if expected.status >= 500 { "WARN" } else { "INFO" }, "{shown}");
        assert_eq!(line["trace.id"], trace(number), "{shown}");
        assert_eq!(line["parent.id"], PARENT, "{shown}");
        let span = line["span.id"].as_str().unwrap();
        assert!(span.len() == 16 && span != PARENT && span.bytes().all(|byte| byte.is_ascii_hexdigit()), "{shown}");
        assert_eq!(line["client.address"], "127.0.0.1", "{shown}");
        assert!(line["duration_ms"].as_f64().unwrap() > 0.0, "{shown}");
    }
    by_id.remove(WAITING);
    // The one scrape had no name and belonged to no trace, so it was given both.
    let rest: Vec<_> = by_id.into_values().flatten().collect();
    let [scrape] = rest[..] else { panic!("lines of nobody's requests: {rest:?}") };
    assert_eq!(scrape["http.route"], "/metrics");
    assert_eq!(scrape["request.id"].as_str().unwrap().len(), 36);
    assert_eq!(scrape["trace.id"].as_str().unwrap().len(), 32);
    assert!(!scrape.contains_key("parent.id"));
}

/// A session as its owner holds it.
struct Held {
    id: String,
    token: String,
}

impl Held {
    fn cookie(&self) -> String {
        format!("theme=canary-cookie; __Host-session={}", self.token)
    }
}

async fn start_session(life: &mut Life, secret: &str, canaries: &mut Canaries) -> Held {
    let body = json!({ "subject": ODD_SUBJECT, "amr": ["pwd"], "claims": { "role": "canary-claim" } });
    let request = life.request("admin", "POST", "/admin/sessions").bearer_auth(secret).json(&body);
    let response = life.send(request, on("admin", "POST", "/admin/sessions", 201)).await;
    let started: Value = response.json().await.unwrap();
    let text = |name: &str| started[name].as_str().unwrap().to_owned();
    let session = Held { id: text("session_id"), token: text("session_token") };
    canaries.session_token(&session.token);
    for value in ["canary-cookie", "canary-query", "canary-path", "canary-body", "canary-header"] {
        canaries.text("what a client sent", value);
    }
    session
}

async fn use_session(life: &mut Life, session: &Held, canaries: &mut Canaries) {
    for (target, route) in [("/exchange?x=canary-query", "/exchange"), ("/exchange/legacy", "/exchange/{audience}")] {
        let request = life.request("gateway", "GET", target).header("cookie", session.cookie());
        let response = life.send(request.header("user-agent", "canary-header"), on("gateway", "GET", route, 200)).await;
        let token = bearer(&response);
        let (_, signature) = token.rsplit_once('.').unwrap();
        canaries.text("access token", &token);
        canaries.text("signature", signature);
    }
    let request = life.request("public", "GET", "/session?x=canary-query").header("cookie", session.cookie());
    let shown: Value = life.send(request, on("public", "GET", "/session", 200)).await.json().await.unwrap();
    canaries.text("csrf token", shown["csrf_token"].as_str().unwrap());
}

/// Everything secret where it does not belong, and bodies that break every rule.
async fn misplace_secrets(life: &mut Life, session: &Held, secret: &str, canaries: &mut Canaries) {
    let token = session.token.as_str();
    let stranger = ephemint::domain::session_token::SessionToken::generate().unwrap().expose();
    canaries.session_token(&stranger);
    let access_token = canaries.first("access token");
    for credential in [token, stranger.as_str(), access_token.as_str(), "emc_canary-header"] {
        let request = life.request("admin", "GET", "/admin/sessions?subject=canary-query").bearer_auth(credential);
        life.refused(request, refusal("admin", "GET", "/admin/sessions", 401, "no-credential")).await;
    }
    for value in [secret, stranger.as_str(), access_token.as_str(), "canary-cookie"] {
        let cookie = format!("__Host-session={value}");
        let request = life.request("gateway", "GET", "/exchange/orders").header("cookie", &cookie).bearer_auth(token);
        life.refused(request, on("gateway", "GET", "/exchange/{audience}", 401)).await;
        let request = life.request("public", "GET", "/session").header("cookie", &cookie);
        life.refused(request, refusal("public", "GET", "/session", 401, "no-session")).await;
    }
    for value in [token, secret, access_token.as_str(), "canary-path%0a%7B%22message%22:%22forged%22%7D"] {
        let cookie = session.cookie();
        let request = life.request("gateway", "GET", &format!("/exchange/{value}")).header("cookie", cookie);
        life.refused(request, on("gateway", "GET", "/exchange/{audience}", 403)).await;
        let target = format!("/canary-path/{value}?token={value}&__Host-session={value}");
        let request = life.request("public", "GET", &target).header("referer", format!("https://x/?{value}"));
        life.refused(request, refusal("public", "GET", "unmatched", 404, "not-found")).await;
        let request = life.request("gateway", "GET", &format!("/problems/{value}"));
        life.refused(request, refusal("gateway", "GET", "/problems/{code}", 404, "not-found")).await;
        let request = life.request("admin", "GET", &format!("/admin/sessions/{value}?x={value}")).bearer_auth(secret);
        life.refused(request, refusal("admin", "GET", "/admin/sessions/{session_id}", 404, "unknown-session")).await;
        let request = life.request("admin", "GET", &format!("/admin/sessions?{value}={value}")).bearer_auth(secret);
        life.refused(request, refusal("admin", "GET", "/admin/sessions", 400, "bad-request")).await;
    }
    for (body, code) in [
        (format!(r#"{{"subject":"a","{token}":"canary-body"}}"#), "bad-request"),
        (format!(r#"{{"subject":["{token}","canary-body"]}}"#), "invalid-field"),
        (format!(r#"{{"subject":"a","ip":"{secret}"}}"#), "invalid-field"),
        (format!(r#"{{"subject":"a","acr":"canary-body {}"}}"#, token.repeat(3)), "invalid-field"),
        (format!(r#"{{"subject":"a","auth_time":"{token}"}}"#), "invalid-field"),
        (format!(r#"{{"subject":"a","claims":{{"{token}\u0000":1}}}}"#), "malformed-json"),
        (format!(r#"{{"canary-body {secret}"#), "malformed-json"),
        ("{\"subject\":\"a\\n{\\\"message\\\":\\\"forged\\\"}\"}".to_owned(), "invalid-field"),
        ("{\"subject\":\"a\\r\\u001b[2J canary-body\"}".to_owned(), "invalid-field"),
    ] {
        let request = life.request("admin", "POST", "/admin/sessions").bearer_auth(secret);
        let request = request.header("content-type", "application/json").body(body);
        life.refused(request, refusal("admin", "POST", "/admin/sessions", 400, code)).await;
    }
    let request = life.request("public", "POST", "/logout").header("cookie", session.cookie());
    let request = request.header("origin", "https://canary-header.example.com");
    life.refused(request, refusal("public", "POST", "/logout", 403, "cross-site-request")).await;
    let request = life.request("public", "CANARY", "/session").header("cookie", session.cookie());
    life.refused(request, refusal("public", "other", "/session", 405, "method-not-allowed")).await;
    let request = life.request("public", "GET", "/session").header("x-big", token.repeat(1_000));
    life.refused(request, refusal("public", "GET", "/session", 431, "head-too-large")).await;
}

/// What a database that is gone makes the service say.
async fn lose_the_database(life: &mut Life, session: &Held, secret: &str) {
    // Sessions are trusted without the database for a moment at most; then it cannot be decided.
    tokio::time::timeout(Duration::from_secs(10), async {
        loop {
            let request = life.request("gateway", "GET", "/exchange/strict").header("cookie", session.cookie());
            if request.header("x-request-id", WAITING).send().await.unwrap().status() == 503 {
                break;
            }
        }
    })
    .await
    .unwrap();
    let request = life.request("public", "GET", "/session").header("cookie", session.cookie());
    life.refused(request, refusal("public", "GET", "/session", 503, "unavailable")).await;
    let request = life.request("gateway", "GET", "/exchange/strict").header("cookie", session.cookie());
    life.refused(request, on("gateway", "GET", "/exchange/{audience}", 503)).await;
    let request = life.request("admin", "GET", "/admin/sessions?subject=canary-query").bearer_auth(secret);
    life.refused(request, refusal("admin", "GET", "/admin/sessions", 503, "unavailable")).await;
    life.refused(life.request("admin", "GET", "/readyz"), on("admin", "GET", "/readyz", 503)).await;
}

async fn end_session(life: &mut Life, session: &Held) {
    let request = life.request("public", "POST", "/logout").header("cookie", session.cookie());
    let response =
        life.send(request.header("sec-fetch-site", "same-origin"), on("public", "POST", "/logout", 204)).await;
    assert!(response.headers().contains_key("set-cookie"));
    let request = life.request("gateway", "GET", "/exchange/orders").header("cookie", session.cookie());
    life.refused(request, on("gateway", "GET", "/exchange/{audience}", 401)).await;
    assert!(!session.id.is_empty());
}
