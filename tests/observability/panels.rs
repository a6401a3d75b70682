//! A mixed load on two replicas, with an outage and a slow database in the middle: every panel of every dashboard returns data, every
//! recording rule does, and every metric of the table moves.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use ephemint::telemetry::metrics::TABLE;
use reqwest::{Method, StatusCode};

use crate::{
    dashboards::{dashboards, expressions, filled, panels},
    load::{Doing, Replica, keep_doing},
    prometheus::{LOAD, Prometheus, Target, quick_rules},
    support::{app::COOKIE, database::TestDatabase, proxy::DatabaseProxy, visitor::PASSWORD},
};

/// Short times, so that everything happens within the test.
const MORE: &str = "
    session.activity_granularity = '200ms'
    session.renewal_grace = '0s'
    exchange.canary_interval = '1s'
    login.free_failures = 100
    login.network_free_failures = 10000
    login.longest_delay = '0s'
    [database]
    query_timeout = '1s'
    connect_timeout = '500ms'
    wait_timeout = '500ms'
    [password]
    hash_threads = 1
    [hooks]
    url = 'http://127.0.0.1:9/'
    secret = 'whsec_dGVzdC10ZXN0LXRlc3QtdGVzdC10ZXN0LXRlc3QtMTI='";

/// For how long figures may take to come.
const PATIENCE: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(20);

/// Metrics that this load cannot move: one that never changes, one that only moves when a hundred thousand wait, one when a
/// promise is broken, and one when something has been over for an hour. `tests/it/canary.rs` and `sweep.rs` move the latter two.
const STILL: [&str; 4] = [
    "ephemint_build_info",
    "ephemint_activity_dropped_total",
    "ephemint_canary_overdue_total",
    "ephemint_rows_swept_total",
];
/// Metrics that only say what is set.
const SETTINGS: [&str; 3] =
    ["ephemint_database_pool_limit", "ephemint_password_hash_queue_limit", "ephemint_exchange_max_staleness_seconds"];

struct Stage {
    one: Arc<Replica>,
    other: Arc<Replica>,
    proxy: DatabaseProxy,
    _doing: Vec<Doing>,
}

impl Stage {
    async fn set() -> Self {
        let (database, proxy) = (TestDatabase::migrated().await, DatabaseProxy::open().await);
        let one = Replica::start(&database.url, MORE).await;
        let other = one.beside(&proxy.url(&database.name), MORE).await;
        one.given_account("alice").await;
        let (one, other) = (Arc::new(one), Arc::new(other));
        let mut doing = Vec::new();
        for replica in [&one, &other] {
            doing.extend([
                gateways(replica),
                people(replica),
                followers(replica),
                strangers(replica),
                back_ends(replica),
            ]);
            doing.extend((0..4).map(|_| signing_in(replica)));
        }
        doing.extend((0..8).map(|_| strict(&other)));
        Self { one, other, proxy, _doing: doing }
    }
}

/// Sessions in use: tokens are reused, signed anew for another audience, and read each time for a strict one.
fn gateways(replica: &Arc<Replica>) -> Doing {
    let replica = Arc::clone(replica);
    keep_doing(TICK, move |round| {
        let replica = Arc::clone(&replica);
        async move {
            let Some(session) = replica.session(&format!("user-{}", round % 7)).await? else { return Ok(()) };
            for audience in ["orders", "orders", "legacy", "strict", "orders"] {
                replica.exchange(audience, &session.token).await?;
            }
            Ok(())
        }
    })
}

/// Sessions that end: revoked, renewed and stolen, signed out.
fn people(replica: &Arc<Replica>) -> Doing {
    let replica = Arc::clone(replica);
    keep_doing(TICK, move |round| {
        let replica = Arc::clone(&replica);
        async move {
            let Some(session) = replica.session("bob").await? else { return Ok(()) };
            if round % 2 == 0 {
                replica.reuse(&session).await?;
            } else {
                replica.revoke(&session).await?;
            }
            replica.exchange("orders", &session.token).await.map(drop)
        }
    })
}

/// Services that follow who was revoked, and an operator who waits until everybody knows.
fn followers(replica: &Arc<Replica>) -> Doing {
    let replica = Arc::clone(replica);
    keep_doing(TICK, move |_| {
        let replica = Arc::clone(&replica);
        async move {
            let answer = replica.gateway(Method::GET, "/revocations").send().await?;
            let tag = answer.headers().get("etag").cloned();
            let Some(session) = replica.session("erin").await? else { return Ok(()) };
            let waiting = replica.gateway(Method::GET, "/revocations?wait=2s");
            let waiting = tag.into_iter().fold(waiting, |request, tag| request.header("if-none-match", tag)).send();
            let path = format!("/admin/sessions/{}?wait=all", session.id);
            let (waited, revoked) = tokio::join!(waiting, replica.admin(Method::DELETE, &path).send());
            waited.and(revoked).map(drop)
        }
    })
}

