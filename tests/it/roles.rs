//! The two database roles of a careful installation, made by `sql/roles.sql` as an operator would run it.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio_postgres::{NoTls, error::SqlState};

use crate::support::{
    app::{TestApp, bearer, settings},
    browser::native,
    database::{TestDatabase, client_program, cluster},
    program::{complaint, config_file, run},
};

/// The roles belong to the whole cluster, and the script makes them once: everything about them is one test.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_runtime_role_serves_everything_and_changes_no_schema() {
    let database = TestDatabase::empty().await;
    run_script(&database).await;
    let (migrate, runtime) = (as_role(&database, "ephemint_migrate"), as_role(&database, "ephemint_runtime"));

    // Without the right to migrate nothing is made, and it says so.
    let alone = config_file(&runtime, "");
    let refused = run(alone.path(), &["serve"]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(complaint(&refused).contains("permission denied"), "{}", complaint(&refused));

    let mut app = TestApp::spawn_on(database.clone(), &runtime, &format!("database.migration_url = '{migrate}'")).await;
    whole_flow(&app).await;
    app.stop().await;
    // On the migrated database it serves without the other role.
    let clock = app.clock.clone();
    let app = TestApp::spawn_at(clock, database.clone(), &runtime, "database.migrate = false").await;
    whole_flow(&app).await;

    let owners = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tableowner <> 'ephemint_migrate'";
    assert_eq!(database.count(owners).await, 0);
    denied(&runtime).await;
    stranger_is_denied(&database).await;
    assert!(settings(&runtime, "").contains("ephemint_runtime"));
}

async fn whole_flow(app: &TestApp) {
    let (session, other) = (app.given_session("alice").await, app.given_session("alice").await);
    assert!(!bearer(&app.exchange(&session.cookie()).await).is_empty());
    app.advance(Duration::from_secs(120)).await;
    assert!(!bearer(&app.exchange_for("legacy", &session.cookie()).await).is_empty());
    for (method, path) in [
        (Method::GET, "/admin/sessions".to_owned()),
        (Method::GET, format!("/admin/sessions/{}", session.id)),
        (Method::DELETE, format!("/admin/sessions/{}", session.id)),
        (Method::DELETE, "/admin/sessions?subject=alice".to_owned()),
        (Method::POST, "/admin/keys/rotate".to_owned()),
        (Method::GET, "/admin/keys".to_owned()),
        (Method::GET, "/readyz".to_owned()),
    ] {
        let response = app.admin(method.clone(), &path).send().await.unwrap();
        assert!(response.status().is_success(), "{method} {path}: {}", response.text().await.unwrap());
    }
    for session in [session, other] {
        assert_eq!(app.exchange(&session.cookie()).await.status(), StatusCode::UNAUTHORIZED);
    }
    browsers_side(app).await;
    // A rotation that comes true, its retired key erased.
    app.advance(Duration::from_secs(40 * 24 * 3_600)).await;
    let clients = &app.state.clients;
    clients.add("extra", vec!["keys:read".parse().unwrap()]).await.unwrap();
    clients.rotate("extra").await.unwrap();
    clients.remove("extra").await.unwrap();
}

/// Accounts, signing in, renewing, ending one's own sessions, and following the revocation log.
async fn browsers_side(app: &TestApp) {
    let accounts = &app.state.accounts;
    let password = "nine quiet lanterns";
    accounts.add("bertha", None, password.to_owned().into()).await.unwrap();
    let mut tokens = Vec::new();
    for typed in ["wrong", password, password] {
        let login = json!({ "username": "bertha", "password": typed, "transport": "header" });
        let answer = app.public(Method::POST, "/login").json(&login).send().await.unwrap();
        assert_eq!(answer.status().is_success(), typed == password);
        tokens.extend(answer.json::<Value>().await.unwrap()["session_token"].as_str().map(str::to_owned));
    }
    for (method, path) in [(Method::POST, "/session/renew"), (Method::DELETE, "/sessions?others=true")] {
        let request = native(app, method, path, &tokens[0]).send().await.unwrap();
        assert_eq!(request.status(), StatusCode::OK, "{path}");
    }
    app.follower.poll().await.unwrap();
    app.activity.flush().await.unwrap();
    accounts.sweep(5_000).await.unwrap();
    while app.sweep.step().await.unwrap() {}
    app.advance(Duration::from_secs(16 * 60)).await;
    app.follower.sweep().await.unwrap();
    accounts.disable("bertha").await.unwrap();
    accounts.enable("bertha").await.unwrap();
    accounts.remove("bertha").await.unwrap();
    assert!(app.database.count("SELECT count(*) FROM revocation_log").await > 0, "written by triggers");
    app.follower.poll().await.unwrap();
}

