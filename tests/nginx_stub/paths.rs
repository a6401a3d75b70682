//! Which path leads where, and that no spelling of a path leads past the exchange.

use crate::stage::{Scenery, Stage, no_session};

#[test]
fn everything_but_the_application_goes_to_the_public_listener_without_an_exchange() {
    let stage = Stage::start(|_| no_session());
    for path in ["/", "/login?return_to=%2F", "/session", "/.well-known/jwks.json", "/problems/no-session", "/apis"] {
        let response = stage.get(path);
        assert_eq!((response.status, response.body.as_str()), (200, "from the public listener"), "{path}");
        assert_eq!(stage.public.seen().pop().unwrap().target, path);
    }
    assert!(stage.exchange.seen().is_empty() && stage.application.seen().is_empty());
}

#[test]
fn what_lives_on_ephemints_other_listeners_is_not_reachable() {
    let stage = Stage::start(|_| no_session());
    for path in [
        "/_exchange",
        "/exchange",
        "/exchange/orders",
        "/EXCHANGE/orders",
        "/%65xchange/orders",
        "//exchange",
        "/x/../exchange",
        "/api/../exchange/orders",
        "/api/..%2fexchange",
        "/forward-auth",
        "/ext-authz/orders/x",
        "/challenge",
        "/oauth2/token",
        "/revocations",
        "/admin/sessions",
        "/metrics",
        "/metrics/",
        "/livez",
        "/readyz",
        "/version",
        "/openapi.json",
    ] {
        assert_eq!(stage.get(path).status, 404, "{path}");
    }
    stage.get("/metrics?x").assert_problem(404, "not-found");
    assert!(stage.exchange.seen().is_empty() && stage.application.seen().is_empty() && stage.public.seen().is_empty());
}

#[test]
fn no_spelling_of_a_path_reaches_the_application_without_an_exchange() {
    let stage = Stage::start(|_| no_session());
    for path in [
        "/api/",
        "/api/x",
        "//api/x",
        "/%61pi/x",
        "/x/../api/x",
        "/x/..%2fapi/x",
        "/./api/x",
        "/login/x/..%2f..%2fapi/x",
    ] {
        stage.get(path).assert_problem(401, "no-session");
    }
    // These are decided by what they mean, and the application is not behind the exempted location.
    for path in ["/api/..%2flogin", "/api/../login", "/api%2fx%2f..%2f..%2flogin"] {
        assert_eq!(stage.get(path).body, "from the public listener", "{path}");
    }
    assert_eq!(stage.get("/api").all("location"), ["/api/"]);
    assert!(stage.application.seen().is_empty());
}

#[test]
fn a_location_that_says_nothing_is_protected() {
    let stage = Scenery::new(|request| match request.header("cookie") {
        Some(_) => crate::stage::allow(""),
        None => no_session(),
    })
    .edit(|config| {
        let place = config.find("        location /api/ {").unwrap();
        let location = "location /new/ { proxy_pass http://application; }\n";
        format!("{}{location}{}", &config[..place], &config[place..])
    })
    .start();
    stage.get("/new/page").assert_problem(401, "no-session");
    assert!(stage.application.seen().is_empty());
    let forged = ["Cookie: __Host-session=secret", "Authorization: Bearer EVIL", "X-Forwarded-User: EVIL"];
    assert_eq!(stage.send("GET /new/page", &forged, "").status, 200);
    let request = stage.application.seen_once();
    assert_eq!(request.header("authorization"), Some(crate::stage::TOKEN));
    assert_eq!((request.header("cookie"), request.header("x-forwarded-user")), (None, None));
}

#[test]
fn no_spelling_of_a_path_leads_from_the_demo_page_to_the_application() {
    let stage = Scenery::new(|_| no_session()).demo_page().start();
    let forged = ["Cookie: __Host-session=secret", "Authorization: Bearer EVIL"];
    for (path, target) in [
        ("/demo/", "/demo/"),
        ("/demo/style.css?v=1", "/demo/style.css?v=1"),
        ("/api/..%2fdemo/x", "/demo/x"),
        ("/demo/%2561pi", "/demo/%2561pi"),
    ] {
        assert_eq!(stage.send(&format!("GET {path}"), &forged, "").status, 200, "{path}");
        let request = stage.application.seen().pop().unwrap();
        assert_eq!(request.target, target, "{path}");
        assert_eq!((request.header("authorization"), request.header("cookie")), (None, None), "{path}");
    }
    let before = stage.application.seen().len();
    for path in ["/demo/../api/x", "/demo/..%2fapi/x", "/demo/%2e%2e/api/x", "/demo/x/../../api/x"] {
        stage.get(path).assert_problem(401, "no-session");
    }
    assert_eq!((stage.get("/").all("location"), stage.get("/demo").all("location")), (vec!["/demo/"], vec!["/demo/"]));
    assert_eq!(stage.application.seen().len(), before);
}
