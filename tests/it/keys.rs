//! Signing keys: published before they sign, switched to the microsecond, gone when nothing they signed can live.

use std::{sync::Arc, time::Duration};

use ephemint::{
    app::Application,
    clock::{Clock as _, ManualClock, SystemClock},
    config::Config,
    domain::signing_key::SigningKeyState,
    service::key_ring::RingKey,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::support::{
    app::{MASTER_KEY, Started, TestApp, header, payload, settings},
    database::TestDatabase,
};

const KEY_SET: &str = "/.well-known/jwks.json";
/// Keys change within a minute; the key set may be cached for 10 s, and a retired key stays for 5 + 10 + 60 s.
const SHORT: &str = "keys.rotate_every = '60s'\nkeys.publish_lead = '20s'\ntoken.ttl = '5s'";
const MICROSECOND: Duration = Duration::from_micros(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_is_published_a_whole_lead_before_it_signs_and_takes_over_at_its_instant() {
    let app = TestApp::spawn_with(SHORT).await;
    let session = app.given_session("alice").await;
    let first = signer(&app, &session).await;
    let standby = kids(&app).await.into_iter().find(|kid| *kid != first).expect("a standby beside the signer");

    app.advance(Duration::from_secs(59)).await;
    let planned = key(&app, &standby).dates;
    assert_eq!(planned.activates_at, None, "nothing is planned long before its time");
    app.advance(Duration::from_millis(500)).await;
    settle(&[&app]).await;
    let planned = key(&app, &standby).dates;
    let activates_at = planned.activates_at.expect("a plan");
    assert_eq!(activates_at - planned.published_at, Duration::from_secs(60));
    assert_eq!(key(&app, &first).dates.retires_at, Some(activates_at));
    assert_eq!(kids(&app).await.len(), 3, "signer, successor and the next standby");

    advance_to(&app, activates_at - MICROSECOND).await;
    assert_eq!(signer(&app, &session).await, first);
    // No reading of the keys in between: the stored dates alone decide.
    app.clock.advance(MICROSECOND);
    assert_eq!(signer(&app, &session).await, standby);
    assert_eq!(states(&app).await, [(standby, "active"), (first, "retired")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_on_request_waits_until_the_standby_has_been_published_for_a_lead() {
    let app = TestApp::spawn_with(SHORT).await;
    let session = app.given_session("alice").await;
    let standby = kids(&app).await.pop().unwrap();
    let started = app.clock.now();
    app.advance(Duration::from_secs(5)).await;

    let rotations = rotate(&app, "").await;

    let rotation = rotations.iter().find(|rotation| rotation["algorithm"] == "ES256").unwrap();
    assert_eq!(rotation["kid"], standby.as_str());
    assert_eq!(key(&app, &standby).dates.activates_at, Some(started + Duration::from_secs(20)));
    advance_to(&app, started + Duration::from_secs(20) - MICROSECOND).await;
    assert_ne!(signer(&app, &session).await, standby);
    app.advance(MICROSECOND).await;
    assert_eq!(signer(&app, &session).await, standby);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_request_to_rotate_keeps_the_first_plan() {
    let app = TestApp::spawn_with(SHORT).await;
    let first = rotate(&app, "").await;
    assert_eq!(first.len(), 2, "one plan for each algorithm: {first:?}");
    let published = kids(&app).await;
    app.advance(Duration::from_secs(1)).await;

    assert_eq!(rotate(&app, "").await, first);
    assert_eq!(kids(&app).await, published);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retired_key_is_published_until_its_last_token_is_dead_and_then_erased() {
    let app = TestApp::spawn_with(SHORT).await;
    let session = app.given_session("alice").await;
    let old = signer(&app, &session).await;
    rotate(&app, "").await;
    let retires_at = key(&app, &old).dates.retires_at.unwrap();
    let destroys_at = key(&app, &old).dates.destroys_at.unwrap();
    advance_to(&app, retires_at - MICROSECOND).await;
    let last = app.access_token("orders", &session).await;
    assert_eq!(header(&last)["kid"], old.as_str());
    let last_exp = OffsetDateTime::from_unix_timestamp(payload(&last)["exp"].as_i64().unwrap()).unwrap();
    assert!(destroys_at >= last_exp + Duration::from_secs(10), "a cache may still be asked for it: {destroys_at}");

    advance_to(&app, destroys_at - MICROSECOND).await;
    assert!(kids(&app).await.contains(&old), "published to its last moment");
    assert_eq!(erased(&app, &old).await, 0, "not erased too early");
    app.clock.advance(MICROSECOND);
    assert!(!kids(&app).await.contains(&old), "gone at its instant");
    app.state.keys.step().await.unwrap();
    assert_eq!(erased(&app, &old).await, 1, "its private half is erased");
    assert!(!states(&app).await.iter().any(|(kid, _)| *kid == old));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_validator_that_honours_the_cache_time_knows_every_key_through_eight_rotations() {
    let app = TestApp::spawn_with("keys.rotate_every = '20s'\nkeys.publish_lead = '8s'\ntoken.ttl = '5s'").await;
    let session = app.given_session("alice").await;
    // One validator for each second of the cache time, so that every phase of a cache is there.
    let mut validators: Vec<Cache> = Vec::new();
    let mut live: Vec<(String, i64)> = Vec::new();
    let mut signers: Vec<String> = Vec::new();
    for second in 0..175 {
        let now = app.clock.now();
        if second < 4 {
            validators.push(Cache::fetch(&app).await);
        }
        let token = app.access_token("orders", &session).await;
        let kid = header(&token)["kid"].as_str().unwrap().to_owned();
        live.push((kid.clone(), payload(&token)["exp"].as_i64().unwrap()));
        live.retain(|(_, exp)| *exp > now.unix_timestamp());
        if signers.last() != Some(&kid) {
            signers.push(kid);
        }
        for cache in &mut validators {
            if now >= cache.fresh_until {
                *cache = Cache::fetch(&app).await;
            }
            for (kid, exp) in &live {
                assert!(cache.kids.contains(kid), "second {second}: {kid} of a token until {exp} is unknown");
            }
        }
        app.advance(Duration::from_secs(1)).await;
    }
    assert_eq!(signers.len(), 9, "eight rotations: {signers:?}");
    let all = signers.len();
    signers.sort_unstable();
    signers.dedup();
    assert_eq!(signers.len(), all, "no key comes back");
}

/// What a validator remembers of a key set.
struct Cache {
    kids: Vec<String>,
    fresh_until: OffsetDateTime,
}

impl Cache {
    async fn fetch(app: &TestApp) -> Self {
        let response = app.gateway(Method::GET, KEY_SET).send().await.unwrap();
        let rule = response.headers()["cache-control"].to_str().unwrap();
        let max_age = rule.split(", ").find_map(|part| part.strip_prefix("max-age=")).unwrap().parse().unwrap();
        assert_eq!(max_age, 4, "half of the lead");
        let fresh_until = app.clock.now() + Duration::from_secs(max_age);
        Self { kids: kids_in(&response.json().await.unwrap()), fresh_until }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compromised_key_signs_nothing_more_and_is_published_nowhere() {
    let (here, there) = replicas(SHORT).await;
    let session = here.given_session("alice").await;
    let sets = async |app: &TestApp| (kids(app).await, signer(app, &session).await);
    let (published, dropped) = sets(&here).await;
    assert_eq!(sets(&there).await, (published.clone(), dropped.clone()), "replicas agree before");
    let standby = published.iter().find(|kid| **kid != dropped).unwrap().clone();

    let rotations = rotate(&here, "?compromised=true").await;

    assert_eq!(rotations.iter().find(|rotation| rotation["algorithm"] == "ES256").unwrap()["kid"], standby.as_str());
    let (after, next) = sets(&here).await;
    assert_eq!(next, standby, "the standby signs at once");
    assert!(!after.contains(&dropped), "the dropped key is gone at once");
    assert!(after.len() == 2 && after[0] == standby && !published.contains(&after[1]), "a new standby: {after:?}");
    there.state.keys.step().await.unwrap();
    assert_eq!(sets(&there).await, (after, next), "replicas agree after");
    assert_eq!(erased(&here, &dropped).await, 1, "its private half is erased");
    for app in [&here, &there] {
        let legacy = app.access_token("legacy", &session).await;
        let rotation = rotations.iter().find(|rotation| rotation["algorithm"] == "RS256").unwrap();
        assert_eq!(header(&legacy)["kid"], rotation["kid"], "every algorithm is rotated");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compromise_brings_a_standing_plan_forward_and_may_come_twice() {
    let app = TestApp::spawn_with(SHORT).await;
    let session = app.given_session("alice").await;
    let first = signer(&app, &session).await;
    app.advance(Duration::from_secs(1)).await;
    rotate(&app, "").await;
    let planned = kids(&app).await;
    assert_eq!(planned.len(), 3);
    app.advance(Duration::from_secs(1)).await;

    rotate(&app, "?compromised=true").await;
    let second = signer(&app, &session).await;
    assert_eq!(states(&app).await, [(second.clone(), "active")]);
    assert_eq!(second, planned[1], "the planned successor, not the younger standby");
    assert!(!kids(&app).await.contains(&first));

    rotate(&app, "?compromised=true").await;
    assert_eq!(signer(&app, &session).await, planned[2]);
    let left = kids(&app).await;
    assert!(left.len() == 2 && !left.contains(&first) && !left.contains(&second), "{left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compromise_also_drops_a_key_that_has_just_retired() {
    let app = TestApp::spawn_with(SHORT).await;
    let session = app.given_session("alice").await;
    let first = signer(&app, &session).await;
    let activates_at = rotate(&app, "").await[0]["activates_at"].as_str().unwrap().to_owned();
    let activates_at = OffsetDateTime::parse(&activates_at, &Rfc3339).unwrap();
    advance_to(&app, activates_at).await;
    let second = signer(&app, &session).await;
    assert_ne!(first, second);
    assert!(kids(&app).await.contains(&first), "retired, and still published");

    rotate(&app, "?compromised=true").await;

    let left = kids(&app).await;
    assert!(!left.contains(&first) && !left.contains(&second), "{left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_cannot_be_opened_is_neither_published_nor_in_the_way() {
    let app = TestApp::spawn_with(SHORT).await;
    let session = app.given_session("alice").await;
    let before = kids(&app).await;
    // Whoever can write to the database tries to have a key of their own published.
    app.database
        .execute(
            "INSERT INTO signing_key (kid, algorithm, sealed_private_key, public_jwk, published_at, activates_at, retires_at, destroys_at)
             SELECT 'planted', 'ES256', '\\x01', public_jwk || '{\"kid\": \"planted\"}', published_at, published_at,
                    published_at + interval '1 day', published_at + interval '2 days'
               FROM signing_key LIMIT 1",
        )
        .await;

    app.state.keys.step().await.unwrap();

    assert_eq!(kids(&app).await, before);
    assert!(before.contains(&signer(&app, &session).await));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_switch_at_the_same_instant_and_make_no_second_plan() {
    let (here, there) = replicas(SHORT).await;
    let session = here.given_session("alice").await;
    for _ in 0..3 {
        let active = signer(&here, &session).await;
        let activated_at = key(&here, &active).dates.activates_at.unwrap();
        advance_to(&here, activated_at + Duration::from_millis(59_500)).await;
        settle(&[&there, &here]).await;
        let dates = |app: &TestApp| app.state.keys.ring().keys().iter().map(|key| key.dates).collect::<Vec<_>>();
        assert_eq!(dates(&here), dates(&there));
        here.clock.advance(Duration::from_micros(499_999));
        assert_eq!((signer(&here, &session).await, signer(&there, &session).await), (active.clone(), active.clone()));
        here.clock.advance(MICROSECOND);
        let next = signer(&here, &session).await;
        assert_ne!(next, active);
        assert_eq!(signer(&there, &session).await, next);
    }
    let waiting = "SELECT count(*) FROM signing_key WHERE algorithm = 'ES256' AND retires_at IS NULL";
    assert_eq!(here.database.count(waiting).await, 2, "one signer and one standby");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_master_key_signs_nobody_out_and_the_previous_key_can_then_be_dropped() {
    let new = "bmV3LW5ldy1uZXctbmV3LW5ldy1uZXctbmV3LW5ldy0=";
    let clock = Arc::new(ManualClock::at(SystemClock::new().now()));
    let database = TestDatabase::migrated().await;
    let spawn =
        async |secrets: String| TestApp::spawn_at(Arc::clone(&clock), database.clone(), &database.url, &secrets).await;

    let mut before = spawn(String::new()).await;
    let session = before.given_session("alice").await;
    let (kid, secret) = (signer(&before, &session).await, before.secret.clone());
    before.stop().await;
    let at_rest = sealed(&database).await;

    let both = format!("secrets.master_key = '{new}'\nsecrets.previous_master_keys = ['{MASTER_KEY}']");
    let mut during = spawn(both).await;
    assert_eq!(signer(&during, &session).await, kid, "the session lives on under the same signing key");
    assert_eq!(authorized(&during, &secret).await, StatusCode::OK, "a client's secret works");
    let client = during.state.clients.authenticate(secret.as_bytes()).await.unwrap().expect("the client");
    let (_, rotated) = during.state.clients.rotate(&client.client_id).await.unwrap();
    let rotated = rotated.expose();
    during.stop().await;
    let resealed = sealed(&database).await;
    assert_eq!(resealed.len(), at_rest.len());
    for (kid, sealed) in &resealed {
        let old = &at_rest.iter().find(|(old, _)| old == kid).expect("the same keys").1;
        assert_ne!(sealed, old, "{kid} is sealed anew");
    }

    let after = spawn(format!("secrets.master_key = '{new}'")).await;
    assert_eq!(signer(&after, &session).await, kid, "the session lives on without the previous key");
    assert_eq!(authorized(&after, &rotated).await, StatusCode::OK, "so does a client whose secret was rotated");
    assert_eq!(authorized(&after, &secret).await, StatusCode::UNAUTHORIZED, "the old secret was replaced");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_master_key_stops_the_start_and_changes_no_key() {
    let mut app = TestApp::spawn().await;
    app.stop().await;
    let before = sealed(&app.database).await;

    let wrong = "secrets.master_key = 'bmV3LW5ldy1uZXctbmV3LW5ldy1uZXctbmV3LW5ldy0='";
    let config = Config::from_toml(&settings(&app.database.url, wrong)).unwrap();
    let error = Application::build(&config, app.clock.clone()).await.err().expect("a refusal to start");

    assert!(error.to_string().contains("cannot be opened"), "{error}");
    assert_eq!(sealed(&app.database).await, before);
}

/// Two replicas on one database under one clock.
async fn replicas(settings: &str) -> (TestApp, TestApp) {
    let clock = Arc::new(ManualClock::at(SystemClock::new().now()));
    let database = TestDatabase::migrated().await;
    let url = database.url.clone();
    let here = TestApp::spawn_at(Arc::clone(&clock), database.clone(), &url, settings).await;
    (here, TestApp::spawn_at(clock, database, &url, settings).await)
}

/// Asks for a rotation; returns what is planned.
async fn rotate(app: &TestApp, query: &str) -> Vec<Value> {
    let response = app.admin(Method::POST, &format!("/admin/keys/rotate{query}")).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let answer: Value = response.json().await.unwrap();
    answer["rotations"].as_array().unwrap().clone()
}

/// Lets every replica read what the others, and it itself, have planned.
async fn settle(apps: &[&TestApp]) {
    for app in apps.iter().chain(apps) {
        app.state.keys.step().await.unwrap();
    }
}

async fn advance_to(app: &TestApp, instant: OffsetDateTime) {
    app.advance((instant - app.clock.now()).try_into().expect("an instant that lies ahead")).await;
}

/// The key id of a fresh token.
async fn signer(app: &TestApp, session: &Started) -> String {
    header(&app.access_token("orders", session).await)["kid"].as_str().unwrap().to_owned()
}

/// The key ids that are published for ES256, in their order.
async fn kids(app: &TestApp) -> Vec<String> {
    kids_in(&app.gateway(Method::GET, KEY_SET).send().await.unwrap().json().await.unwrap())
}

fn kids_in(set: &Value) -> Vec<String> {
    set["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

/// A key as the service knows it.
fn key(app: &TestApp, kid: &str) -> RingKey {
    app.state.keys.ring().keys().into_iter().find(|key| key.key.kid().as_str() == kid).expect("a known key")
}

/// The ES256 keys that signed or sign, as operators see them: id and state, the signer first.
async fn states(app: &TestApp) -> Vec<(String, &'static str)> {
    let listed: Value = app.admin(Method::GET, "/admin/keys").send().await.unwrap().json().await.unwrap();
    let mut shown = Vec::new();
    for state in [SigningKeyState::Active, SigningKeyState::Retired].map(SigningKeyState::as_str) {
        let of_state = |key: &&Value| key["algorithm"] == "ES256" && key["state"] == json!(state);
        let keys = listed.as_array().unwrap().iter().filter(of_state);
        shown.extend(keys.map(|key| (key["kid"].as_str().unwrap().to_owned(), state)));
    }
    shown
}

/// 1 if the private half of a key is erased, 0 if not; in neither case is the row gone.
async fn erased(app: &TestApp, kid: &str) -> i64 {
    let rows = app.database.count(&format!("SELECT count(*) FROM signing_key WHERE kid = '{kid}'")).await;
    assert_eq!(rows, 1, "the row stays");
    let erased = format!("SELECT count(*) FROM signing_key WHERE kid = '{kid}' AND sealed_private_key IS NULL");
    app.database.count(&erased).await
}

/// Every key id with its sealed private half.
async fn sealed(database: &TestDatabase) -> Vec<(String, Vec<u8>)> {
    let query = "SELECT kid, sealed_private_key FROM signing_key ORDER BY kid";
    let rows = database.client().await.query(query, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// What an admin route answers to a client's secret.
async fn authorized(app: &TestApp, secret: &str) -> StatusCode {
    app.anonymous_admin(Method::GET, "/admin/keys").bearer_auth(secret).send().await.unwrap().status()
}
