//! What people, gateways and back ends ask of a replica.

use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::support::{
    app::COOKIE,
    program::{Serving, add_client, config_file, run_with},
    visitor::PASSWORD,
};

/// A replica under test, and a credential for it.
pub(crate) struct Replica {
    pub(crate) serving: Serving,
    pub(crate) file: NamedTempFile,
    http: Client,
    secret: String,
}

/// A session that was started.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) id: String,
    pub(crate) token: String,
}

/// A part of what is asked; a service in trouble may refuse it, or not answer.
pub(crate) type Asked<T> = Result<T, reqwest::Error>;

impl Replica {
    /// Starts a replica on the database at `url`.
    pub(crate) async fn start(url: &str, more: &str) -> Self {
        let file = config_file(url, more);
        let serving = Serving::start(file.path()).await;
        let secret = add_client(file.path()).await;
        let http = Client::builder().no_proxy().timeout(Duration::from_secs(5)).build().unwrap();
        Self { serving, file, http, secret }
    }

    /// Another replica on the same database, which knows the same credentials.
    pub(crate) async fn beside(&self, url: &str, more: &str) -> Self {
        let file = config_file(url, more);
        let serving = Serving::start(file.path()).await;
        Self { serving, file, http: self.http.clone(), secret: self.secret.clone() }
    }

    /// Adds a password account.
    pub(crate) async fn given_account(&self, name: &str) {
        let output = run_with(self.file.path(), &["users", "add", name], format!("{PASSWORD}\n").as_bytes()).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn request(&self, method: Method, address: &str, path: &str) -> RequestBuilder {
        self.http.request(method, format!("http://{address}{path}"))
    }

    pub(crate) fn gateway(&self, method: Method, path: &str) -> RequestBuilder {
        self.request(method, &self.serving.gateway, path)
    }

    pub(crate) fn public(&self, method: Method, path: &str) -> RequestBuilder {
        self.request(method, &self.serving.public, path)
    }

    pub(crate) fn admin(&self, method: Method, path: &str) -> RequestBuilder {
        self.request(method, &self.serving.admin, path).bearer_auth(&self.secret)
    }

    /// Starts a session; nothing where the service refuses.
    pub(crate) async fn session(&self, subject: &str) -> Asked<Option<Held>> {
        let answer = self
            .admin(Method::POST, "/admin/sessions")
            .json(&json!({ "subject": subject, "amr": ["pwd"] }))
            .send()
            .await?;
        if answer.status() != StatusCode::CREATED {
            return Ok(None);
        }
        let body: Value = answer.json().await?;
        let field = |name: &str| body[name].as_str().unwrap().to_owned();
        Ok(Some(Held { id: field("session_id"), token: field("session_token") }))
    }

    pub(crate) async fn exchange(&self, audience: &str, token: &str) -> Asked<StatusCode> {
        let request = self.gateway(Method::GET, &format!("/exchange/{audience}"));
        Ok(request.header("cookie", format!("{COOKIE}={token}")).send().await?.status())
    }

    pub(crate) async fn revoke(&self, session: &Held) -> Asked<StatusCode> {
        Ok(self.admin(Method::DELETE, &format!("/admin/sessions/{}", session.id)).send().await?.status())
    }

    pub(crate) async fn sign_in(&self, name: &str, password: &str) -> Asked<Response> {
        let body = json!({ "username": name, "password": password, "transport": "header" });
        self.public(Method::POST, "/login").header("user-agent", "OrdersApp/4.2").json(&body).send().await
    }

    /// Renews a session and comes with the old token once more.
    pub(crate) async fn reuse(&self, session: &Held) -> Asked<()> {
        let old = format!("Session {}", session.token);
        self.public(Method::POST, "/session/renew").header("authorization", &old).send().await?;
        self.public(Method::GET, "/session").header("authorization", &old).send().await?;
        Ok(())
    }
}

/// Does something over and over, whatever comes of it, for as long as the test runs.
pub(crate) fn keep_doing<W>(pause: Duration, mut act: impl FnMut(u64) -> W + Send + 'static) -> Doing
where
    W: Future<Output = Asked<()>> + Send + 'static,
{
    let task = tokio::spawn(async move {
        for round in 0.. {
            // The service is in trouble on purpose; what it answers is for its metrics to say.
            let _ = act(round).await;
            tokio::time::sleep(pause).await;
        }
    });
    Doing(task)
}

/// Something that goes on until this is dropped.
pub(crate) struct Doing(tokio::task::JoinHandle<()>);

impl Drop for Doing {
    fn drop(&mut self) {
        self.0.abort();
    }
}
