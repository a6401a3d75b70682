//! The service as a test sees it: three addresses, a clock, and one method for each thing one may ask.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use ephemint::{
    app::{Addresses, Application},
    clock::{Clock as _, ManualClock, SystemClock},
    config::Config,
    domain::client::Scope,
    http::state::AppState,
    service::{
        activity::Activity, canary::Canary, events::Events, revocation_follower::RevocationFollower, sweep::Sweep,
    },
};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tokio::{sync::oneshot, task::JoinHandle};

use super::database::TestDatabase;

/// The master key of tests: 32 bytes that are nobody's secret.
pub(crate) const MASTER_KEY: &str = "dGVzdC10ZXN0LXRlc3QtdGVzdC10ZXN0LXRlc3QtMTI=";
/// The session cookie's name.
pub(crate) const COOKIE: &str = "__Host-session";

/// A running service.
pub(crate) struct TestApp {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) database: TestDatabase,
    pub(crate) addresses: Addresses,
    pub(crate) state: AppState,
    /// Last-seen times on their way to the database.
    pub(crate) activity: Arc<Activity>,
    /// Keeps what is in memory believable.
    pub(crate) follower: Arc<RevocationFollower>,
    /// Measures how long a revocation takes, where a test asks for it.
    pub(crate) canary: Option<Arc<Canary>>,
    /// Where security events go.
    pub(crate) events: Arc<Events>,
    /// Deletes what is over.
    pub(crate) sweep: Arc<Sweep>,
    /// A credential that may do everything.
    pub(crate) secret: String,
    pub(crate) http: Client,
    stop: Option<oneshot::Sender<()>>,
    running: Option<JoinHandle<std::io::Result<()>>>,
}

/// A session that a test has started.
#[derive(Debug, Clone)]
pub(crate) struct Started {
    pub(crate) id: String,
    pub(crate) token: String,
}

impl Started {
    /// The request header that a browser would send.
    pub(crate) fn cookie(&self) -> String {
        format!("{COOKIE}={}", self.token)
    }
}

impl TestApp {
    /// A service with the settings of [`settings`] on a database of its own.
    pub(crate) async fn spawn() -> Self {
        Self::spawn_with("").await
    }

    /// The same, with more settings (TOML with dotted keys, such as `session.idle_timeout = "10m"`).
    pub(crate) async fn spawn_with(more: &str) -> Self {
        let database = TestDatabase::migrated().await;
        let url = database.url.clone();
        Self::spawn_on(database, &url, more).await
    }

    /// The same, reaching the database over `url`.
    pub(crate) async fn spawn_on(database: TestDatabase, url: &str, more: &str) -> Self {
        let clock = Arc::new(ManualClock::at(SystemClock::new().now()));
        Self::spawn_at(clock, database, url, more).await
    }

    /// The same, under a clock that the test has already.
    pub(crate) async fn spawn_at(clock: Arc<ManualClock>, database: TestDatabase, url: &str, more: &str) -> Self {
        let config = Config::from_toml(&settings(url, more)).unwrap_or_else(|error| panic!("{error}"));
        let application = Application::build(&config, clock.clone()).await.unwrap_or_else(|error| panic!("{error:?}"));
        let addresses = application.addresses();
        let state = application.state().clone();
        let activity = Arc::clone(&application.services().activity);
        let follower = Arc::clone(&application.services().follower);
        let canary = application.services().canary.clone();
        let events = Arc::clone(&application.services().events);
        let sweep = Arc::clone(&application.services().sweep);
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(application.run(async {
            // Dropped or sent: either way the test is over.
            let _ = stopped.await;
        }));
        let name = format!("test-{}", uuid_like());
        let (_, secret) = state.clients.add(&name, Scope::ALL.to_vec()).await.unwrap();
        let http = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(Duration::from_secs(20))
            .build()
            .unwrap();
        Self {
            clock,
            database,
            addresses,
            state,
            activity,
            follower,
            canary,
            events,
            sweep,
            secret: secret.expose(),
            http,
            stop: Some(stop),
            running: Some(running),
        }
    }

    /// Moves time for everyone, and lets the service read its keys again as it would have done meanwhile.
    pub(crate) async fn advance(&self, by: Duration) {
        self.clock.advance(by);
        self.state.keys.step().await.unwrap();
    }

    /// The present in whole seconds since 1970.
    pub(crate) fn clock_seconds(&self) -> i64 {
        self.clock.now().unix_timestamp()
    }

