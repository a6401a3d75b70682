//! What each `sslmode` accepts and refuses, asked of real servers.

use std::{fs, path::PathBuf, sync::OnceLock, time::Duration};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use super::{
    pool::{self, PoolError},
    test_server::{Setup, TestServer},
    url::DatabaseUrl,
};

/// Two authorities that do not know each other, and certificates from the first, with their keys; all PEM.
struct Certificates {
    ours: String,
    theirs: String,
    client: (String, String),
    server: (String, String),
    self_signed: (String, String),
}

impl Certificates {
    fn make() -> Self {
        let (ours, theirs) = (authority("ours"), authority("theirs"));
        let self_signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        Self {
            ours: ours.pem(),
            theirs: theirs.pem(),
            client: issued(&ours, "postgres", &[]),
            server: issued(&ours, "server", &["localhost"]),
            self_signed: (self_signed.cert.pem(), self_signed.signing_key.serialize_pem()),
        }
    }
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn issued(issuer: &CertifiedIssuer<'static, KeyPair>, common_name: &str, names: &[&str]) -> (String, String) {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let key = KeyPair::generate().unwrap();
    (params.signed_by(&key, issuer).unwrap().pem(), key.serialize_pem())
}

fn certificates() -> &'static Certificates {
    static CERTIFICATES: OnceLock<Certificates> = OnceLock::new();
    CERTIFICATES.get_or_init(Certificates::make)
}

/// The server whose certificate is for `localhost`, from our authority; the client's files are in its directory.
fn server() -> &'static TestServer {
    static SERVER: OnceLock<TestServer> = OnceLock::new();
    SERVER.get_or_init(|| {
        let Certificates { ours, theirs, client, server: (certificate, key), .. } = certificates();
        let server = TestServer::start(&Setup { tls: Some([certificate, key, ours]), standby: false });
        let files = [("ours.pem", ours), ("theirs.pem", theirs), ("client.pem", &client.0), ("client.key", &client.1)];
        for (name, pem) in files {
            fs::write(server.directory().join(name), pem).unwrap();
        }
        server
    })
}

fn vouched_for() -> u16 {
    server().port()
}

fn file(name: &str) -> PathBuf {
    server().directory().join(name)
}

/// Connects with these parameters beside address and user; says whether TLS is used, or why there is no connection.
async fn connect(port: u16, parameters: &str) -> Result<bool, String> {
    let url = format!("hostaddr=127.0.0.1 port={port} user=postgres {parameters}");
    let url = DatabaseUrl::parse(&url).unwrap();
    match pool::connect_once(&url, Duration::from_secs(10)).await {
        Ok((client, _task)) => {
            let query = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
            client.query_one(query, &[]).await.map(|row| row.get("ssl")).map_err(|error| error.to_string())
        }
        Err(PoolError::Connect(error)) => {
            let mut text = error.to_string();
            let mut source = error.source();
            while let Some(error) = source {
                text = format!("{text}: {error:?}");
                source = error.source();
            }
            Err(text)
        }
        Err(error) => Err(error.to_string()),
    }
}

fn assert_refused(outcome: &Result<bool, String>, reason: &str) {
    assert!(outcome.as_ref().is_err_and(|text| text.contains(reason)), "{outcome:?} is not about {reason}");
}

fn trusting(mode: &str, host: &str, roots: &str) -> String {
    format!("sslmode={mode} host={host} sslrootcert={}", file(roots).display())
}

#[tokio::test]
async fn verify_full_accepts_the_right_name() {
    assert_eq!(connect(vouched_for(), &trusting("verify-full", "localhost", "ours.pem")).await, Ok(true));
}

#[tokio::test]
async fn verify_full_refuses_a_wrong_name() {
    let outcome = connect(vouched_for(), &trusting("verify-full", "db.example", "ours.pem")).await;
    assert_refused(&outcome, "NotValidForName");
}

#[tokio::test]
async fn verify_full_refuses_an_unknown_authority() {
    let outcome = connect(vouched_for(), &trusting("verify-full", "localhost", "theirs.pem")).await;
    assert_refused(&outcome, "UnknownIssuer");
    let outcome = connect(vouched_for(), "sslmode=verify-full host=localhost sslrootcert=system").await;
    assert_refused(&outcome, "UnknownIssuer");
}

#[tokio::test]
async fn verify_ca_accepts_a_wrong_name() {
    assert_eq!(connect(vouched_for(), &trusting("verify-ca", "db.example", "ours.pem")).await, Ok(true));
}

#[tokio::test]
async fn verify_ca_refuses_an_unknown_authority() {
    let outcome = connect(vouched_for(), &trusting("verify-ca", "localhost", "theirs.pem")).await;
    assert_refused(&outcome, "UnknownIssuer");
}

#[tokio::test]
async fn require_with_roots_verifies_the_chain() {
    assert_eq!(connect(vouched_for(), &trusting("require", "db.example", "ours.pem")).await, Ok(true));
    let outcome = connect(vouched_for(), &trusting("require", "localhost", "theirs.pem")).await;
    assert_refused(&outcome, "UnknownIssuer");
}

#[tokio::test]
async fn require_accepts_a_self_signed_certificate_that_verify_full_refuses() {
    let Certificates { self_signed: (certificate, key), ours, .. } = certificates();
    let server = TestServer::start(&Setup { tls: Some([certificate, key, ours]), standby: false });
    assert_eq!(connect(server.port(), "sslmode=require host=db.example").await, Ok(true));
    let outcome = connect(server.port(), &trusting("verify-full", "localhost", "ours.pem")).await;
    assert_refused(&outcome, "UnknownIssuer");
}

#[tokio::test]
async fn without_tls_on_the_server_there_is_no_fallback_to_plain_text() {
    let server = TestServer::start(&Setup::default());
    assert_eq!(connect(server.port(), "sslmode=disable host=localhost").await, Ok(false));
    for mode in ["require", "verify-ca", "verify-full"] {
        let outcome = connect(server.port(), &trusting(mode, "localhost", "ours.pem")).await;
        assert_refused(&outcome, "server does not support TLS");
    }
    assert_refused(&connect(server.port(), "sslmode=require host=localhost").await, "server does not support TLS");
}

#[tokio::test]
async fn a_server_that_asks_for_a_client_certificate_gets_it() {
    let parameters = trusting("verify-full", "localhost", "ours.pem") + " dbname=template1";
    assert_refused(&connect(vouched_for(), &parameters).await, "client certificate");
    let files = format!("sslcert={} sslkey={}", file("client.pem").display(), file("client.key").display());
    assert_eq!(connect(vouched_for(), &format!("{parameters} {files}")).await, Ok(true));
}
