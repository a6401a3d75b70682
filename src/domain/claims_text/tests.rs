//! The text against serde's own, for texts that are meant to break it.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};
use time::macros::datetime;

use super::*;
use crate::domain::{
    access_token::AccessTokenClaims,
    audience::{AudienceName, Consistency, CrossSiteWrites, TokenType},
    session::Claims,
    subject::Subject,
};

const ISSUER: &str = "https://app.example.com/\"é\\";
const JTI: &str = "AAAAAAAAAAAAAAAAAAAAAA";
const TIMES: Times = Times { iat: 1_763_700_000, exp: 1_763_700_065 };

fn session(subject: &str, amr: Vec<String>, acr: Option<String>, claims: Claims) -> Session {
    let start = datetime!(2026-11-01 12:00 UTC);
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
        amr,
        acr,
        claims,
        device: None,
        ip: None,
        user_agent: None,
        network: None,
        reauthenticate_since: None,
    }
}

fn audience(claims: Vec<String>, scopes: Vec<String>) -> AudiencePolicy {
    AudiencePolicy {
        name: AudienceName::parse("orders").unwrap(),
        lifetime: Duration::from_secs(60),
        claims,
        scopes,
        token_type: TokenType::Jwt,
        algorithm: Algorithm::Es256,
        enabled: true,
        max_auth_age: None,
        required_amr: Vec::new(),
        consistency: Consistency::Bounded,
        allowed_clients: None,
        cross_site_writes: CrossSiteWrites::Deny,
    }
}

/// The whole payload, and the names of the claims that were left out.
fn written(session: &Session, policy: &AudiencePolicy) -> (String, Vec<String>) {
    let (audience, text) = (AudienceText::new(policy, ISSUER), SessionText::of(session));
    // What stands there already is another's.
    let mut rest = String::from("é1");
    let token = TokenText {
        audience: &audience,
        session: &text,
        session_id: session.id,
        auth_time: session.auth_time.unix_timestamp(),
        times: TIMES,
        jti: JTI,
    };
    let left_out = token.push_rest(&mut rest);
    (audience.opening().to_owned() + rest.strip_prefix("é1").unwrap(), left_out)
}

/// The same claims the straight way, without those of these names.
fn claims(session: &Session, policy: &AudiencePolicy, without: &[String]) -> AccessTokenClaims {
    let taken = |name: &String| policy.claims.contains(name) && !without.contains(name);
    AccessTokenClaims {
        iss: ISSUER.to_owned(),
        aud: policy.name.clone(),
        scope: (!policy.scopes.is_empty()).then(|| policy.scopes.join(" ")),
        sub: session.subject.clone(),
        iat: TIMES.iat,
        exp: TIMES.exp,
        jti: JTI.to_owned(),
        sid: session.id,
        auth_time: session.auth_time.unix_timestamp(),
        amr: session.amr.clone(),
        acr: session.acr.clone(),
        client_id: None,
        custom: session.claims.clone().into_iter().filter(|(name, _)| taken(name)).collect(),
    }
}

fn text() -> impl Strategy<Value = String> {
    let odd = prop::sample::select(vec![
        "\"", "\\", "\\\"", "\n", "\r\n", "\0", "\u{1f}", "\u{7f}", "\u{2028}", "é", "😀", ":", ",", "{}", "\":", "a",
        "role",
    ]);
    prop_oneof![prop::collection::vec(odd, 0..6).prop_map(|parts| parts.concat()), ".{0,12}"]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(text(), inner, 0..3).prop_map(|members| members.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn the_text_is_what_serde_writes_of_the_same_claims(
        subject in text().prop_filter("a subject", |text| Subject::parse(text.as_str()).is_ok()),
        amr in prop::collection::vec(text(), 0..3),
        acr in prop::option::of(text()),
        custom in prop::collection::btree_map(text(), value(), 0..6),
        others in prop::collection::vec(text(), 0..3),
        scopes in prop::collection::vec("[a-z:]{1,8}", 0..3),
        odd in any::<bool>(),
    ) {
        // Every other claim, and some that this session does not have.
        let names = custom.keys().skip(usize::from(odd)).step_by(2).cloned().chain(others).collect();
        let reserved = |name: &String| RESERVED_CLAIMS.contains(&name.as_str());
        prop_assume!(!custom.keys().any(reserved));
        let (session, policy) = (session(&subject, amr.clone(), acr, custom), audience(names, scopes));
        let (payload, left_out) = written(&session, &policy);
        prop_assert_eq!(left_out, Vec::<String>::new());
        prop_assert_eq!(&payload, &serde_json::to_string(&claims(&session, &policy, &[])).unwrap());

        let text = SessionText::of(&session);
        prop_assert_eq!(text.subject(), subject.as_str());
        prop_assert!(text.has_methods(&amr));
    }
}

#[test]
fn only_a_method_that_was_shown_as_a_whole_counts() {
    let has = |shown: &[&str], required: &str| {
        let shown = shown.iter().map(|&method| method.to_owned()).collect();
        SessionText::of(&session("alice", shown, None, Claims::new())).has_methods(&[required.to_owned()])
    };
    assert!(has(&["pwd", "otp"], "otp"));
    for (shown, required) in
        [(vec![], "otp"), (vec!["pwd"], "otp"), (vec!["\"otp"], "otp"), (vec!["a,", "x"], ","), (vec!["otp2"], "otp")]
    {
        assert!(!has(&shown, required), "{shown:?} {required}");
    }
}

#[test]
fn a_reserved_claim_is_never_taken_from_a_session() {
    let custom = Claims::from([("exp".to_owned(), json!(9_999_999_999_u64)), ("role".to_owned(), json!("member"))]);
    let policy = audience(vec!["exp".to_owned(), "role".to_owned()], Vec::new());
    let (payload, _) = written(&session("alice", Vec::new(), None, custom), &policy);
    assert_eq!(payload.matches("\"exp\"").count(), 1, "{payload}");
    assert!(payload.ends_with(r#","role":"member"}"#), "{payload}");
}

#[test]
fn the_longest_claims_are_left_out_until_the_token_fits() {
    let long = |length: usize| json!("é\"".repeat(length / 4));
    let custom = Claims::from([
        ("a\\\":b".to_owned(), long(1_500)),
        ("b".to_owned(), long(400)),
        ("c".to_owned(), long(1_200)),
        ("d".to_owned(), json!(1)),
        ("e".to_owned(), long(2_800)),
    ]);
    let policy = audience(custom.keys().cloned().collect(), Vec::new());
    let session = session("alice", Vec::new(), None, custom);
    let (payload, left_out) = written(&session, &policy);
    assert_eq!(left_out, ["e", "a\\\":b"]);
    assert_eq!(payload, serde_json::to_string(&claims(&session, &policy, &left_out)).unwrap());
    assert!(encoded_length(payload.len(), Algorithm::Es256) <= MAX_TOKEN_LENGTH);
}
