//! The demo page: what it shows of a session, a token and a call, and what it says when the session ends.

use ephemint::dev::demo_account::{self, NAME, PASSWORD};
use serde_json::json;

use crate::{
    browser::Browser,
    chromedriver::places,
    support::{app::TestApp, site::Site},
};

/// A site, and a browser that is signed in there.
async fn signed_in() -> (Site, Browser) {
    let site = Site::for_browsers("").await;
    let browser = Browser::open(site.front).await;
    let session = site.app.given_session("demo").await;
    browser.goto("/problems/not-found").await;
    browser.give(&session).await;
    (site, browser)
}

/// Signs in from the demo page, the way it leads.
async fn sign_in_from(browser: &Browser) {
    browser.goto("/").await;
    browser.click(".welcome a.button").await;
    browser.type_into("#username", NAME).await;
    browser.type_into("#password", PASSWORD).await;
    browser.click("form[action='/login'] button").await;
    browser.wait_for_page("/demo/").await;
    browser.wait_for_text("Signed in as demo").await;
}

async fn revoke_all(app: &TestApp) {
    let revoked = app.admin(reqwest::Method::DELETE, "/admin/sessions?subject=demo").send().await.unwrap();
    assert!(revoked.status().is_success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_session_it_leads_to_signing_in() {
    let _place = places(1).await;
    let site = Site::for_browsers("").await;
    let mut browser = Browser::open(site.front).await;

    browser.goto("/").await;
    browser.wait_for_text("Sign in with the demo account").await;
    assert_eq!(browser.path().await, "/demo/");
    let target = browser.find(".welcome a.button").await.attr("href").await.unwrap();
    assert_eq!(target.as_deref(), Some("/login?return_to=%2Fdemo%2F"));

    assert_eq!(browser.value("document.getElementById('no-cookie').hidden").await, true);
    browser.click("#call").await;
    browser.wait_for_text("Refused at the exchange").await;
    browser.inspect("demo-signed-out").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_shows_what_the_microservice_verified_and_never_the_token() {
    let _place = places(1).await;
    let (_site, browser) = signed_in().await;
    browser.goto("/demo/").await;
    browser.wait_for_text("Signed in as demo").await;
    assert_eq!(browser.value("document.getElementById('script-sees').textContent").await, "\"\"");

    browser.click("#call").await;
    browser.wait_for_text("seconds to live").await;
    let claims = browser.value(
        "Object.fromEntries([...document.querySelectorAll('#token-claims > div')]
            .map((row) => [row.querySelector('dt').textContent, row.querySelector('code').textContent]))",
    );
    let claims = claims.await;
    assert_eq!((&claims["sub"], &claims["aud"]), (&json!("demo"), &json!("orders")));
    assert_eq!(claims["sid"], browser.value("document.getElementById('session-id').textContent").await);
    assert_eq!(browser.value("document.querySelectorAll('#log tbody tr').length").await, 1);
    // Neither of the two secrets is anywhere in the page.
    let page = browser.value("document.documentElement.outerHTML").await.as_str().unwrap().to_owned();
    assert!(!page.contains("ems_") && !page.contains("eyJ"), "{page}");

    browser.click("#call").await;
    browser.wait_until("document.querySelectorAll('#log tbody tr').length === 2").await;
    let kinds =
        browser.value("[...document.querySelectorAll('#log td:last-child')].map((cell) => cell.firstChild.data)");
    let ids =
        browser.value("[...document.querySelectorAll('#log td:last-child code')].map((cell) => cell.textContent)");
    let (kinds, ids) = (kinds.await, ids.await);
    let second = if ids[0] == ids[1] { "reused" } else { "new" };
    assert_eq!(kinds[0].as_str().unwrap().trim(), second, "{kinds} {ids}");
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_session_is_revoked_elsewhere_it_says_so_at_once_and_the_next_call_is_refused() {
    let _place = places(1).await;
    let (site, mut browser) = signed_in().await;
    browser.goto("/demo/").await;
    browser.click("#call").await;
    browser.wait_for_text("seconds to live").await;

    revoke_all(&site.app).await;
    browser.wait_for_text("This session has ended").await;
    browser.wait_for_text("ended from somewhere else").await;
    browser.click("#call").await;
    browser.wait_until("document.querySelector('#log tbody tr .status').textContent === '401'").await;
    browser.inspect("demo-ended").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_go_on_by_themselves_each_second_until_they_are_refused_for_good() {
    let _place = places(1).await;
    let (site, browser) = signed_in().await;
    browser.goto("/demo/").await;
    browser.wait_for_text("Signed in as demo").await;
    browser.press(fantoccini::key::Key::Tab.to_string().as_str()).await;
    browser.click("label.switch").await;
    browser.wait_until("document.querySelectorAll('#log tr[data-good=true]').length >= 2").await;

    revoke_all(&site.app).await;
    browser.wait_until("!document.getElementById('every-second').checked").await;
    assert_eq!(browser.value("document.querySelectorAll('#log tr[data-good=false]').length").await, 5);
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_windows_one_ends_the_session_of_the_other() {
    let _places = places(2).await;
    let site = Site::for_browsers("").await;
    demo_account::ensure(&site.app.state.accounts).await.unwrap();
    let (mut first, second) = (Browser::open(site.front).await, Browser::open(site.front).await);
    sign_in_from(&first).await;
    sign_in_from(&second).await;
    first.click("#call").await;
    first.wait_until("document.querySelectorAll('#sessions li').length === 2").await;
    first.wait_for_text("seconds to live").await;
    first.inspect("demo").await;

    second.wait_until("document.querySelectorAll('#sessions li').length === 2").await;
    second.click("#sessions li:not(:has(.badge)) button").await;
    second.wait_for_text("revoked.").await;
    first.wait_for_text("This session has ended").await;
    second.wait_until("document.querySelectorAll('#sessions li').length === 1").await;

    // Its own: the page says so, and leads back to signing in.
    second.click("#sessions li button").await;
    second.wait_for_text("You have just revoked it here").await;
    second.click("#ended a.button").await;
    second.wait_for_page("/login").await;
    first.close().await;
    second.close().await;
}