/// What a stolen credential of the running service must not be able to do.
async fn denied(url: &str) {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    for statement in [
        "CREATE TABLE mine (id int)",
        "CREATE TEMPORARY TABLE session (id int)",
        "CREATE VIEW mine AS SELECT 1",
        "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE SCHEMA mine",
        "CREATE INDEX mine ON session (created_at)",
        "CREATE ROLE mine",
        "CREATE EXTENSION pg_trgm",
        "ALTER TABLE session ADD COLUMN mine int",
        "ALTER TABLE session DISABLE TRIGGER ALL",
        "DROP TRIGGER session_changed ON session",
        "DROP FUNCTION log_session_change() CASCADE",
        "CREATE OR REPLACE FUNCTION log_session_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "ALTER FUNCTION log_session_change() SET search_path = pg_temp",
        "TRUNCATE revocation_log",
        "ALTER TABLE signing_key DROP CONSTRAINT signing_key_publishes_no_private_member",
        "ALTER TABLE session OWNER TO ephemint_runtime",
        "ALTER ROLE ephemint_runtime SUPERUSER",
        "DROP TABLE session",
        "DROP INDEX signing_key_one_active_idx",
        "TRUNCATE session",
        "TRUNCATE signing_key CASCADE",
        "GRANT ALL ON session TO PUBLIC",
        "UPDATE refinery_schema_history SET checksum = '1'",
        "DELETE FROM refinery_schema_history",
        "INSERT INTO refinery_schema_history VALUES (999, 'mine', '2030-01-01T00:00:00Z', '1')",
        "COPY session TO PROGRAM 'cat'",
        "COPY (SELECT 1) TO '/tmp/mine'",
        "SET ROLE ephemint_migrate",
        "SET session_replication_role = replica",
        "SELECT pg_read_file('postgresql.conf')",
        "SELECT rolpassword FROM pg_authid",
    ] {
        match client.batch_execute(statement).await {
            Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {}
            // Granting what one may not grant is a warning that grants nothing.
            Ok(()) if statement.starts_with("GRANT") => {}
            other => panic!("{statement}: {other:?}"),
        }
    }
}

async fn stranger_is_denied(database: &TestDatabase) {
    database.execute("CREATE ROLE stranger LOGIN").await;
    let refused = tokio_postgres::connect(&as_role(database, "stranger"), NoTls).await.err().unwrap();
    assert_eq!(refused.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{refused:?}");
    let (client, connection) = tokio_postgres::connect(&database.url, NoTls).await.unwrap();
    tokio::spawn(connection);
    let granted = "SELECT has_table_privilege('stranger', 'session', 'SELECT')";
    assert!(!client.query_one(granted, &[]).await.unwrap().get::<_, bool>(0));
}

async fn run_script(database: &TestDatabase) {
    let cluster = cluster().await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/sql/roles.sql");
    let output = tokio::process::Command::new(client_program("psql").await)
        .args(["-X", "-v", "ON_ERROR_STOP=1", "--single-transaction", "-v", "migrate_password=it's", "-v"])
        .args(["runtime_password=pass", "-f", script, "-h"])
        .arg(cluster.socket_directory())
        .args(["-U", "ephemint", &database.name])
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn as_role(database: &TestDatabase, role: &str) -> String {
    database.url.replace("//ephemint@", &format!("//{role}@"))
}
