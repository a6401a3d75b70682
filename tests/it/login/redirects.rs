//! Where a sign-in leads: never to another origin, never in circles, whatever is asked for.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{
    answer::single,
    app::TestApp,
    visitor::{PASSWORD, UNTHROTTLED, plain_page},
};

/// Places that are asked for in vain.
fn hostile() -> Vec<String> {
    let mut places: Vec<String> = [
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\/evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "/%09/evil.example",
        "/%5cevil.example",
        "/%2f%2fevil.example",
        "/..//evil.example",
        "/x/..//evil.example",
        "https:evil.example",
        "https:/evil.example",
        "https://evil.example",
        "HTTPS://EVIL.EXAMPLE",
        "javascript:alert('evil')",
        "java\nscript:alert('evil')",
        "data:text/html,evil",
        "https://app.example.com@evil.example",
        "https://evil.example#app.example.com",
        "https://evil.example\\@app.example.com",
        "https://evilapp.example.com",
        "https://app.example.com.evil.example",
        "https://evil。example",
        "//evil。example",
        "https://аpp.example.com/evil",
        "/a\r\nLocation: https://evil.example",
        "/a%0d%0aLocation:%20https://evil.example",
        "/a\0evil",
        "evil",
        "?evil",
        "/login?return_to=//evil.example",
        "/logout?evil",
        "/LOGOUT/../logout",
        "/%6cogout",
        "/x/%2e%2e/logout",
        "/session/renew",
        "/account/sessions/revoke-others",
    ]
    .map(str::to_owned)
    .into();
    places.push(format!("/evil{}", "l".repeat(8 * 1_024)));
    places
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_leads_a_browser_away() {
    let app = TestApp::spawn_with(UNTHROTTLED).await;
    app.given_account("alice").await;
    let session = app.given_session("alice").await;
    let kept = "name=\"return_to\" value=\"/account\"";
    for (number, place) in hostile().iter().enumerate() {
        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("return_to", place).finish();
        for cookie in ["", &session.cookie()] {
            let page = app.navigate(&format!("/login?{query}"), cookie).send().await.unwrap();
            assert_eq!(page.status(), StatusCode::OK, "{place}");
            let page = page.text().await.unwrap();
            plain_page(&page);
            assert!(page.contains(kept) && !page.contains("evil"), "{place}: {page}");
        }
        // A form cannot hold U+0000 at all; tests/it/login/bodies.rs.
        if place.contains('\0') {
            continue;
        }
        let right = number % 2 == 0;
        let password = if right { PASSWORD } else { "wrong" };
        let fields = [("username", "alice"), ("password", password), ("return_to", place)];
        let response = app.submit("/login", "", &fields).send().await.unwrap();
        let locations: Vec<_> = response.headers().get_all("location").iter().cloned().collect();
        if right {
            assert_eq!(
                (response.status(), locations),
                (StatusCode::SEE_OTHER, vec!["/account".parse().unwrap()]),
                "{place}"
            );
        } else {
            assert_eq!((response.status(), locations.len()), (StatusCode::UNAUTHORIZED, 0), "{place}");
            let page = response.text().await.unwrap();
            assert!(page.contains(kept) && !page.contains("evil"), "{place}: {page}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_is_led_no_further_than_a_browser() {
    let app = TestApp::spawn_with(UNTHROTTLED).await;
    app.given_account("alice").await;
    for (place, led) in [
        ("//evil.example", "/account"),
        ("https://evil.example", "/account"),
        ("/\\evil.example", "/account"),
        ("/a\r\nb", "/account"),
        ("/orders/7?x=//evil.example#part", "/orders/7?x=//evil.example#part"),
        ("/a/../b", "/b"),
    ] {
        let body = json!({ "username": "alice", "password": PASSWORD, "return_to": place });
        let response = app.public(Method::POST, "/login").json(&body).send().await.unwrap();
        assert_eq!(response.json::<Value>().await.unwrap()["return_to"], led, "{place}");
    }
    // Nor does the way to the sign-in page depend on what a request says of hosts.
    for (name, value) in [
        ("host", "evil.example"),
        ("x-forwarded-host", "evil.example"),
        ("x-original-url", "//evil.example"),
        ("x-forwarded-prefix", "//evil.example"),
        ("forwarded", "host=evil.example"),
    ] {
        let response = app.navigate("/account", "").header(name, value).send().await.unwrap();
        assert_eq!(single(response.headers(), "location"), "/login?return_to=%2Faccount", "{name}");
    }
}