    /// Stops the service the way a signal would, and waits until it has gone.
    pub(crate) async fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(running) = self.running.take() {
            running.await.unwrap().unwrap();
        }
    }

    /// A request to the public listener.
    pub(crate) fn public(&self, method: reqwest::Method, path: &str) -> RequestBuilder {
        self.http.request(method, url(self.addresses.public, path))
    }

    /// A request to the gateway listener.
    pub(crate) fn gateway(&self, method: reqwest::Method, path: &str) -> RequestBuilder {
        self.http.request(method, url(self.addresses.gateway, path))
    }

    /// A request to the admin listener with the credential that may do everything.
    pub(crate) fn admin(&self, method: reqwest::Method, path: &str) -> RequestBuilder {
        self.anonymous_admin(method, path).bearer_auth(&self.secret)
    }

    /// A request to the admin listener without a credential.
    pub(crate) fn anonymous_admin(&self, method: reqwest::Method, path: &str) -> RequestBuilder {
        self.http.request(method, url(self.addresses.admin, path))
    }

    /// Adds a client with these scopes; returns its id and its secret.
    pub(crate) async fn given_client(&self, scopes: &[Scope]) -> (String, String) {
        let name = format!("client-{}", uuid_like());
        let (client, secret) = self.state.clients.add(&name, scopes.to_vec()).await.unwrap();
        (client.client_id, secret.expose())
    }

    /// Starts a session for a subject that has just authenticated with a password.
    pub(crate) async fn given_session(&self, subject: &str) -> Started {
        self.given(json!({ "subject": subject, "amr": ["pwd"] })).await
    }

    /// Starts a session from a whole request body.
    pub(crate) async fn given(&self, body: Value) -> Started {
        let response = self.admin(reqwest::Method::POST, "/admin/sessions").json(&body).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::CREATED, "{}", response.text().await.unwrap());
        let body: Value = response.json().await.unwrap();
        Started {
            id: body["session_id"].as_str().unwrap().to_owned(),
            token: body["session_token"].as_str().unwrap().to_owned(),
        }
    }

    /// Exchanges at the audience `orders` with this `Cookie` line.
    pub(crate) async fn exchange(&self, cookie: &str) -> Response {
        self.exchange_for("orders", cookie).await
    }

    /// Exchanges at an audience with this `Cookie` line.
    pub(crate) async fn exchange_for(&self, audience: &str, cookie: &str) -> Response {
        let path = format!("/exchange/{audience}");
        self.gateway(reqwest::Method::GET, &path).header("cookie", cookie).send().await.unwrap()
    }

    /// Exchanges and returns the access token.
    pub(crate) async fn access_token(&self, audience: &str, session: &Started) -> String {
        let response = self.exchange_for(audience, &session.cookie()).await;
        assert_eq!(response.status(), StatusCode::OK);
        bearer(&response)
    }

    /// The text of `/metrics`.
    pub(crate) async fn metrics(&self) -> String {
        self.anonymous_admin(reqwest::Method::GET, "/metrics").send().await.unwrap().text().await.unwrap()
    }
}

/// The settings of a test's service: any free port, two audiences, no drain; `more` overrides and adds.
pub(crate) fn settings(url: &str, more: &str) -> String {
    let base = format!(
        r#"
        [public]
        listen = "127.0.0.1:0"
        origin = "https://app.example.com"
        [gateway]
        listen = "127.0.0.1:0"
        workers = 1
        [admin]
        listen = "127.0.0.1:0"
        [database]
        url = "{url}"
        [secrets]
        master_key = "{MASTER_KEY}"
        [exchange]
        default_audience = "orders"
        canary_interval = "0s"
        [keys]
        poll_interval = "100ms"
        [shutdown]
        drain = "0s"
        timeout = "5s"
        [[audience]]
        name = "orders"
        claims = ["role"]
        [[audience]]
        name = "legacy"
        algorithm = "RS256"
        [[audience]]
        name = "strict"
        consistency = "strict"
        [[audience]]
        name = "closed"
        enabled = false
        [[audience]]
        name = "sensitive"
        max_auth_age = "5m"
        required_amr = ["pwd"]
        type = "at+jwt"
        scopes = ["pay", "refund"]
        "#
    );
    let mut document: toml::Table = base.parse().unwrap();
    merge(&mut document, more.parse().unwrap());
    document.to_string()
}

fn merge(into: &mut toml::Table, from: toml::Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(toml::Value::Table(into)), toml::Value::Table(from)) => merge(into, from),
            (Some(toml::Value::Array(into)), toml::Value::Array(from)) if key == "audience" => into.extend(from),
            (_, value) => drop(into.insert(key, value)),
        }
    }
}

/// The one access token that an answer carries.
pub(crate) fn bearer(response: &Response) -> String {
    let mut lines = response.headers().get_all("authorization").iter();
    let line = lines.next().expect("an Authorization header").to_str().unwrap();
    assert!(lines.next().is_none(), "more than one Authorization header");
    let token = line.strip_prefix("Bearer ").expect("a bearer token");
    assert!(!token.is_empty());
    token.to_owned()
}

/// An instant as answers write it.
pub(crate) fn rfc3339(instant: time::OffsetDateTime) -> String {
    instant.format(&time::format_description::well_known::Rfc3339).unwrap()
}

/// The `http` URL of a path at an address.
pub(crate) fn url(address: SocketAddr, path: &str) -> String {
    format!("http://{address}{path}")
}

/// The payload of a token, unverified.
pub(crate) fn payload(token: &str) -> Value {
    part(token, 1)
}

/// The header of a token, unverified.
pub(crate) fn header(token: &str) -> Value {
    part(token, 0)
}

fn part(token: &str, index: usize) -> Value {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let part = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// The value of one sample in a metrics text; 0 where there is none. `labels` are parts that its line must hold.
pub(crate) fn sample(metrics: &str, name: &str, labels: &[&str]) -> f64 {
    metrics
        .lines()
        .filter(|line| line.starts_with(name) && labels.iter().all(|label| line.contains(label)))
        .filter(|line| line[name.len()..].starts_with(['{', ' ']))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum()
}

fn uuid_like() -> String {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed).to_string()
}
