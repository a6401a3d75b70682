//! The pages of the public listener, through nginx: signing in, living with a session, signing out.

use ephemint::domain::password::Password;
use fantoccini::key::Key;
use serde_json::{Value, json};

use crate::{
    browser::Browser,
    chromedriver::places,
    elsewhere::Elsewhere,
    support::{app::COOKIE, site::Site},
};

const NAME: &str = "ada";
const PASSWORD: &str = "seven slow herons at dusk";
const TO_ACCOUNT: &str = "/login?return_to=%2Faccount";

/// A site with one account.
async fn site() -> Site {
    let site = Site::for_browsers("").await;
    site.app.state.accounts.add(NAME, None, Password::from(PASSWORD.to_owned())).await.unwrap();
    site
}

/// Signs in and waits for the account page.
async fn sign_in(browser: &Browser) {
    browser.goto(TO_ACCOUNT).await;
    browser.type_into("#username", NAME).await;
    browser.type_into("#password", PASSWORD).await;
    browser.click("form[action='/login'] button").await;
    browser.wait_for_page("/account").await;
}

/// The status with which the page was answered.
async fn status(browser: &Browser) -> Value {
    browser.value("performance.getEntriesByType('navigation')[0].responseStatus").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_in_lasts_until_it_is_ended_from_another_device() {
    let _places = places(2).await;
    let site = site().await;
    let (first, mut second) = (Browser::open(site.front).await, Browser::open(site.front).await);

    sign_in(&first).await;
    first.reload().await;
    first.wait_for_page("/account").await;
    assert_eq!(first.value("document.querySelectorAll('.device').length").await, 1);

    sign_in(&second).await;
    assert_eq!(second.value("document.querySelectorAll('.device').length").await, 2);
    assert_eq!(second.value("document.querySelectorAll('.device.current').length").await, 1);
    second.inspect("account").await;
    second.click("form[action^='/account/sessions/'][action$='/revoke'] button").await;
    second.wait_until("document.querySelectorAll('.device').length === 1").await;
    assert_eq!(second.path().await, "/account");

    first.reload().await;
    first.wait_for_page("/login").await;
    first.goto("/api/hello").await;
    assert_eq!(status(&first).await, 401);
    second.goto("/api/hello").await;
    assert_eq!(status(&second).await, 200);
    first.close().await;
    second.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_do_not_see_the_cookie_that_requests_carry() {
    let _place = places(1).await;
    let site = site().await;
    let browser = Browser::open(site.front).await;
    sign_in(&browser).await;

    assert_eq!(browser.value("document.cookie").await, "");
    let cookies = browser.cookies().await;
    assert_eq!(cookies.len(), 1, "{cookies:?}");
    let cookie = &cookies[0];
    assert_eq!(cookie["name"], COOKIE);
    assert!(cookie["value"].as_str().unwrap().starts_with("ems_"));
    let attributes = ["httpOnly", "secure", "sameSite", "path", "session"].map(|name| cookie[name].clone());
    assert_eq!(attributes, [json!(true), json!(true), json!("Lax"), json!("/"), json!(true)]);
    // Only to the very host, and with every request that the page sends.
    assert_eq!(cookie["domain"], "127.0.0.1");
    browser.goto("/session").await;
    assert_eq!(status(&browser).await, 200);
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_on_another_origin_cannot_write() {
    let _place = places(1).await;
    let site = site().await;
    let browser = Browser::open(site.front).await;
    sign_in(&browser).await;
    let other = site.app.given_session(NAME).await;
    site.app.state.accounts.add("mallory", None, Password::from(PASSWORD.to_owned())).await.unwrap();

    let url = |path: &str| format!("http://{}{path}", site.front);
    let forms = [
        (url("/logout"), vec![]),
        (url("/login"), vec![("username", "mallory"), ("password", PASSWORD), ("return_to", "/account")]),
        (url(&format!("/account/sessions/{}/revoke", other.id)), vec![]),
        (url("/account/sessions/revoke-others"), vec![]),
        (url("/session/renew"), vec![]),
        (url("/api/orders"), vec![("item", "7")]),
    ];
    let elsewhere = Elsewhere::open(&forms).await;
    for page in [elsewhere.same_site(), elsewhere.cross_site()] {
        for form in 0..forms.len() {
            browser.goto(&page).await;
            browser.click(&format!("#form-{form}")).await;
            browser.wait_until("location.port !== '' && document.title !== 'Elsewhere'").await;
            browser.wait_until("document.readyState === 'complete'").await;
            let status = status(&browser).await;
            // The cookie stays at home where the other origin is on another site: then the application is told of no session.
            let expected = if form == 5 && page == elsewhere.cross_site() { 401 } else { 403 };
            assert_eq!(status, expected, "{} from {page}", browser.path().await);
        }
    }

    browser.goto("/account").await;
    browser.wait_for_page("/account").await;
    browser.wait_for_text(NAME).await;
    assert_eq!(browser.value("document.querySelectorAll('.device').length").await, 2, "one was ended");
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_works_without_scripts() {
    let _place = places(1).await;
    let site = site().await;
    let other = site.app.given_session(NAME).await;
    let browser = Browser::open(site.front).await;
    browser.without_scripts().await;

    // A page that needs a session leads to signing in, and signing in leads back.
    browser.goto("/account").await;
    browser.wait_for_page("/login").await;
    browser.type_into("#username", NAME).await;
    browser.type_into("#password", "not the password at all").await;
    browser.click("form[action='/login'] button").await;
    browser.wait_for_text("You could not be signed in").await;
    browser.type_into("#username", NAME).await;
    browser.type_into("#password", PASSWORD).await;
    browser.click("form[action='/login'] button").await;
    browser.wait_for_page("/account").await;

    browser.click(&format!("form[action='/account/sessions/{}/revoke'] button", other.id)).await;
    browser.wait_until("document.querySelectorAll('.device').length === 1").await;
    let third = site.app.given_session(NAME).await;
    browser.reload().await;
    browser.click("form[action='/account/sessions/revoke-others'] button").await;
    browser.wait_until("document.querySelectorAll('.device').length === 1").await;
    for ended in [other, third] {
        assert_eq!(site.call(&ended).await.status(), 401);
    }
    browser.goto("/problems/no-session").await;
    browser.wait_for_text("There is no live session").await;

    browser.goto("/account").await;
    browser.click("form[action='/logout'] button").await;
    browser.wait_for_text("You are signed out").await;
    assert!(browser.cookies().await.is_empty());
    browser.goto("/account").await;
    browser.wait_for_page("/login").await;

    browser.goto("/demo/").await;
    browser.wait_for_text("This demo page is a script").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_keyboard_alone_signs_in_and_out() {
    let _place = places(1).await;
    let site = site().await;
    let browser = Browser::open(site.front).await;
    let tab = Key::Tab.to_string();

    browser.goto(TO_ACCOUNT).await;
    browser.wait_for_page("/login").await;
    assert_eq!(browser.focus().await, "username", "the first field has the focus");
    browser.press(&format!("{NAME}{tab}")).await;
    assert_eq!(browser.focus().await, "password");
    browser.press(&tab).await;
    assert_eq!(browser.focus().await, "button", "no stop between the field and its button");
    browser.press(&(Key::Shift + &tab)).await;
    assert_eq!(browser.focus().await, "password");
    browser.press(PASSWORD).await;
    browser.press(&Key::Enter.to_string()).await;
    browser.wait_for_page("/account").await;

    // The sign-out button is the first stop of the page.
    browser.press(&tab).await;
    assert_eq!(browser.focus().await, "button");
    browser.press(&Key::Enter.to_string()).await;
    browser.wait_for_text("You are signed out").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_can_be_used_by_everybody_and_fits_its_window() {
    let _place = places(1).await;
    let site = site().await;
    let mut browser = Browser::open(site.front).await;
    browser.goto("/problems/no-session").await;
    browser.wait_for_text("There is no live session").await;
    browser.inspect("problem").await;
    browser.goto("/nothing/here").await;
    browser.wait_for_text("404").await;
    browser.inspect("error").await;

    browser.goto(TO_ACCOUNT).await;
    browser.wait_for_page("/login").await;
    browser.inspect("sign-in").await;
    browser.type_into("#username", NAME).await;
    browser.type_into("#password", "not the password at all").await;
    browser.click("form[action='/login'] button").await;
    browser.wait_for_text("You could not be signed in").await;
    assert_eq!(status(&browser).await, 401);
    browser.inspect("sign-in-refused").await;
    browser.type_into("#username", NAME).await;
    browser.type_into("#password", PASSWORD).await;
    browser.click("form[action='/login'] button").await;
    browser.wait_for_page("/account").await;
    browser.goto(TO_ACCOUNT).await;
    browser.inspect("sign-in-again").await;

    browser.goto("/account").await;
    browser.click("form[action='/logout'] button").await;
    browser.wait_for_text("You are signed out").await;
    browser.inspect("signed-out").await;
    browser.close().await;
}
