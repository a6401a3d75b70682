//! The parts of an exchange one by one, in this process: `cargo bench --bench parts`.
//!
//! What `make bench` measures as a whole is mostly the kernel's and the server library's; these are the parts that are ours.

use std::{hint::black_box, time::Duration};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ephemint::{
    clock::{Clock as _, SystemClock},
    crypto::{
        master_key::{MasterKey, Vault},
        signing_key::SigningKey,
    },
    domain::{
        access_token::AccessTokenClaims,
        audience::{Algorithm, TokenType},
        cookie_header,
        instant::unix_microseconds,
        session::{IdleRule, Session, SessionId, SessionStatus},
        session_token::{SessionToken, SessionTokenDigest},
        subject::Subject,
    },
    service::{
        freshness::Freshness,
        session_cache::{CachedSession, SessionCache},
        token_cache::{ReusableToken, TokenCache, TokenFor},
    },
};
use serde_json::json;

const NAME: &[u8] = b"__Host-session";
const SESSIONS: usize = 10_000;
const MINUTE: Duration = Duration::from_mins(1);

fn or_abort<T, E>(result: Result<T, E>) -> T {
    // A bench that cannot be set up has nothing to say.
    result.unwrap_or_else(|_| std::process::abort())
}

fn vault() -> Vault {
    or_abort(Vault::new(MasterKey::from([7; 32]), Vec::new()))
}

fn claims(clock: &SystemClock) -> AccessTokenClaims {
    let now = clock.now();
    AccessTokenClaims {
        iss: "https://app.example.com".to_owned(),
        sub: or_abort(Subject::parse("user-4711")),
        aud: or_abort("orders".to_owned().try_into()),
        iat: now.unix_timestamp() - 5,
        exp: now.unix_timestamp() + 60,
        jti: "AAAAAAAAAAAAAAAAAAAAAA".to_owned(),
        sid: or_abort(SessionId::generate(now)),
        auth_time: now.unix_timestamp(),
        amr: vec!["pwd".to_owned()],
        acr: None,
        scope: None,
        client_id: None,
        custom: [("role".to_owned(), json!("member"))].into(),
    }
}

fn session(clock: &SystemClock) -> Session {
    let now = clock.now();
    Session {
        id: or_abort(SessionId::generate(now)),
        subject: or_abort(Subject::parse("user-4711")),
        created_at: now,
        auth_time: now,
        last_seen_at: now,
        expires_at: now + 600 * MINUTE,
        revoked_at: None,
        superseded: false,
        subject_disabled: false,
        amr: vec!["pwd".to_owned()],
        acr: None,
        claims: [("role".to_owned(), json!("member"))].into(),
        device: None,
        ip: None,
        user_agent: None,
        network: None,
        reauthenticate_since: None,
    }
}

fn cookie(criterion: &mut Criterion) {
    let token = or_abort(SessionToken::generate()).expose();
    let alone = format!("__Host-session={token}");
    let among = format!("_ga=GA1.1.1234567890.1234567890; theme=dark; {alone}; consent=%7B%22all%22%3Atrue%7D");
    let mut group = criterion.benchmark_group("cookie");
    for (name, line) in [("alone", &alone), ("among_others", &among)] {
        group.throughput(Throughput::Bytes(line.len() as u64));
        group.bench_function(format!("find/{name}"), |bencher| {
            bencher.iter(|| cookie_header::find(black_box([line.as_bytes()]), NAME));
        });
        group.bench_function(format!("without/{name}"), |bencher| {
            bencher.iter(|| cookie_header::without(black_box([line.as_bytes()]), NAME));
        });
    }
    group.finish();
}

fn digest(criterion: &mut Criterion) {
    let (vault, text) = (vault(), or_abort(SessionToken::generate()).expose());
    criterion.bench_function("digest/parse", |bencher| {
        bencher.iter(|| or_abort(SessionToken::parse(black_box(text.as_bytes()))));
    });
    let token = or_abort(SessionToken::generate());
    criterion.bench_function("digest/hmac", |bencher| bencher.iter(|| vault.session_token_digest(black_box(&token))));
}

fn hit(criterion: &mut Criterion) {
    let (vault, clock) = (vault(), SystemClock::new());
    let freshness = Freshness::new(600 * MINUTE, 600 * MINUTE);
    freshness.renew(clock.monotonic());
    let sessions = SessionCache::new(64 << 20);
    let tokens = TokenCache::new(64 << 20);
    let key = or_abort(SigningKey::generate(Algorithm::EdDsa)).key;
    let idle = IdleRule { timeout: 30 * MINUTE, granularity: MINUTE };
    let claims = claims(&clock);
    let known: Vec<SessionTokenDigest> = (0..SESSIONS)
        .map(|_| {
            let digest = vault.session_token_digest(&or_abort(SessionToken::generate()));
            let read = CachedSession::new(session(&clock), freshness.generation(), clock.monotonic());
            let cached = sessions.take(digest, read);
            let whom = TokenFor { state: cached.state(), audience: 0 };
            let until = clock.monotonic() + 600 * MINUTE;
            let reusable = || {
                let token = or_abort(key.sign(&claims, TokenType::Jwt));
                Ok::<_, ()>(ReusableToken::new(token, until, i64::MAX))
            };
            or_abort(tokens.get_or_sign(whom, key.kid(), Duration::ZERO, 0, reusable));
            digest
        })
        .collect();
    let mut next = (0..SESSIONS).cycle();
    criterion.bench_function("hit/session", |bencher| {
        bencher.iter(|| {
            let (now, monotonic) = (clock.now(), clock.monotonic());
            let cached = next.next().and_then(|place| sessions.get(&known[place]));
            cached.filter(|cached| {
                freshness.trusted(monotonic)
                    && cached.holds(&freshness, monotonic)
                    && cached.status(unix_microseconds(now), idle) == SessionStatus::Active
            })
        });
    });
    let states: Vec<u64> = known.iter().filter_map(|digest| Some(sessions.get(digest)?.state())).collect();
    let mut next = states.iter().cycle();
    criterion.bench_function("hit/token", |bencher| {
        bencher.iter(|| {
            let whom = TokenFor { state: next.next().copied().unwrap_or_default(), audience: 0 };
            tokens.get(whom, key.kid(), clock.monotonic(), 0)
        });
    });
}

fn sign(criterion: &mut Criterion) {
    let clock = SystemClock::new();
    let claims = claims(&clock);
    for algorithm in [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256] {
        let key = or_abort(SigningKey::generate(algorithm)).key;
        criterion.bench_function(&format!("sign/{algorithm}"), |bencher| {
            bencher.iter(|| or_abort(key.sign(black_box(&claims), TokenType::Jwt)));
        });
    }
}

criterion_group!(parts, cookie, digest, hit, sign);
criterion_main!(parts);
