//! What a sign-in takes: strict forms and strict JSON, and nothing else.

use reqwest::{Method, StatusCode};

use crate::support::{
    answer::{ORIGIN, problem},
    app::TestApp,
    visitor::form,
};

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ambiguous_or_broken_body_is_refused_and_never_repeated() {
    let app = TestApp::spawn().await;
    let good = form(&[("username", "canary"), ("password", "canary-password")]);
    let cases: Vec<(&str, Vec<u8>, u16, &str)> = vec![
        (FORM, b"username=canary&username=canary&password=x".to_vec(), 400, "bad-request"),
        (FORM, b"username=canary&%75sername=x&password=x".to_vec(), 400, "bad-request"),
        (FORM, format!("{good}&return_to=/a&return_to=/a").into_bytes(), 400, "bad-request"),
        (FORM, b"username=canary&password=%zz".to_vec(), 400, "bad-request"),
        (FORM, b"username=canary&password=%ff".to_vec(), 400, "bad-request"),
        (FORM, b"username=canary&password=\xff".to_vec(), 400, "bad-request"),
        (FORM, b"username=canary%00&password=x".to_vec(), 400, "bad-request"),
        (FORM, b"username=canary&password=%ED%A0%80".to_vec(), 400, "bad-request"),
        (FORM, format!("{good}&admin=canary").into_bytes(), 400, "bad-request"),
        (FORM, format!("{good}&transport=header").into_bytes(), 400, "bad-request"),
        (FORM, b"password=canary".to_vec(), 400, "invalid-field"),
        (FORM, b"username=canary".to_vec(), 400, "invalid-field"),
        (FORM, Vec::new(), 400, "invalid-field"),
        (FORM, format!("{good}{}", "x".repeat(16_384)).into_bytes(), 413, "body-too-large"),
        ("application/x-www-form-urlencoded; charset=latin1", good.clone().into_bytes(), 415, "unsupported-media-type"),
        ("multipart/form-data; boundary=x", good.clone().into_bytes(), 415, "unsupported-media-type"),
        ("text/plain", good.clone().into_bytes(), 415, "unsupported-media-type"),
        ("", good.clone().into_bytes(), 415, "unsupported-media-type"),
        ("application/json; charset=utf-16", b"{}".to_vec(), 415, "unsupported-media-type"),
        ("text/plain, application/json", b"{}".to_vec(), 415, "unsupported-media-type"),
        (JSON, good.clone().into_bytes(), 400, "malformed-json"),
        (FORM, br#"{"username":"canary","password":"x"}"#.to_vec(), 400, "invalid-field"),
        (JSON, br#"{"username":"canary","password":"x","username":"y"}"#.to_vec(), 400, "malformed-json"),
        (JSON, br#"{"username":"canary","password":"\u0000"}"#.to_vec(), 400, "malformed-json"),
        (JSON, br#"{"username":"canary\u0000","password":"x"}"#.to_vec(), 400, "malformed-json"),
        (JSON, br#"{"username":"canary\ud800","password":"x"}"#.to_vec(), 400, "malformed-json"),
        (JSON, b"{\"username\":\"canary\xff\",\"password\":\"x\"}".to_vec(), 400, "malformed-json"),
        (JSON, b"\xef\xbb\xbf{\"username\":\"canary\",\"password\":\"x\"}".to_vec(), 400, "malformed-json"),
        (JSON, br#"{"username":"canary","password":"x"} x"#.to_vec(), 400, "malformed-json"),
        (JSON, br#"{"username":"canary","password":"#.to_vec(), 400, "malformed-json"),
        (JSON, br#"{"username":"canary","password":NaN}"#.to_vec(), 400, "malformed-json"),
        (
            JSON,
            format!("{{\"username\":{}1{}}}", "[".repeat(7_000), "]".repeat(7_000)).into_bytes(),
            400,
            "malformed-json",
        ),
        (JSON, br#"["canary","x"]"#.to_vec(), 400, "malformed-json"),
        (JSON, br#"{"username":["canary"],"password":"x"}"#.to_vec(), 400, "invalid-field"),
        (JSON, br#"{"username":"canary","password":7}"#.to_vec(), 400, "invalid-field"),
        (JSON, br#"{"username":"canary","password":null}"#.to_vec(), 400, "invalid-field"),
        (JSON, br#"{"username":"canary","password":"x","return_to":1}"#.to_vec(), 400, "invalid-field"),
        (JSON, br#"{"username":"canary","password":"x","transport":"canary"}"#.to_vec(), 400, "invalid-field"),
        (JSON, br#"{"username":"canary","password":"x","isAdmin":true}"#.to_vec(), 400, "bad-request"),
    ];
    for (media_type, body, status, code) in cases {
        let shown = String::from_utf8_lossy(&body).chars().take(80).collect::<String>();
        let mut request = app.public(Method::POST, "/login").header("origin", ORIGIN).body(body);
        if !media_type.is_empty() {
            request = request.header("content-type", media_type);
        }
        let response = request.send().await.unwrap();
        assert!(!response.headers().contains_key("set-cookie"), "{shown}");
        assert_eq!(response.status().as_u16(), status, "{media_type}: {shown}");
        let document = problem(response, status, code).await;
        assert!(!document.to_string().contains("canary"), "{document}");
    }
    for media_type in [FORM, JSON] {
        let coded =
            app.public(Method::POST, "/login").header("content-type", media_type).header("content-encoding", "gzip");
        problem(coded.body(good.clone()).send().await.unwrap(), 415, "unsupported-media-type").await;
    }
    assert_eq!(app.state.metrics.password_hash_duration_seconds.get_sample_count(), 0, "nothing was worth a hash");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_may_hold_anything_that_can_be_typed() {
    let app = TestApp::spawn().await;
    let typed = " gravel +&=%\r\n\"<otters> sïng 7;/?#[]@ ";
    let password = ephemint::domain::password::Password::from(typed.to_owned());
    app.state.accounts.add("zoë", None, password).await.unwrap();
    let response = app.submit("/login", "", &[("username", "Zoe\u{308}"), ("password", typed)]).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    let trimmed = app.submit("/login", "", &[("username", "zoë"), ("password", typed.trim())]).send().await.unwrap();
    assert_eq!(trimmed.status(), StatusCode::UNAUTHORIZED);
}
