//! More sign-ins than can be hashed, and hashes that nobody should compute, at a real process: exchanges go on, memory stays
//! bounded, nobody hangs, and afterwards everything is as before.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use ephemint::clock::{Clock as _, SystemClock};
use futures_util::future::join_all;
use reqwest::{Client, Response, StatusCode};
use serde_json::json;
use tempfile::NamedTempFile;

use super::refusals::seen;
use crate::support::{
    answer::single,
    app::sample,
    database::TestDatabase,
    program::{Serving, config_file, run_with},
    visitor::{PASSWORD, set_cookie},
};

/// Sign-ins at the same time.
const FLOOD: usize = 200;
/// Exchanges that are timed, alone and beside the flood.
const EXCHANGES: usize = 300;
/// How much later one exchange in a hundred may be answered beside the flood than alone, on a machine that is busy anyway.
const LATER: Duration = Duration::from_millis(250);
/// Threads that hash, and what each may take.
const THREADS: u64 = 2;
const HASH_KIB: u64 = 19 * 1_024;
/// What 200 connections and requests, and the allocator, may take besides.
const MARGIN_KIB: u64 = 48 * 1_024;

/// A process with the account `alice`.
struct Stage {
    serving: Serving,
    database: TestDatabase,
    http: Client,
    _config: NamedTempFile,
}

impl Stage {
    async fn open() -> Self {
        let database = TestDatabase::migrated().await;
        let config = config_file(&database.url, &format!("password.hash_threads = {THREADS}\nlog.format = 'json'"));
        let added = run_with(config.path(), &["users", "add", "alice"], PASSWORD.as_bytes()).await;
        assert!(added.status.success(), "{added:?}");
        let serving = Serving::start(config.path()).await;
        let http = Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().unwrap();
        Self { serving, database, http, _config: config }
    }

    async fn login(&self, name: &str, network: usize) -> Response {
        let request = self.http.post(format!("http://{}/login", self.serving.public));
        let request = request.header("x-forwarded-for", format!("10.0.{}.{}", network / 256, network % 256));
        request.json(&json!({ "username": name, "password": PASSWORD })).send().await.unwrap()
    }

    /// How long one exchange takes; it must succeed.
    async fn exchange(&self, number: usize, cookie: &str) -> Duration {
        // In turns from memory, and with a question to the database.
        let audience = ["orders", "strict"][number % 2];
        let request = self.http.get(format!("http://{}/exchange/{audience}", self.serving.gateway));
        let clock = SystemClock::new();
        let began = clock.monotonic();
        let response = request.header("cookie", cookie).send().await.unwrap();
        let took = clock.monotonic().saturating_sub(began);
        assert_eq!(response.status(), StatusCode::OK, "exchange {number} at {audience}");
        took
    }

    async fn metrics(&self) -> String {
        let response = self.http.get(format!("http://{}/metrics", self.serving.admin)).send().await.unwrap();
        response.text().await.unwrap()
    }

    fn log(&self) -> String {
        self.serving.log.lock().unwrap().join("\n")
    }
}

