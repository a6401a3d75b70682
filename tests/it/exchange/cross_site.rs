//! Writes that a gateway reports: from another site they never become a token, unless the audience allows them.

use reqwest::{Method, StatusCode};

use crate::support::{
    app::{TestApp, sample},
    origins::{TABLE, from},
};

/// What a gateway may report as the browser's method, and whether that may change something.
const REPORTS: [(&[&str], bool); 12] = [
    (&[], false),
    (&["GET"], false),
    (&["HEAD"], false),
    (&["OPTIONS"], false),
    (&["POST"], true),
    (&["PUT"], true),
    (&["PATCH"], true),
    (&["DELETE"], true),
    (&["PROPPATCH"], true),
    // Nobody writes it so who means a read.
    (&["get"], true),
    (&[""], true),
    (&["GET", "POST"], true),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_from_another_site_gets_no_token() {
    let app = TestApp::spawn_with("[[audience]]\nname = 'widget'\ncross_site_writes = 'allow'").await;
    let session = app.given_session("alice").await;
    let mut refused = 0_u32;
    // Reads come first: by the time that the first write is refused, a token lies ready.
    for (report, write) in REPORTS {
        for (site, origin, ours) in TABLE {
            for (audience, allowing) in [("orders", false), ("widget", true)] {
                let mut request = app.gateway(Method::GET, &format!("/exchange/{audience}"));
                for method in report {
                    request = request.header("x-forwarded-method", *method);
                }
                let request = from(request, site, origin).header("cookie", session.cookie());
                let response = request.send().await.unwrap();
                let cell = format!("{audience}: {report:?} from {site:?} {origin:?}");
                let allowed = !write || ours || allowing;
                let expected = if allowed { StatusCode::OK } else { StatusCode::FORBIDDEN };
                assert_eq!(response.status(), expected, "{cell}");
                assert_eq!(response.headers().contains_key("authorization"), allowed, "{cell}");
                assert!(!response.headers().contains_key("set-cookie"), "{cell}");
                refused += u32::from(!allowed);
            }
        }
    }
    let counted = sample(&app.metrics().await, "ephemint_exchanges_total", &["outcome=\"cross_site_write\""]);
    assert!(refused > 100 && (counted - f64::from(refused)).abs() < f64::EPSILON, "{refused} {counted}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_session_another_site_learns_nothing_of_audiences() {
    let app = TestApp::spawn().await;
    for audience in ["orders", "legacy", "sensitive"] {
        let request = app.gateway(Method::GET, &format!("/exchange/{audience}")).header("x-forwarded-method", "POST");
        let response = request.header("sec-fetch-site", "cross-site").send().await.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{audience}");
    }
}
