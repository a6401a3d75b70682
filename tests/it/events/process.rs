//! Real processes: killed while they post, asked to stop, proving receivers by certificates, and what their logs say.

use std::{sync::Arc, time::Duration};

use ephemint::clock::{Clock as _, SystemClock};
use rcgen::{CertificateParams, Issuer, KeyPair};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio_rustls::TlsAcceptor;

use super::{
    SECRET, account_disabled, hooks,
    receiver::{Conduct, HookReceiver, status},
    step, wait_for_outcomes,
};
use crate::support::{
    app::TestApp,
    database::{TestDatabase, eventually},
    program::{Serving, command, config_file},
};

const ID: &str = "7f980a52-3c51-7d3e-9b0c-4f6f3e2b7a11";

/// Puts an event into the outbox behind every replica's back.
async fn given_event(database: &TestDatabase) {
    let body = r#"{"id":"7f980a52-3c51-7d3e-9b0c-4f6f3e2b7a11","type":"account_disabled","data":{"subject":"alice"}}"#;
    let values = format!("'{ID}', 'account_disabled', '{body}', now(), now(), 0");
    database.execute(&format!("INSERT INTO hook_delivery VALUES ({values})")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_replica_had_taken_is_posted_by_another_after_the_lease() {
    let receiver = HookReceiver::listening();
    receiver.conduct(Conduct::Silent);
    let database = TestDatabase::migrated().await;
    let settings = hooks(&receiver, "timeout = '30s'");
    let config = config_file(&database.url, &settings);
    given_event(&database).await;
    let mut killed = Serving::start(config.path()).await;
    receiver.wait_for(1).await;
    killed.child.kill().await.unwrap();

    receiver.conduct(status(200));
    let url = database.url.clone();
    let app = TestApp::spawn_on(database, &url, &settings).await;
    step(&app).await;
    assert_eq!(receiver.arrived().len(), 1, "the lease still holds");
    app.advance(Duration::from_secs(41)).await;
    step(&app).await;
    wait_for_outcomes(&app, "delivered", 1).await;
    let [first, second] = receiver.arrived().try_into().unwrap();
    assert_eq!((first.id(), second.id(), &first.body), (ID, ID, &second.body));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_receiver_does_not_keep_the_service_from_stopping() {
    let receiver = HookReceiver::listening();
    receiver.conduct(Conduct::Silent);
    let mut app = TestApp::spawn_with(&hooks(&receiver, "timeout = '1s'")).await;
    app.events.record(&account_disabled(&app, "alice")).await;
    receiver.wait_for(1).await;
    let clock = SystemClock::new();
    app.stop().await;
    assert!(clock.monotonic() < Duration::from_secs(5), "{:?}", clock.monotonic());
    let waiting = "SELECT count(*) FROM hook_delivery";
    assert_eq!(app.database.count(waiting).await, 1, "it is not lost");
}

/// An authority: its certificate, and a receiver that it vouches for.
fn receiver_of_an_authority() -> (String, HookReceiver) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let server_key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&server_key, &issuer).unwrap();
    let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(server_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)
        .unwrap();
    (authority, HookReceiver::secure(TlsAcceptor::from(Arc::new(config))))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_must_prove_its_name_to_the_roots_of_the_system() {
    let ((authority, trusted), (_, stranger)) = (receiver_of_an_authority(), receiver_of_an_authority());
    let roots = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(roots.path(), authority).unwrap();
    for (receiver, is_trusted) in [(trusted, true), (stranger, false)] {
        let database = TestDatabase::migrated().await;
        let settings = hooks(&receiver, "").replace("http://", "https://");
        let config = config_file(&database.url, &settings);
        given_event(&database).await;
        let mut command = command(config.path(), &["serve"]);
        command.env("SSL_CERT_FILE", roots.path());
        let serving = Serving::start_as(command).await;
        if is_trusted {
            assert_eq!(receiver.wait_for(1).await[0].id(), ID);
            let left = "SELECT count(*) FROM hook_delivery";
            eventually("the outbox is empty", async || (database.count(left).await == 0).then_some(())).await;
        } else {
            serving.logged("the webhook's receiver does not take events; they are tried again").await;
            assert!(receiver.arrived().is_empty(), "nothing is told to a stranger");
            let log = serving.log.lock().unwrap().join("\n");
            assert!(log.contains("no secure connection to the receiver: invalid peer certificate"), "{log}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_the_secret_nor_the_path_of_the_receiver_is_in_the_log() {
    let mut receiver = HookReceiver::refusing();
    let database = TestDatabase::migrated().await;
    let settings = hooks(&receiver, "max_attempts = 2").replace("/in?room=1", "/canary-path?canary-query");
    let config = config_file(&database.url, &format!("log.level = 'trace'\nlog.format = 'json'\n{settings}"));
    given_event(&database).await;
    let mut serving = Serving::start(config.path()).await;
    serving.logged("the webhook's receiver does not take events; they are tried again").await;
    receiver.listen();
    receiver.conduct(status(500));
    database.execute("UPDATE hook_delivery SET next_attempt_at = now()").await;
    serving.logged("an event is given up; the webhook's receiver has not taken it").await;
    serving.terminate();
    assert_eq!(serving.exit_code(Duration::from_secs(20)).await, 0);

    let log = serving.log.lock().unwrap().join("\n");
    assert!(log.contains("no connection to the receiver") && log.contains("it answered with status 500"), "{log}");
    let signature = receiver.arrived()[0].headers["webhook-signature"].clone();
    assert!(receiver.arrived()[0].request_line.contains("canary-path?canary-query"));
    for secret in [SECRET, &SECRET[6..40], "key-key-key", "canary-path", "canary-query", &signature[3..]] {
        assert!(!log.contains(secret), "{secret}");
    }
    assert!(!database.dump().await.contains("key-key"));
}
