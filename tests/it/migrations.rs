//! Starts on an empty database, on a newer one and on an older one; alone, together, and killed in the middle.

use std::{sync::Arc, time::Duration};

use ephemint::{
    app::Application,
    clock::{Clock as _, SystemClock},
    config::Config,
    storage::{
        migrate::{self, MigrateError},
        url::DatabaseUrl,
    },
};
use futures_util::future::join_all;
use jsonwebtoken::{DecodingKey, Validation, jwk::JwkSet};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::{
    support::{
        app::{COOKIE, bearer, settings},
        database::{TestDatabase, eventually},
        program::{Serving, command, complaint, config_file, run},
    },
    tree::file,
};

const VERSION: i32 = 9;

/// Settings with one audience and thereby one algorithm, because making an RSA key takes its time.
fn one_algorithm(url: &str, more: &str) -> String {
    let mut document: toml::Table = settings(url, more).parse().unwrap();
    document["audience"].as_array_mut().unwrap().truncate(1);
    document.to_string()
}

fn one_algorithm_file(url: &str, more: &str) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), one_algorithm(url, more)).unwrap();
    file
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_processes_on_an_empty_database_agree_on_one_schema_and_one_set_of_keys() {
    let database = TestDatabase::empty().await;
    let file = config_file(&database.url, "gateway.workers = 1");
    let replicas = join_all((0..8).map(|_| Serving::start(file.path()))).await;

    assert_whole(&database, &["ES256", "RS256"]).await;
    let added = run(file.path(), &["clients", "add", "backend", "--scope", "sessions:create", "--json"]).await;
    let secret = serde_json::from_slice::<Value>(&added.stdout).unwrap()["client_secret"].clone();
    let http = Client::builder().no_proxy().build().unwrap();
    let mut tokens = Vec::new();
    let mut key_sets: Vec<[JwkSet; 2]> = Vec::new();
    for replica in &replicas {
        let ready = http.get(format!("http://{}/readyz", replica.admin)).send().await.unwrap();
        assert_eq!(ready.status(), StatusCode::OK);
        let started = http
            .post(format!("http://{}/admin/sessions", replica.admin))
            .bearer_auth(secret.as_str().unwrap())
            .json(&json!({ "subject": "alice" }));
        let started: Value = started.send().await.unwrap().json().await.unwrap();
        let cookie = format!("{COOKIE}={}", started["session_token"].as_str().unwrap());
        for (index, audience) in ["orders", "legacy"].into_iter().enumerate() {
            let url = format!("http://{}/exchange/{audience}", replica.gateway);
            let response = http.get(url).header("cookie", &cookie).send().await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            tokens.push((index, audience, bearer(&response)));
        }
        let mut sets = Vec::new();
        for path in ["/.well-known/jwks.json", "/rs256/.well-known/jwks.json"] {
            let set = http.get(format!("http://{}{path}", replica.public)).send().await.unwrap();
            sets.push(set.json::<JwkSet>().await.unwrap());
        }
        key_sets.push(sets.try_into().unwrap());
    }
    for (index, audience, token) in &tokens {
        for sets in &key_sets {
            assert_verifies(token, audience, &sets[*index]);
        }
    }
    drop(replicas);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_starts_at_once_make_one_active_and_one_standby_key_again_and_again() {
    for _ in 0..5 {
        let database = TestDatabase::empty().await;
        let text = one_algorithm(&database.url, "");
        let starts = (0..8).map(|_| {
            let config = Config::from_toml(&text).unwrap();
            tokio::spawn(async move {
                let application = Application::build(&config, Arc::new(SystemClock::new())).await.unwrap();
                let keys = application.services().keys.ring().keys();
                let mut keys: Vec<_> = keys.iter().map(|key| (key.key.kid().clone(), key.dates)).collect();
                keys.sort_by_key(|(kid, _)| kid.to_string());
                keys
            })
        });
        let rings: Vec<_> = join_all(starts).await.into_iter().map(Result::unwrap).collect();

        assert_whole(&database, &["ES256"]).await;
        assert_eq!(rings[0].len(), 2);
        assert!(rings.iter().all(|ring| *ring == rings[0]), "{rings:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_migrations_at_once_apply_each_migration_once() {
    let database = TestDatabase::empty().await;
    let url = DatabaseUrl::parse(&database.url).unwrap();
    let wait = Duration::from_secs(30);
    let runs = join_all((0..16).map(|_| migrate::run(&url, wait, wait))).await;

    let done: Vec<_> = runs.into_iter().map(Result::unwrap).collect();
    assert!(done.iter().all(|done| done.version == migrate::newest()));
    let applied = done.iter().map(|done| done.applied.len()).filter(|applied| *applied > 0).collect::<Vec<_>>();
    assert_eq!(applied, [usize::try_from(VERSION).unwrap()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn migrating_twice_changes_nothing_the_second_time() {
    let database = TestDatabase::empty().await;
    let file = config_file(&database.url, "");
    let first = run(file.path(), &["migrate"]).await;
    assert_eq!(first.status.code(), Some(0), "{}", complaint(&first));
    let expected = "applied 1 session\napplied 2 signing_key\napplied 3 client\napplied 4 session_device\napplied 5 account\napplied 6 hook_delivery\napplied 7 revocation_log\napplied 8 replica\napplied 9 session_sweep\nthe schema is at version 9\n";
    assert_eq!(String::from_utf8(first.stdout).unwrap(), expected);

    let before = database.dump().await;
    let second = run(file.path(), &["migrate"]).await;
    assert_eq!(second.status.code(), Some(0), "{}", complaint(&second));
    assert_eq!(String::from_utf8(second.stdout).unwrap(), "the schema is at version 9\n");
    assert_eq!(database.dump().await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_of_its_first_start_the_next_start_is_whole() {
    let first = TestDatabase::empty().await;
    let file = one_algorithm_file(&first.url, "");
    let clock = SystemClock::new();
    drop(Serving::start(file.path()).await);
    let start = clock.monotonic();

    for step in 0..32 {
        let database = TestDatabase::empty().await;
        let file = one_algorithm_file(&database.url, "");
        // Half of them kill a bare `migrate`, which is the longer part.
        let arguments: &[&str] = if step % 2 == 0 { &["serve"] } else { &["migrate"] };
        let mut command = command(file.path(), arguments);
        let mut child =
            command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
        // From at once to well past readiness.
        tokio::time::sleep(start * step / 24).await;
        child.kill().await.unwrap();

        starts_whole(&database).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_inside_a_migration_the_next_start_is_whole() {
    let database = TestDatabase::empty().await;
    let file = one_algorithm_file(&database.url, "");
    let mut other = database.client().await;
    // A table of the same name that is not committed yet holds the second migration up.
    let held = other.transaction().await.unwrap();
    held.batch_execute("CREATE TABLE signing_key (kid text)").await.unwrap();
    let mut child = command(file.path(), &["migrate"]).spawn().unwrap();
    database.blocked("CREATE TABLE signing_key").await;
    child.kill().await.unwrap();
    held.rollback().await.unwrap();

    assert_eq!(database.count("SELECT max(version)::int8 FROM refinery_schema_history").await, 1);
    starts_whole(&database).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_between_a_key_and_its_commit_the_next_start_is_whole() {
    for (trigger, statement) in [
        ("CREATE TRIGGER hold AFTER INSERT ON signing_key", "INSERT INTO signing_key"),
        ("CREATE CONSTRAINT TRIGGER hold AFTER INSERT ON signing_key DEFERRABLE INITIALLY DEFERRED", "COMMIT"),
    ] {
        let database = TestDatabase::migrated().await;
        database
            .execute(&format!(
                "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS
                     'BEGIN PERFORM pg_advisory_xact_lock(42); RETURN NULL; END';
                 {trigger} FOR EACH ROW EXECUTE FUNCTION hold()"
            ))
            .await;
        let holder = database.client().await;
        holder.batch_execute("SELECT pg_advisory_lock(42)").await.unwrap();
        let file = one_algorithm_file(&database.url, "database.query_timeout = '60s'");
        let mut child = command(file.path(), &["serve"]).stderr(std::process::Stdio::null()).spawn().unwrap();
        database.blocked(statement).await;
        child.kill().await.unwrap();
        holder.batch_execute("SELECT pg_advisory_unlock(42)").await.unwrap();
        database.execute("DROP TRIGGER hold ON signing_key").await;

        starts_whole(&database).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_a_newer_version_has_migrated_is_served() {
    let database = TestDatabase::migrated().await;
    database.execute("INSERT INTO refinery_schema_history VALUES (999, 'later', '2030-01-01T00:00:00Z', '1')").await;
    let file = config_file(&database.url, "");
    let serving = Serving::start(file.path()).await;
    let ready = Client::builder().no_proxy().build().unwrap().get(format!("http://{}/readyz", serving.admin)).send();
    assert_eq!(ready.await.unwrap().status(), StatusCode::OK);

    let migrated = run(file.path(), &["migrate"]).await;
    assert_eq!(migrated.status.code(), Some(0), "{}", complaint(&migrated));
    assert_eq!(String::from_utf8(migrated.stdout).unwrap(), "the schema is at version 999\n");
}

/// A database on which only the first two migrations were ever run.
async fn as_of_version_two() -> TestDatabase {
    let (old, new) = (TestDatabase::empty().await, TestDatabase::migrated().await);
    old.execute(&file("sql/migrations/V1__session.sql").text).await;
    old.execute(&file("sql/migrations/V2__signing_key.sql").text).await;
    let history =
        "CREATE TABLE refinery_schema_history (version int4 PRIMARY KEY, name varchar(255), applied_on varchar(255),
                       checksum varchar(255))";
    old.execute(history).await;
    let sql = "SELECT format('(%s, %L, %L, %L)', version, name, applied_on, checksum)
                 FROM refinery_schema_history WHERE version <= 2";
    for row in new.client().await.query(sql, &[]).await.unwrap() {
        old.execute(&format!("INSERT INTO refinery_schema_history VALUES {}", row.get::<_, String>(0))).await;
    }
    old
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_schema_that_may_not_be_migrated_is_refused_with_what_to_do() {
    for (database, found) in [(TestDatabase::empty().await, 0), (as_of_version_two().await, 2)] {
        let file = config_file(&database.url, "database.migrate = false");
        for arguments in [&["serve"][..], &["clients", "list"], &["keys", "rotate"]] {
            let refused = run(file.path(), arguments).await;
            assert_eq!(refused.status.code(), Some(1));
            let expected = format!(
                "the schema is at version {found}, and this program needs {VERSION}: run `ephemint migrate` first"
            );
            assert!(complaint(&refused).contains(&expected), "{}", complaint(&refused));
        }
        assert_eq!(run(file.path(), &["migrate"]).await.status.code(), Some(0));
        drop(Serving::start(file.path()).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_whose_text_has_changed_or_that_was_skipped_stops_the_start() {
    for (meddling, reason) in [
        ("UPDATE refinery_schema_history SET checksum = '1' WHERE version = 2", "different than filesystem one"),
        ("UPDATE refinery_schema_history SET name = 'another' WHERE version = 2", "different than filesystem one"),
        ("DELETE FROM refinery_schema_history WHERE version = 2", "migration 2 was never applied"),
    ] {
        let database = TestDatabase::migrated().await;
        database.execute(meddling).await;
        let file = config_file(&database.url, "");
        let before = database.dump().await;
        for command in ["migrate", "serve"] {
            let refused = run(file.path(), &[command]).await;
            assert_eq!(refused.status.code(), Some(1));
            assert!(complaint(&refused).contains(reason), "{}", complaint(&refused));
        }
        assert_eq!(database.dump().await, before);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_waits_for_another_migration_and_then_goes_on() {
    let database = TestDatabase::empty().await;
    let url = DatabaseUrl::parse(&database.url).unwrap();
    let other = database.client().await;
    other.batch_execute("SELECT pg_advisory_lock(7301993201834100)").await.unwrap();
    let short = Duration::from_millis(200);
    let refused = migrate::run(&url, Duration::from_secs(5), short).await.unwrap_err();
    assert!(matches!(refused, MigrateError::Locked(wait) if wait == short), "{refused}");

    let file = config_file(&database.url, "");
    let starting = Serving::start(file.path());
    let releasing = async {
        eventually("the start asks for the lock", async || {
            let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%try_advisory%'";
            (database.count(sql).await > 1).then_some(())
        })
        .await;
        assert_eq!(database.count("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").await, 0);
        drop(other);
    };
    let (serving, ()) = tokio::join!(starting, releasing);
    drop(serving);
    assert_whole(&database, &["ES256", "RS256"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_does_not_queue_for_long_behind_a_table_in_use() {
    let database = TestDatabase::empty().await;
    let url = DatabaseUrl::parse(&database.url).unwrap();
    let mut other = database.client().await;
    let held = other.transaction().await.unwrap();
    held.batch_execute("CREATE TABLE session (session_id uuid)").await.unwrap();

    let clock = SystemClock::new();
    let refused = migrate::run(&url, Duration::from_secs(5), Duration::from_secs(5)).await.unwrap_err();
    assert!(matches!(refused, MigrateError::Migration(_)), "{refused}");
    assert!(clock.monotonic() < Duration::from_secs(10), "{:?}", clock.monotonic());
    held.rollback().await.unwrap();
    migrate::run(&url, Duration::from_secs(5), Duration::from_secs(5)).await.unwrap();
}

/// Starts the service in this process and looks at what it finds.
async fn starts_whole(database: &TestDatabase) {
    let config = Config::from_toml(&one_algorithm(&database.url, "")).unwrap();
    let application = Application::build(&config, Arc::new(SystemClock::new())).await.unwrap();
    assert_eq!(application.services().keys.ring().keys().len(), 2);
    assert_whole(database, &["ES256"]).await;
}

/// Whether the schema is complete, with one active and one standby key of each algorithm.
async fn assert_whole(database: &TestDatabase, algorithms: &[&str]) {
    let client = database.client().await;
    let history = client.query("SELECT version FROM refinery_schema_history ORDER BY 1", &[]).await.unwrap();
    let history: Vec<i32> = history.iter().map(|row| row.get(0)).collect();
    assert_eq!(history, (1..=VERSION).collect::<Vec<_>>());
    assert_eq!(database.count("SELECT count(*) FROM global_state").await, 1);
    let keys = "SELECT algorithm, count(activates_at), count(*) FROM signing_key GROUP BY algorithm ORDER BY 1";
    let keys = client.query(keys, &[]).await.unwrap();
    let keys: Vec<(String, i64, i64)> = keys.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    let expected: Vec<_> = algorithms.iter().map(|algorithm| ((*algorithm).to_owned(), 1, 2)).collect();
    assert_eq!(keys, expected);
}

fn assert_verifies(token: &str, audience: &str, set: &JwkSet) {
    let header = jsonwebtoken::decode_header(token).unwrap();
    let key = set.find(header.kid.as_deref().unwrap()).expect("the key set holds the signer");
    let mut validation = Validation::new(header.alg);
    validation.set_audience(&[audience]);
    jsonwebtoken::decode::<Value>(token, &DecodingKey::from_jwk(key).unwrap(), &validation).unwrap();
}
