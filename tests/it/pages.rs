//! The pages that people meet: whole, plain, self-contained, and safe with whatever stands on them.

mod branding;
mod refusals;

use std::collections::BTreeSet;

use reqwest::{Method, Response, StatusCode};
use serde_json::json;

use crate::support::{
    answer::{problem, single},
    app::TestApp,
    visitor::plain_page,
};

/// A page's body, checked for its head.
async fn page(response: Response, status: u16) -> String {
    let (answered, headers) = (response.status(), response.headers().clone());
    let body = response.text().await.unwrap();
    assert_eq!(answered.as_u16(), status, "{body}");
    assert_eq!(single(&headers, "content-type"), "text/html; charset=utf-8", "{body}");
    assert_eq!(single(&headers, "cache-control"), "no-store");
    assert!(single(&headers, "content-security-policy").contains("script-src 'self'"));
    body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_is_plain_and_everything_it_links_to_is_there() {
    let app = TestApp::spawn().await;
    let session = app.given_session("alice").await;
    app.given_session("alice").await;
    let mut links = BTreeSet::new();
    for (path, cookie, status, title) in [
        ("/login", "", 200, "Sign in · Ephemint"),
        ("/login?return_to=/orders", "__Host-session=junk", 200, "Sign in · Ephemint"),
        ("/login", &session.cookie(), 200, "Sign in · Ephemint"),
        ("/account", &session.cookie(), 200, "Your devices · Ephemint"),
        ("/signed-out", "", 200, "Signed out · Ephemint"),
        ("/problems/no-session", "", 200, "There is no live session · Ephemint"),
        ("/none", "", 404, "This page does not exist · Ephemint"),
        ("/session", "", 401, "Please sign in · Ephemint"),
        ("/login?return_to=/a&return_to=/b", "", 400, "The request is not valid · Ephemint"),
    ] {
        let page = page(app.navigate(path, cookie).send().await.unwrap(), status).await;
        assert!(page.contains(&format!("<title>{title}</title>")), "{path}: {page}");
        links.extend(plain_page(&page));
    }
    assert!(links.iter().filter(|link| link.starts_with("/assets/")).count() >= 4, "{links:?}");
    for link in &links {
        let response = app.navigate(link, &session.cookie()).send().await.unwrap();
        let known = matches!(response.status(), StatusCode::OK | StatusCode::METHOD_NOT_ALLOWED);
        assert!(known, "{link}: {}", response.status());
        if link.starts_with("/assets/") {
            assert_eq!(single(response.headers(), "cache-control"), "public, max-age=31536000, immutable", "{link}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_account_page_shows_each_device_this_one_first_and_works_without_scripts() {
    let app = TestApp::spawn().await;
    let session = app.given(json!({ "subject": "alice", "device": "Firefox on Linux", "ip": "203.0.113.9" })).await;
    let other = app.given(json!({ "subject": "alice", "device": "Safari on iPhone" })).await;
    let foreign = app.given_session("bob").await;
    let page = page(app.navigate("/account", &session.cookie()).send().await.unwrap(), 200).await;
    let position = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text} is missing in {page}"));
    assert!(position("Firefox on Linux") < position("Safari on iPhone"));
    assert!(position("This device") < position("Safari on iPhone"));
    assert!(page.contains("<dd>203.0.113.9</dd>") && page.contains("<dd>Not recorded</dd>"));
    assert!(page.contains("icon-computer") && page.contains("icon-phone"));
    assert_eq!(page.matches("<time datetime=\"2").count(), 4);
    assert_eq!(page.matches(" UTC</time>").count(), 4);
    assert!(page.contains(&format!("action=\"/account/sessions/{}/revoke\"", other.id)));
    assert!(page.contains("aria-label=\"Sign out Safari on iPhone\""));
    assert!(page.contains("aria-label=\"Sign out Firefox on Linux, this device\""));
    assert_eq!(page.matches("Sign out all others").count(), 1);
    assert!(!page.contains(&foreign.id) && !page.contains(&session.token) && !page.contains(&other.token));
    let token = app.csrf_token(&session.cookie()).await;
    assert_eq!(page.matches("<form ").count(), page.matches(&format!("name=\"csrf_token\" value=\"{token}\"")).count());

    app.admin(Method::DELETE, &format!("/admin/sessions/{}", other.id)).send().await.unwrap();
    let alone = app.navigate("/account", &session.cookie()).send().await.unwrap().text().await.unwrap();
    assert!(!alone.contains("Sign out all others") && alone.contains("No other browser or app"), "{alone}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_names_stay_text() {
    let app = TestApp::spawn().await;
    let subject = "<script>alert(1)</script>\"'&{{ 7*7 }}{% raw %}";
    let device = "\"><img src=x onerror=alert(2)>' </title><!-- {{ csrf_token }}";
    let session = app.given(json!({ "subject": subject, "device": device })).await;
    for (path, shown) in [
        ("/account", vec!["&lt;script&gt;alert(1)", "&quot;&gt;&lt;img src=x onerror=alert(2)&gt;&#x27;"]),
        ("/login", vec!["&lt;script&gt;alert(1)"]),
    ] {
        let page = page(app.navigate(path, &session.cookie()).send().await.unwrap(), 200).await;
        plain_page(&page);
        for text in shown {
            assert!(page.contains(text), "{text} in {page}");
        }
        assert!(page.contains("{{ 7*7 }}") && !page.contains("<img src=x") && !page.contains("<script>"), "{page}");
    }
    for hostile in ["/x\"><script>alert(1)</script>", "/x'onfocus='alert(1)", "/<img>"] {
        let path = format!(
            "/login?return_to={}",
            url::form_urlencoded::byte_serialize(hostile.as_bytes()).collect::<String>()
        );
        let page = page(app.navigate(&path, "").send().await.unwrap(), 200).await;
        plain_page(&page);
        assert!(!page.contains("<script>alert") && !page.contains("<img>"), "{page}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn assets_are_kept_for_good_by_their_content_and_asked_for_again_otherwise() {
    let app = TestApp::spawn().await;
    let get = |path: &str| app.public(Method::GET, path);
    for (name, media_type) in [
        ("style.css", "text/css; charset=utf-8"),
        ("theme.css", "text/css; charset=utf-8"),
        ("account.js", "text/javascript; charset=utf-8"),
        ("mark.svg", "image/svg+xml"),
        ("phone.svg", "image/svg+xml"),
    ] {
        for address in [app.addresses.public, app.addresses.gateway] {
            let response = app.http.get(format!("http://{address}/assets/{name}?v=0000")).send().await.unwrap();
            assert_eq!(response.status(), StatusCode::OK, "{name}");
            assert_eq!(single(response.headers(), "content-type"), media_type);
            assert_eq!(single(response.headers(), "cache-control"), "no-cache", "a wrong hash promises nothing");
            let policy = response.headers().get("content-security-policy").map(|value| value.to_str().unwrap());
            assert_eq!(
                policy.is_some_and(|policy| policy.contains("sandbox")),
                media_type == "image/svg+xml",
                "{name}"
            );
            let etag = single(response.headers(), "etag").to_owned();
            let known = get(&format!("/assets/{name}")).header("if-none-match", format!("\"x\", W/{etag}"));
            let known = known.send().await.unwrap();
            assert_eq!(known.status(), StatusCode::NOT_MODIFIED);
            assert_eq!(single(known.headers(), "etag"), etag);
            let head = app.public(Method::HEAD, &format!("/assets/{name}")).send().await.unwrap();
            assert_eq!(single(head.headers(), "etag"), etag);
        }
    }
    for name in ["", "none.css", "..%2fassets.rs", "STYLE.CSS", "base.html", "custom.css", "logo.svg"] {
        problem(get(&format!("/assets/{name}")).send().await.unwrap(), 404, "not-found").await;
    }
}
