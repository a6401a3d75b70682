//! What is kept in memory takes what it is said to take: measured by the memory of a process that does nothing else.
#![cfg(target_os = "linux")]

use std::{process::Command, sync::Arc, time::Duration};

use ephemint::{
    crypto::signing_key::SigningKey,
    domain::{
        audience::{Algorithm, TokenType},
        session::{Claims, Session, SessionId},
        session_token::SessionTokenDigest,
        subject::Subject,
    },
    service::{
        freshness::Freshness,
        session_cache::{CachedSession, SessionCache},
        token_cache::{ReusableToken, TokenCache, TokenFor},
    },
};
use serde_json::json;
use time::OffsetDateTime;

const BOUND: u64 = 24 << 20;

/// Runs one of the measurements in a process of its own.
fn alone(measurement: &str) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command.args(["--exact", measurement, "--ignored", "--nocapture"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_full_cache_of_sessions_takes_what_it_may() {
    alone("cache_memory::measure_sessions");
}

#[test]
fn a_full_cache_of_tokens_takes_what_it_may() {
    alone("cache_memory::measure_tokens");
}

/// Resident memory in bytes, without files such as the program itself (`proc_pid_status(5)`).
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

fn session(subject: &str, claims: Claims) -> Session {
    let start = OffsetDateTime::UNIX_EPOCH;
    Session {
        id: SessionId::generate(start).unwrap(),
        subject: Subject::parse(subject).unwrap(),
        created_at: start,
        auth_time: start,
        last_seen_at: start,
        expires_at: start,
        revoked_at: None,
        superseded: false,
        subject_disabled: false,
        amr: vec!["pwd".to_owned()],
        acr: None,
        claims,
        device: Some("a device that no exchange looks at".repeat(4)),
        ip: None,
        user_agent: None,
        network: None,
        reauthenticate_since: None,
    }
}

#[test]
fn a_typical_session_takes_less_than_400_bytes_and_with_its_token_less_than_800() {
    let (sessions, tokens) = (SessionCache::new(BOUND), TokenCache::new(BOUND));
    let freshness = Freshness::new(Duration::from_secs(2), Duration::from_secs(60));
    let typical = session("user-4711", Claims::from([("role".to_owned(), json!("member"))]));
    let read = CachedSession::new(typical, freshness.generation(), Duration::ZERO);
    let _ = sessions.take(SessionTokenDigest::new([7; 32]), read);
    assert!((100..400).contains(&sessions.weight()), "{}", sessions.weight());

    let key = SigningKey::generate(Algorithm::Es256).unwrap().key;
    let frame = Arc::new(key.frame(TokenType::Jwt, "{\"iss\":\"https://app.example.com\",\"aud\":\"orders\""));
    // What follows is as long as the bench's: times, ids, one method, one claim.
    let rest = format!("{}{}", frame.carried(), "x".repeat(192));
    let sign = || Ok::<_, ()>(ReusableToken::new(key.sign_rest(&frame, &rest).map_err(drop)?, Duration::MAX, i64::MAX));
    let _ = tokens.get_or_sign(TokenFor { state: 1, audience: 0 }, key.kid(), Duration::ZERO, 0, sign).unwrap();
    let both = sessions.weight() + tokens.weight();
    assert!((400..800).contains(&both), "{both}");
}

/// Checks growth of memory against what a cache says of itself.
fn check(grown: u64, weight: u64, entries: usize) {
    println!("{entries} entries: {grown} bytes, said to be {weight}, of at most {BOUND}");
    assert!(weight <= BOUND && weight * 10 > BOUND * 9, "it is not full: {weight} of {BOUND}");
    assert!(grown * 10 < weight * 12 && grown * 10 > weight * 8, "{grown} bytes are said to be {weight}");
}

#[test]
#[ignore = "alone in a process, by the test above"]
fn measure_sessions() {
    let freshness = Freshness::new(Duration::from_secs(2), Duration::from_secs(60));
    let cache = SessionCache::new(BOUND);
    let before = resident();
    for number in 0..160_000_u64 {
        let claims = match number % 4 {
            0 => Claims::new(),
            1 => Claims::from([("role".to_owned(), json!("member"))]),
            2 => Claims::from([
                ("email".to_owned(), json!(format!("user-{number}@example.com"))),
                ("n".to_owned(), json!(number)),
            ]),
            _ => Claims::from([(
                "groups".to_owned(),
                json!(["reader", "writer", "x".repeat(usize::try_from(number % 200).unwrap())]),
            )]),
        };
        let session = session(&format!("user-{number}"), claims);
        let mut digest = [7; 32];
        digest[..8].copy_from_slice(&number.to_le_bytes());
        let read = CachedSession::new(session, freshness.generation(), Duration::ZERO);
        drop(cache.take(SessionTokenDigest::new(digest), read));
    }
    check(resident().saturating_sub(before), cache.weight(), cache.len());
}

#[test]
#[ignore = "alone in a process, by the test above"]
fn measure_tokens() {
    let key = SigningKey::generate(Algorithm::EdDsa).unwrap().key;
    let frame = Arc::new(key.frame(TokenType::Jwt, "{\"iss\":\"https://app.example.com\",\"aud\":\"orders\""));
    let cache = TokenCache::new(BOUND);
    let before = resident();
    for number in 0..100_000_u64 {
        let rest =
            format!("{},\"sub\":\"{}\"}}", frame.carried(), "x".repeat(usize::try_from(100 + number % 300).unwrap()));
        let whom = TokenFor { state: number, audience: 0 };
        let sign = || {
            let token = key.sign_rest(&frame, &rest).map_err(drop)?;
            Ok::<_, ()>(ReusableToken::new(token, Duration::MAX, i64::MAX))
        };
        drop(cache.get_or_sign(whom, key.kid(), Duration::ZERO, 0, sign).unwrap());
    }
    check(resident().saturating_sub(before), cache.weight(), cache.len());
}