/// The time that 99 of 100 did not exceed.
fn p99(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() * 99 / 100]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_sign_ins_stops_no_exchange() {
    let stage = Stage::open().await;
    let cookie = set_cookie(&stage.login("alice", 0).await);
    let mut alone = Vec::new();
    for number in 0..EXCHANGES {
        alone.push(stage.exchange(number, &cookie).await);
    }
    let (before, _) = stage.serving.memory_kib();

    let (done, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let flood = async {
        let mut answers = Vec::new();
        while done.load(Ordering::SeqCst) < EXCHANGES {
            let first = answers.len();
            let names: Vec<String> = (first..first + FLOOD).map(|number| format!("nobody-{number}")).collect();
            // A network of its own for each: nobody is refused for what others did.
            let attempts = names.iter().zip(first + 1..).map(|(name, network)| stage.login(name, network));
            answers.extend(join_all(attempts).await);
        }
        over.store(true, Ordering::SeqCst);
        answers
    };
    let exchanges = async {
        let mut beside = Vec::new();
        while !over.load(Ordering::SeqCst) {
            beside.push(stage.exchange(beside.len(), &cookie).await);
            done.fetch_add(1, Ordering::SeqCst);
        }
        beside
    };
    let (answers, mut beside) = tokio::join!(flood, exchanges);

    let mut counts = [0_usize; 2];
    for answer in &answers {
        match answer.status().as_u16() {
            401 => counts[0] += 1,
            503 => {
                assert_eq!(single(answer.headers(), "retry-after"), "1");
                counts[1] += 1;
            }
            other => panic!("a sign-in was answered with {other}"),
        }
    }
    assert!(counts.iter().all(|count| *count >= 30), "refused, and turned away: {counts:?}");
    let (alone, beside_p99) = (p99(&mut alone), p99(&mut beside));
    let (_, most) = stage.serving.memory_kib();
    let grown = most.saturating_sub(before);
    report(&format!(
        "exchange p99 alone {alone:?}, beside {} sign-ins {beside_p99:?} ({} exchanges), ratio {:.1}; memory grew by {grown} KiB",
        answers.len(),
        beside.len(),
        beside_p99.as_secs_f64() / alone.as_secs_f64()
    ));
    assert!(beside_p99 < alone + LATER, "{alone:?} alone, {beside_p99:?} beside the flood");
    assert!(grown <= THREADS * HASH_KIB + MARGIN_KIB, "{grown} KiB");

    let response = stage.login("alice", 0).await;
    assert!(set_cookie(&response) != cookie && response.status() == StatusCode::OK);
    let metrics = stage.metrics().await;
    assert!(sample(&metrics, "ephemint_password_hash_queue", &[]).abs() < f64::EPSILON, "everybody was served");
    assert!(sample(&metrics, "ephemint_logins_total", &["busy"]) >= 30.0);
    assert!(!stage.log().contains("panicked"));
}

#[expect(clippy::print_stdout, reason = "figures that people compare, shown with --nocapture")]
fn report(figures: &str) {
    println!("{figures}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stored_hash_that_should_not_be_computed_is_a_refusal_like_any_other() {
    let stage = Stage::open().await;
    let unknown = seen(stage.login("nobody", 1).await).await;
    assert_eq!(unknown.0, StatusCode::UNAUTHORIZED);
    let (before, _) = stage.serving.memory_kib();
    let tail = "AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let hashes = [
        String::new(),
        "*".to_owned(),
        PASSWORD.to_owned(),
        "$2b$12$abcdefghijklmnopqrstuuJ8s5h1N0ZfTqZ8bYk9rT7mXk0y3bD7e".to_owned(),
        format!("$argon2i$v=19$m=19456,t=2,p=1${tail}"),
        format!("$rot13$v=19$m=19456,t=2,p=1${tail}"),
        format!("$argon2id$v=19$m=4194304,t=2,p=1${tail}"),
        format!("$argon2id$v=19$m=4294967295,t=4294967295,p=16777215${tail}"),
        format!("$argon2id$v=19$m=19456,t=4294967295,p=1${tail}"),
        format!("$argon2id$v=19$m=19456,t=2,p=1${}", &tail[..40]),
        "x".repeat(1_000_000),
    ];
    for (number, hash) in hashes.iter().enumerate() {
        let sql = "UPDATE account SET password_hash = $1";
        assert_eq!(stage.database.client().await.execute(sql, &[hash]).await.unwrap(), 1);
        let shown = &hash[..hash.len().min(60)];
        // The right password, from a network of its own each time.
        assert_eq!(seen(stage.login("alice", 2 + number).await).await, unknown, "{shown}");
    }
    let (_, most) = stage.serving.memory_kib();
    let grown = most.saturating_sub(before);
    assert!(grown <= THREADS * HASH_KIB + MARGIN_KIB, "{grown} KiB");
    let log = stage.log();
    assert_eq!(log.matches("\"reason\":\"unusable_hash\"").count(), hashes.len(), "each is told to the operator");
    assert!(!log.contains("panicked") && !log.contains("argon2id"));
}
