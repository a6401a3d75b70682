//! Who may: each route of the admin API with each wrong credential.

use ephemint::domain::client::{ClientSecret, Scope};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::json;

use crate::support::{
    answer::{problem, single},
    app::{Started, TestApp},
};

/// Each route, the scope that it needs, and the status that it answers with when it is granted.
fn routes(session: &Started) -> [(Method, String, Scope, u16); 8] {
    let one = format!("/admin/sessions/{}", session.id);
    [
        (Method::GET, "/admin/sessions".to_owned(), Scope::SessionsRead, 200),
        (Method::GET, one.clone(), Scope::SessionsRead, 200),
        (Method::POST, "/admin/sessions/revoke".to_owned(), Scope::SessionsRevoke, 200),
        (Method::GET, "/admin/keys".to_owned(), Scope::KeysRead, 200),
        (Method::POST, "/admin/keys/rotate".to_owned(), Scope::KeysRotate, 200),
        (Method::POST, "/admin/sessions".to_owned(), Scope::SessionsCreate, 201),
        (Method::DELETE, one, Scope::SessionsRevoke, 200),
        (Method::DELETE, "/admin/sessions?subject=alice".to_owned(), Scope::SessionsRevoke, 200),
    ]
}

fn request(app: &TestApp, method: &Method, path: &str) -> RequestBuilder {
    let request = app.anonymous_admin(method.clone(), path);
    if (method, path) == (&Method::POST, "/admin/sessions") {
        request.json(&json!({ "subject": "mallory" }))
    } else if path == "/admin/sessions/revoke" {
        request.json(&json!({ "subject": "mallory", "dry_run": true }))
    } else {
        request
    }
}

async fn unauthenticated(response: Response) {
    assert_eq!(single(response.headers(), "www-authenticate"), "Bearer realm=\"ephemint admin\"");
    problem(response, 401, "no-credential").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_route_answers_to_a_wrong_credential() {
    let app = TestApp::spawn().await;
    let session = app.given_session("alice").await;
    let stranger = ClientSecret::generate().unwrap().expose();
    let secret = &app.secret;
    let wrong = [
        String::new(),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        format!("Bearer {stranger}"),
        format!("Bearer  {secret}"),
        format!("Bearer\t{secret}"),
        format!("Bearer {secret}x"),
        format!("Bearer {}", &secret[..46]),
        format!("Bearer {}", secret.to_lowercase()),
        format!("Bearer {secret}, Bearer {secret}"),
        format!("Basic {secret}"),
        format!("Token {secret}"),
        secret.clone(),
        format!("Bearer {}", session.token),
        format!("Session {}", session.token),
    ];
    for (method, path, _, _) in routes(&session) {
        unauthenticated(request(&app, &method, &path).send().await.unwrap()).await;
        for credential in &wrong {
            let request = request(&app, &method, &path).header("authorization", credential);
            unauthenticated(request.send().await.unwrap()).await;
        }
        let twice = request(&app, &method, &path).bearer_auth(secret).bearer_auth(secret);
        unauthenticated(twice.send().await.unwrap()).await;
        for name in ["access_token", "client_secret", "authorization"] {
            let separator = if path.contains('?') { '&' } else { '?' };
            let path = format!("{path}{separator}{name}={secret}");
            unauthenticated(request(&app, &method, &path).send().await.unwrap()).await;
        }
        for (name, value) in [("cookie", session.cookie()), ("x-api-key", secret.clone()), ("cookie", secret.clone())] {
            unauthenticated(request(&app, &method, &path).header(name, value).send().await.unwrap()).await;
        }
    }
    app.access_token("orders", &session).await;
    assert_eq!(app.database.count("SELECT count(*) FROM session").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scope_opens_its_own_routes_and_no_other() {
    let app = TestApp::spawn().await;
    let session = app.given_session("alice").await;
    for (method, path, scope, _) in routes(&session) {
        let others: Vec<Scope> = Scope::ALL.into_iter().filter(|other| *other != scope).collect();
        let (_, lacking) = app.given_client(&others).await;
        let response = request(&app, &method, &path).bearer_auth(lacking).send().await.unwrap();
        let challenge = "Bearer realm=\"ephemint admin\", error=\"insufficient_scope\"";
        assert_eq!(single(response.headers(), "www-authenticate"), challenge);
        let document = problem(response, 403, "insufficient-scope").await;
        assert_eq!(document["detail"], format!("this route needs the scope {scope}"));
    }
    app.access_token("orders", &session).await;
    for (method, path, scope, status) in routes(&session) {
        let (_, secret) = app.given_client(&[scope]).await;
        for scheme in ["bearer", "Bearer"] {
            let request = request(&app, &method, &path).header("authorization", format!("{scheme} {secret}"));
            assert_eq!(request.send().await.unwrap().status(), status, "{method} {path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_not_let_in_learns_nothing_of_the_body() {
    let app = TestApp::spawn().await;
    let (_, lacking) = app.given_client(&[Scope::SessionsRead]).await;
    let stranger = ClientSecret::generate().unwrap().expose();
    for (media_type, body) in [
        ("text/plain", "{}".to_owned()),
        ("application/json", "{".to_owned()),
        ("application/json", "{}".to_owned()),
        ("application/json", " ".repeat(20_000)),
    ] {
        let post = |secret: &str| {
            let request = app.anonymous_admin(Method::POST, "/admin/sessions").bearer_auth(secret);
            request.header("content-type", media_type).body(body.clone()).send()
        };
        unauthenticated(post(&stranger).await.unwrap()).await;
        problem(post(&lacking).await.unwrap(), 403, "insufficient-scope").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_and_a_replaced_secret_are_dead_at_once() {
    let app = TestApp::spawn().await;
    let (client, secret) = app.given_client(&[Scope::SessionsRead]).await;
    let list = |secret: String| app.anonymous_admin(Method::GET, "/admin/sessions").bearer_auth(secret).send();
    assert_eq!(list(secret.clone()).await.unwrap().status(), 200);

    let (_, replaced) = app.state.clients.rotate(&client).await.unwrap();
    unauthenticated(list(secret).await.unwrap()).await;
    assert_eq!(list(replaced.expose()).await.unwrap().status(), 200);

    app.state.clients.remove(&client).await.unwrap();
    unauthenticated(list(replaced.expose()).await.unwrap()).await;
}
