//! An nginx that keeps answers, with the real service behind it: what is saved, and what a revocation still means.

use std::time::Duration;

use ephemint::clock::{Clock as _, SystemClock};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::support::site::Site;

/// How often the service was asked and gave a token.
async fn issued(site: &Site) -> u64 {
    let metrics = site.app.metrics().await;
    let lines = metrics.lines().filter(|line| line.starts_with("ephemint_exchanges_total{"));
    let counts = lines.filter(|line| line.contains("outcome=\"issued\"")).filter_map(|line| line.rsplit(' ').next());
    counts.map(|count| count.parse::<u64>().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_answers_by_itself_for_a_while_and_for_each_session_apart() {
    let site = Site::keeping_answers().await;
    let (alice, bob) = (site.app.given_session("alice").await, site.app.given_session("bob").await);
    let mut asked = 0;
    for _ in 0..5 {
        for (session, subject) in [(&alice, "alice"), (&bob, "bob")] {
            let response = site.call(session).await;
            assert_eq!(response.status(), StatusCode::OK);
            let body: Value = response.json().await.unwrap();
            assert_eq!((body["subject"].as_str(), body["cookies_received"].as_str()), (Some(subject), Some("")));
            asked += 1;
        }
    }
    assert!(issued(&site).await < asked, "nothing was answered from memory");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_session_is_refused_once_the_gateways_time_is_over() {
    let site = Site::keeping_answers().await;
    let session = site.app.given_session("alice").await;
    assert_eq!(site.call(&session).await.status(), StatusCode::OK);
    let path = format!("/admin/sessions/{}", session.id);
    site.app.admin(Method::DELETE, &path).send().await.unwrap();
    // From here on this replica gives no token. What nginx keeps is older than that.
    let clock = SystemClock::new();
    let revoked = clock.monotonic();
    loop {
        let sent = clock.monotonic().saturating_sub(revoked);
        match site.call(&session).await.status() {
            StatusCode::UNAUTHORIZED => break,
            status => assert_eq!(status, StatusCode::OK),
        }
        assert!(sent < Duration::from_secs(2), "still answered {sent:?} later");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_for_a_read_never_answers_a_write_from_another_site() {
    let site = Site::keeping_answers().await;
    let session = site.app.given_session("alice").await;
    let ask = async |method: Method| {
        let request = site.request(method, "/api/transfer").header("cookie", session.cookie());
        request.header("sec-fetch-site", "cross-site").send().await.unwrap().status()
    };
    for _ in 0..3 {
        assert_eq!(ask(Method::GET).await, StatusCode::OK);
        assert_eq!(ask(Method::POST).await, StatusCode::FORBIDDEN);
    }
}
