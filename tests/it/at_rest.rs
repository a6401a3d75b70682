//! What a thief finds in the database, and what somebody who can write to it gains.

use std::{collections::BTreeSet, time::Duration};

use aws_lc_rs::{digest, hmac};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use ephemint::{
    crypto::master_key::{MasterKey, Vault},
    domain::{audience::Algorithm, session_token::SessionToken, signing_key::KeyId},
    service::accounts::Attempt,
};
use reqwest::{Method, StatusCode};

use crate::support::{
    app::{COOKIE, MASTER_KEY, Started, TestApp, sample},
    database::TestDatabase,
    hex,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_holds_no_token_secret_or_private_key_in_any_spelling() {
    for algorithm in ["ES256", "EdDSA"] {
        assert_dump_is_worthless(&TestApp::spawn_with(&format!("token.algorithm = '{algorithm}'")).await).await;
    }
}

async fn assert_dump_is_worthless(app: &TestApp) {
    let mut secrets = vec![app.secret.clone(), MASTER_KEY.to_owned()];
    for subject in ["alice", "bob"] {
        let session = app.given_session(subject).await;
        for audience in ["orders", "legacy", "sensitive"] {
            let token = app.access_token(audience, &session).await;
            secrets.push(token.rsplit('.').next().unwrap().to_owned());
            secrets.push(token);
        }
        secrets.push(session.token.clone());
    }
    let (_, added) = app.state.clients.add("second", vec!["keys:read".parse().unwrap()]).await.unwrap();
    let (_, rotated) = app.state.clients.rotate("second").await.unwrap();
    secrets.extend([added.expose(), rotated.expose()]);
    let revoked = app.given_session("carol").await;
    app.admin(Method::DELETE, &format!("/admin/sessions/{}", revoked.id)).send().await.unwrap();
    secrets.push(revoked.token);

    let dump = app.database.dump().await;
    assert!(dump.contains("alice") && dump.contains("carol"), "the dump is not one");
    for secret in &secrets {
        let raw = ["ems_", "emc_"].iter().find_map(|prefix| secret.strip_prefix(prefix)).unwrap_or(secret);
        let raw = URL_SAFE_NO_PAD.decode(raw).or_else(|_| STANDARD.decode(raw)).unwrap_or_else(|_| raw.into());
        for text in [secret.as_bytes(), &raw].into_iter().flat_map(spellings_with_hash) {
            assert!(!dump.contains(&text), "{secret} as {text}");
        }
    }
    assert_no_private_key(&app.database, &dump).await;
}

/// Opens every sealed key and looks for each part of its plain text.
async fn assert_no_private_key(database: &TestDatabase, dump: &str) {
    let master: [u8; 32] = STANDARD.decode(MASTER_KEY).unwrap().try_into().unwrap();
    let vault = Vault::new(MasterKey::from(master), Vec::new()).unwrap();
    let sql = "SELECT kid, algorithm, sealed_private_key, public_jwk::text FROM signing_key";
    let rows = database.client().await.query(sql, &[]).await.unwrap();
    assert_eq!(rows.len(), 4);
    for row in rows {
        let kid = KeyId::new(row.get(0));
        let algorithm = Algorithm::from_name(row.get(1)).unwrap();
        let pkcs8 = vault.open_private_key(&kid, algorithm, row.get(2)).unwrap().bytes;
        let public: String = row.get(3);
        for window in pkcs8.windows(24) {
            // The private key's document holds the public half too, and that is published.
            let [hexadecimal, base64, base64url] = spellings(window);
            if !public.contains(&base64url) {
                assert!(!dump.contains(&hexadecimal) && !dump.contains(&base64) && !dump.contains(&base64url), "{kid}");
            }
        }
        for member in ["\"d\"", "\"p\"", "\"q\"", "\"dp\"", "\"dq\"", "\"qi\"", "\"k\""] {
            assert!(!public.contains(member), "{kid}");
        }
    }
    assert!(!dump.contains("PRIVATE KEY"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_holds_no_password_and_tells_neither_who_tried_to_sign_in_nor_from_where() {
    let app = TestApp::spawn().await;
    let (first, second, wrong) = ("gravel otters sing", "hollow river paints", "hollow river sings");
    let (known, unknown) = (["203.0.113.77", "2001:db8:77:7::"], "nobody.by.that.name");
    let accounts = &app.state.accounts;
    accounts.add("alice", None, first.to_owned().into()).await.unwrap();
    accounts.set_password("alice", second.to_owned().into()).await.unwrap();
    for (username, typed) in [("alice", second), ("alice", wrong), (unknown, wrong)] {
        for address in known {
            let (password, address) = (typed.to_owned().into(), address.parse().unwrap());
            let attempt = Attempt { username, password: &password, address };
            assert_eq!(accounts.authenticate(attempt).await.is_ok(), typed == second);
        }
    }
    let dump = app.database.dump().await;
    let counts =
        dump.split("COPY public.login_throttle").nth(1).expect("counts in the dump").split("\\.").next().unwrap();
    // Two networks, two accounts, each account in each network, and everybody.
    assert_eq!(counts.lines().count() - 1, 9, "{counts}");
    assert!(!counts.contains("alice"));
    for secret in [first, second, wrong, unknown].iter().chain(&known) {
        for text in spellings_with_hash(secret.as_bytes()) {
            assert!(!dump.contains(&text), "{secret} as {text}");
        }
    }
    // Without the key, trying out the few names and addresses there are leads nowhere.
    for guess in ["alice", "account\0\0alice\0", "network\x00203.0.113.77\0\0"] {
        let plain = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b""), guess.as_bytes());
        assert!(
            !dump.contains(&hex(plain.as_ref()))
                && !dump.contains(&hex(digest::digest(&digest::SHA256, guess.as_bytes()).as_ref()))
        );
    }
    assert!(dump.contains("$argon2id$v=19$m=19456,t=2,p=1$"));
}

fn spellings(bytes: &[u8]) -> [String; 3] {
    [hex(bytes), STANDARD_NO_PAD.encode(bytes), URL_SAFE_NO_PAD.encode(bytes)]
}

/// The bytes and their plain SHA-256, each in every spelling; and the bytes as text.
fn spellings_with_hash(bytes: &[u8]) -> BTreeSet<String> {
    let hash = digest::digest(&digest::SHA256, bytes);
    let mut texts: BTreeSet<_> = [spellings(bytes), spellings(hash.as_ref())].into_iter().flatten().collect();
    texts.extend(String::from_utf8(bytes.to_vec()));
    texts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_writes_to_the_database_cannot_plant_a_session_for_a_token_of_theirs() {
    let app = TestApp::spawn().await;
    let genuine = app.given_session("alice").await;
    let token = SessionToken::generate().unwrap();
    let (text, raw) = (token.expose(), token.expose_bytes().as_slice());
    let mac =
        |key: &[u8], message: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref().to_vec();
    let sha = |message: &[u8]| digest::digest(&digest::SHA256, message).as_ref().to_vec();
    for planted in [
        sha(text.as_bytes()),
        sha(&text.as_bytes()[4..]),
        sha(raw),
        raw.to_vec(),
        mac(b"", raw),
        mac(b"", text.as_bytes()),
        mac(b"secret", raw),
        mac(&[7; 32], raw),
        mac(b"digest session tokens", raw),
        // With everything that the database itself holds for a key.
        mac(&stored_digest(&app.database, &genuine).await, raw),
    ] {
        app.database
            .client()
            .await
            .execute(
                "INSERT INTO session SELECT gen_random_uuid(), $1, 'mallory', created_at, auth_time, last_seen_at, expires_at,
                        NULL, NULL, subject_epoch, global_epoch, start_method, amr, acr, claims, device, ip
                   FROM session WHERE subject = 'alice'",
                &[&planted],
            )
            .await
            .unwrap();
        let cookie = format!("{COOKIE}={text}");
        assert_eq!(app.exchange(&cookie).await.status(), StatusCode::UNAUTHORIZED);
    }
    let unknown = sample(&app.metrics().await, "ephemint_exchanges_total", &["outcome=\"unknown_session\""]);
    assert!((unknown - 10.0).abs() < 0.1, "refused for another reason");
    assert_eq!(app.exchange(&genuine.cookie()).await.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stored_digest_is_no_token() {
    let app = TestApp::spawn().await;
    let session = app.given_session("alice").await;
    let stored = stored_digest(&app.database, &session).await;
    assert_eq!(stored.len(), 32);
    for text in spellings(&stored) {
        for cookie in [format!("{COOKIE}={text}"), format!("{COOKIE}=ems_{text}")] {
            assert_eq!(app.exchange(&cookie).await.status(), StatusCode::UNAUTHORIZED, "{cookie}");
        }
    }
    let secret: Vec<u8> =
        app.database.client().await.query_one("SELECT secret_digest FROM client", &[]).await.unwrap().get(0);
    for text in spellings(&secret) {
        for credential in [text.clone(), format!("emc_{text}")] {
            let list = app.anonymous_admin(Method::GET, "/admin/sessions").bearer_auth(credential);
            assert_eq!(list.send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_last_seen_time_never_revives_a_revoked_session() {
    let mut app = TestApp::spawn().await;
    let (dead, alive) = (app.given_session("alice").await, app.given_session("bob").await);
    let other = TestApp::spawn_at(app.clock.clone(), app.database.clone(), &app.database.url, "").await;
    // Long enough for the use to be noted; it is written only at the next flush.
    app.advance(Duration::from_secs(45)).await;
    other.state.keys.step().await.unwrap();
    let revoked_at_first = rows(&app.database).await;
    for session in [&dead, &alive] {
        assert_eq!(app.exchange(&session.cookie()).await.status(), StatusCode::OK);
    }
    assert!(sample(&app.metrics().await, "ephemint_activity_pending", &[]) >= 2.0, "nothing is waiting to be written");
    assert_eq!(rows(&app.database).await, revoked_at_first, "written before the revocation");
    let path = format!("/admin/sessions/{}", dead.id);
    assert_eq!(other.admin(Method::DELETE, &path).send().await.unwrap().status(), StatusCode::OK);
    let before = rows(&app.database).await;
    assert_eq!(app.exchange(&dead.cookie()).await.status(), StatusCode::UNAUTHORIZED);

    // The way out writes what is pending.
    app.stop().await;
    let after = rows(&app.database).await;
    assert_eq!(after[0], before[0], "the revoked session's row has changed");
    assert!(after[1] != before[1], "nothing was written at all");
    let again = TestApp::spawn_at(app.clock.clone(), app.database.clone(), &app.database.url, "").await;
    for replica in [&other, &again] {
        assert_eq!(replica.exchange(&dead.cookie()).await.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(replica.exchange(&alive.cookie()).await.status(), StatusCode::OK);
    }
}

/// The sessions as text, by subject.
async fn rows(database: &TestDatabase) -> Vec<String> {
    let rows = database.client().await.query("SELECT s::text FROM session AS s ORDER BY subject", &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

async fn stored_digest(database: &TestDatabase, session: &Started) -> Vec<u8> {
    let sql = "SELECT token_digest FROM session WHERE session_id::text = $1";
    database.client().await.query_one(sql, &[&session.id]).await.unwrap().get(0)
}