/// Whatever is refused at the gateway, and without a session.
fn strangers(replica: &Arc<Replica>) -> Doing {
    let replica = Arc::clone(replica);
    keep_doing(TICK, move |_| {
        let replica = Arc::clone(&replica);
        async move {
            replica.gateway(Method::GET, "/exchange/orders").send().await?;
            replica.exchange("orders", "not-a-token").await?;
            let Some(session) = replica.session("carol").await? else { return Ok(()) };
            replica.exchange("nowhere", &session.token).await?;
            replica.exchange("closed", &session.token).await?;
            let write = replica
                .gateway(Method::GET, "/exchange/orders")
                .header("cookie", format!("{COOKIE}={}", session.token));
            write.header("x-forwarded-method", "POST").header("sec-fetch-site", "cross-site").send().await?;
            replica.public(Method::GET, "/session").send().await?;
            replica.admin(Method::GET, "/admin/sessions").bearer_auth("emc_nobody").send().await.map(drop)
        }
    })
}

fn back_ends(replica: &Arc<Replica>) -> Doing {
    let replica = Arc::clone(replica);
    keep_doing(TICK, move |_| {
        let replica = Arc::clone(&replica);
        async move {
            replica.gateway(Method::GET, "/.well-known/jwks.json").send().await?;
            replica.admin(Method::GET, "/admin/keys").send().await.map(drop)
        }
    })
}

fn signing_in(replica: &Arc<Replica>) -> Doing {
    let replica = Arc::clone(replica);
    keep_doing(TICK, move |round| {
        let replica = Arc::clone(&replica);
        async move {
            let password = if round % 3 == 0 { "a wrong password, quite long" } else { PASSWORD };
            replica.sign_in("alice", password).await.map(drop)
        }
    })
}

/// Exchanges that are in flight for as long as the database takes.
fn strict(replica: &Arc<Replica>) -> Doing {
    let replica = Arc::clone(replica);
    keep_doing(TICK, move |_| {
        let replica = Arc::clone(&replica);
        async move {
            let Some(session) = replica.session("dave").await? else { return Ok(()) };
            for _ in 0..20 {
                replica.exchange("strict", &session.token).await?;
            }
            Ok(())
        }
    })
}

/// Takes out of `wanted` what returns data now; complains about what does not parse.
async fn strike(prometheus: &Prometheus, wanted: &mut BTreeSet<(String, String)>) {
    let mut found = Vec::new();
    for (what, expression) in &*wanted {
        let values = prometheus.query(expression).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        if values.iter().any(|(_, value)| !value.is_nan()) {
            found.push((what.clone(), expression.clone()));
        }
    }
    for one in found {
        wanted.remove(&one);
    }
}

/// What must return data: the panels without what stands in for nothing, the recording rules, and what says that a metric moves.
async fn everything(prometheus: &Prometheus) -> BTreeSet<(String, String)> {
    let mut wanted = BTreeSet::new();
    for (file, dashboard) in dashboards() {
        for panel in panels(&dashboard) {
            for expression in expressions(panel) {
                let what = format!("{file}: {}", panel["title"].as_str().unwrap());
                // A stand-in for nothing is not data.
                let bare = filled(expression, "10s").replace(" or vector(0)", "");
                wanted.insert((what, bare));
            }
        }
    }
    for rule in prometheus.rules().await.iter().filter(|rule| rule["type"] == "recording") {
        wanted.insert(("recording rule".to_owned(), rule["name"].as_str().unwrap().to_owned()));
    }
    for row in TABLE {
        let name = if row.kind == "histogram" { format!("{}_count", row.name) } else { row.name.to_owned() };
        let labels: String = row.labels.iter().map(|label| format!("{label}!=\"\",")).collect();
        let series = format!("{name}{{{labels}}}");
        let moves = format!("max_over_time({series}[1m]) - min_over_time({series}[1m]) > 0");
        let is_there = STILL.contains(&row.name) || SETTINGS.contains(&row.name);
        wanted.insert((format!("metric {}", row.name), if is_there { series } else { moves }));
    }
    wanted
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_panel_returns_data_and_every_metric_moves() {
    let _alone = LOAD.lock().await;
    let stage = Stage::set().await;
    let targets = [&stage.one, &stage.other].map(|replica| Target::new("ephemint", &replica.serving.admin));
    let prometheus = Prometheus::start(&targets, &quick_rules()).await;
    let mut wanted = everything(&prometheus).await;
    assert!(wanted.len() > 120, "{}", wanted.len());

    let rotation = stage.one.admin(Method::POST, "/admin/keys/rotate").send().await.unwrap();
    assert_eq!(rotation.status(), StatusCode::OK);
    tokio::time::sleep(Duration::from_secs(4)).await;
    strike(&prometheus, &mut wanted).await;
    // One replica loses its database, and gets it back slowly.
    stage.proxy.close();
    tokio::time::sleep(Duration::from_secs(4)).await;
    strike(&prometheus, &mut wanted).await;
    stage.proxy.reopen();
    stage.proxy.delay(Duration::from_millis(100));
    tokio::time::sleep(Duration::from_secs(3)).await;
    stage.proxy.delay(Duration::ZERO);
    let rest = async {
        while !wanted.is_empty() {
            strike(&prometheus, &mut wanted).await;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    let _ = tokio::time::timeout(PATIENCE, rest).await;
    assert!(wanted.is_empty(), "no data: {wanted:#?}");

    // What is scraped is written as Prometheus wants it.
    let metrics = stage.one.admin(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
    let output = crate::prometheus::promtool(&["check", "metrics"], &metrics);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
