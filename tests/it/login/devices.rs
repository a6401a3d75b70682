//! The account page's forms: one device, all others, this one.

use reqwest::StatusCode;

use super::is_live;
use crate::support::{answer::single, app::TestApp, visitor::plain_page};

const CLEARED: &str = "__Host-session=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_signs_out_one_device_then_all_others_then_this_one() {
    let app = TestApp::spawn().await;
    let [here, there, elsewhere] = ["alice"; 3].map(|subject| app.given_session(subject));
    let (here, there, elsewhere) = (here.await, there.await, elsewhere.await);
    let bob = app.given_session("bob").await;
    let token = app.csrf_token(&here.cookie()).await;
    let fields = [("csrf_token", token.as_str())];
    let submit = |path: String| app.submit(&path, &here.cookie(), &fields).send();

    for wrong in [&bob.id, "0190a0b0-0000-7000-8000-000000000000", "junk", "..%2f"] {
        let response = submit(format!("/account/sessions/{wrong}/revoke")).await.unwrap();
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{wrong}");
        plain_page(&response.text().await.unwrap());
    }
    assert!(is_live(&app, &bob.cookie()).await);

    for _ in 0..2 {
        let response = submit(format!("/account/sessions/{}/revoke", there.id)).await.unwrap();
        assert_eq!((response.status(), single(response.headers(), "location")), (StatusCode::SEE_OTHER, "/account"));
        assert!(!response.headers().contains_key("set-cookie"));
        assert!(!is_live(&app, &there.cookie()).await && is_live(&app, &elsewhere.cookie()).await);
    }
    let response = submit("/account/sessions/revoke-others".to_owned()).await.unwrap();
    assert_eq!((response.status(), single(response.headers(), "location")), (StatusCode::SEE_OTHER, "/account"));
    assert!(!is_live(&app, &elsewhere.cookie()).await && is_live(&app, &here.cookie()).await);
    assert!(is_live(&app, &bob.cookie()).await);

    let response = submit(format!("/account/sessions/{}/revoke", here.id)).await.unwrap();
    assert_eq!((response.status(), single(response.headers(), "location")), (StatusCode::SEE_OTHER, "/signed-out"));
    assert_eq!(single(response.headers(), "set-cookie"), CLEARED);
    assert!(!is_live(&app, &here.cookie()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_signs_out_and_leads_to_the_page_that_says_so() {
    let app = TestApp::spawn().await;
    let session = app.given_session("alice").await;
    let response = app.submit("/logout", &session.cookie(), &[]).send().await.unwrap();
    assert_eq!((response.status(), single(response.headers(), "location")), (StatusCode::SEE_OTHER, "/signed-out"));
    assert_eq!(single(response.headers(), "set-cookie"), CLEARED);
    let page = app.navigate("/signed-out", "").send().await.unwrap().text().await.unwrap();
    assert!(page.contains("You are signed out") && page.contains("href=\"/login\""), "{page}");
}
