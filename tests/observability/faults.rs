//! Every fault is caused, each on an installation of its own: its alert fires, and no other. The installations run side by side under
//! one Prometheus, as jobs of different names.
//!
//! Windows and durations are shortened here, so this shows that the expressions see the faults; `rules` shows their times. The
//! slower burn rates need days and are judged there alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use ephemint::clock::{Clock as _, ManualClock, SystemClock};
use futures_util::future::join_all;

use crate::{
    load::{Doing, Replica, keep_doing},
    prometheus::{LOAD, Prometheus, RULES, Target, quick_rules, rule_file},
    support::{
        app::TestApp,
        database::{TestDatabase, eventually},
        proxy::DatabaseProxy,
    },
};

const QUICKLY: &str = "[database]\nquery_timeout = '1s'\nconnect_timeout = '500ms'\nwait_timeout = '500ms'\n";
const UNTHROTTLED: &str =
    "login.free_failures = 100\nlogin.network_free_failures = 10000\nlogin.longest_delay = '0s'\n";
const PATIENCE: Duration = Duration::from_secs(60);

/// What is slow because the machine of the tests is, too: these may fire anywhere. Their silence is proved in `rules`.
const BUSY_MACHINE: [&str; 2] = ["EphemintExchangeLatencyBudgetBurn", "EphemintDatabaseConnectionsScarce"];

/// An installation with a fault.
struct Broken {
    job: &'static str,
    /// What must fire.
    fires: &'static [&'static str],
    /// What may fire as well, because the same fault is one of those, too.
    may_fire: &'static [&'static str],
    address: String,
    replica: Option<Arc<Replica>>,
    doing: Vec<Doing>,
    _kept: Kept,
}

/// What a fault needs to go on.
#[derive(Default)]
struct Kept {
    _proxy: Option<DatabaseProxy>,
    _lock: Option<tokio_postgres::Client>,
    _app: Option<TestApp>,
}

impl Broken {
    fn new(job: &'static str, fires: &'static [&'static str], replica: Replica) -> Self {
        let replica = Arc::new(replica);
        // Everybody has some traffic from memory, which is how it should be.
        let traffic = exchanging(&replica, "orders", 1);
        let address = replica.serving.admin.clone();
        Self {
            job,
            fires,
            may_fire: &[],
            address,
            replica: Some(replica),
            doing: vec![traffic],
            _kept: Kept::default(),
        }
    }

    fn replica(&self) -> &Arc<Replica> {
        self.replica.as_ref().unwrap()
    }

    fn doing(mut self, doing: impl IntoIterator<Item = Doing>) -> Self {
        self.doing.extend(doing);
        self
    }

    fn keeping(self, kept: Kept) -> Self {
        Self { _kept: kept, ..self }
    }

    fn which_may_mean(self, may_fire: &'static [&'static str]) -> Self {
        Self { may_fire, ..self }
    }
}

/// A session that is exchanged over and over, by so many at once.
fn exchanging(replica: &Arc<Replica>, audience: &'static str, at_once: usize) -> Doing {
    let replica = Arc::clone(replica);
    let held = Arc::new(tokio::sync::Mutex::new(None));
    keep_doing(Duration::from_millis(40), move |_| {
        let (replica, held) = (Arc::clone(&replica), Arc::clone(&held));
        async move {
            let mut held = held.lock().await;
            if held.is_none() {
                *held = replica.session("alice").await?;
            }
            let Some(session) = held.clone() else { return Ok(()) };
            join_all((0..at_once).map(|_| replica.exchange(audience, &session.token))).await;
            Ok(())
        }
    })
}

async fn well() -> Broken {
    let database = TestDatabase::migrated().await;
    let replica = Replica::start(&database.url, "exchange.canary_interval = '1s'").await;
    Broken::new("ephemint-well", &[], replica)
}

async fn killed() -> Broken {
    let database = TestDatabase::migrated().await;
    let replica = Replica::start(&database.url, "").await;
    replica.serving.signal(nix::sys::signal::Signal::SIGKILL);
    Broken::new("ephemint-killed", &["EphemintDown"], replica)
}

async fn without_database() -> Broken {
    let (database, proxy) = (TestDatabase::migrated().await, DatabaseProxy::open().await);
    let replica = Replica::start(&proxy.url(&database.name), QUICKLY).await;
    let alerts: &[&str] = &[
        "EphemintExchangeErrorBudgetBurn",
        "EphemintRevocationsNotFollowed",
        "EphemintSigningKeysStuck",
        "EphemintBackgroundTaskFailing",
    ];
    let broken = Broken::new("ephemint-cut", alerts, replica);
    eventually("a session", async || broken.replica().session("alice").await.ok().flatten()).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    proxy.close();
    broken.keeping(Kept { _proxy: Some(proxy), ..Kept::default() })
}

async fn slow() -> Broken {
    let (database, proxy) = (TestDatabase::migrated().await, DatabaseProxy::open().await);
    let replica = Replica::start(&proxy.url(&database.name), "").await;
    proxy.delay(Duration::from_millis(40));
    let broken = Broken::new("ephemint-slow", &["EphemintExchangeLatencyBudgetBurn"], replica);
    let strict = exchanging(broken.replica(), "strict", 2);
    broken.doing([strict]).keeping(Kept { _proxy: Some(proxy), ..Kept::default() })
}

async fn crowded() -> Broken {
    let (database, proxy) = (TestDatabase::migrated().await, DatabaseProxy::open().await);
    let replica =
        Replica::start(&proxy.url(&database.name), "database.pool_size = 1\ndatabase.wait_timeout = '5s'").await;
    proxy.delay(Duration::from_millis(40));
    let broken = Broken::new("ephemint-crowded", &["EphemintDatabaseConnectionsScarce"], replica);
    let strict: Vec<_> = (0..6).map(|_| exchanging(broken.replica(), "strict", 2)).collect();
    broken
        .doing(strict)
        .which_may_mean(&["EphemintExchangeErrorBudgetBurn"])
        .keeping(Kept { _proxy: Some(proxy), ..Kept::default() })
}

async fn deaf() -> Broken {
    let database = TestDatabase::migrated().await;
    let replica = Replica::start(&database.url, "exchange.canary_interval = '1s'").await;
    // Whoever disables a trigger takes the replicas' ears away.
    database.execute("ALTER TABLE session DISABLE TRIGGER session_changed").await;
    // The canary is one of the background tasks, and says why.
    Broken::new("ephemint-deaf", &["EphemintRevocationPromiseBroken", "EphemintBackgroundTaskFailing"], replica)
        // What was overdue is part of the measured times.
        .which_may_mean(&["EphemintRevocationsSlow"])
}

async fn late() -> Broken {
    let (database, proxy) = (TestDatabase::migrated().await, DatabaseProxy::open().await);
    let patient = "exchange.max_staleness = '20s'\nexchange.canary_interval = '1s'\n[database]\nquery_timeout = '10s'\nwait_timeout = '10s'\nconnect_timeout = '10s'";
    let replica = Replica::start(&proxy.url(&database.name), patient).await;
    let broken = Broken::new("ephemint-late", &["EphemintRevocationsSlow"], replica);
    // Its session is in memory before everything takes long.
    tokio::time::sleep(Duration::from_millis(500)).await;
    proxy.delay(Duration::from_millis(1_300));
    broken.keeping(Kept { _proxy: Some(proxy), ..Kept::default() })
}

async fn keyless() -> Broken {
    let database = TestDatabase::migrated().await;
    let replica = Replica::start(&database.url, QUICKLY).await;
    let lock = database.client().await;
    lock.batch_execute("BEGIN; LOCK TABLE signing_key IN ACCESS EXCLUSIVE MODE").await.unwrap();
    Broken::new("ephemint-keyless", &["EphemintSigningKeysStuck"], replica)
        // Where it takes long to notice, tokens run out.
        .which_may_mean(&["EphemintExchangeErrorBudgetBurn"])
        .keeping(Kept { _lock: Some(lock), ..Kept::default() })
}

async fn skewed() -> Broken {
    let clock = Arc::new(ManualClock::at(SystemClock::new().now() + Duration::from_secs(60)));
    let database = TestDatabase::migrated().await;
    let url = database.url.clone();
    let app = TestApp::spawn_at(clock, database, &url, "").await;
    Broken {
        job: "ephemint-skewed",
        fires: &["EphemintClockSkew"],
        may_fire: &[],
        address: app.addresses.admin.to_string(),
        replica: None,
        doing: Vec::new(),
        _kept: Kept { _app: Some(app), ..Kept::default() },
    }
}

async fn busy() -> Broken {
    let database = TestDatabase::migrated().await;
    let more = format!("{UNTHROTTLED}password.hash_threads = 1\npassword.hash_queue = 1\n");
    let broken = Broken::new(
        "ephemint-busy",
        &["EphemintPasswordHashingOverloaded"],
        Replica::start(&database.url, &more).await,
    );
    broken.replica().given_account("alice").await;
    let replica = Arc::clone(broken.replica());
    let crowd = keep_doing(Duration::from_millis(100), move |_| {
        let replica = Arc::clone(&replica);
        async move {
            join_all((0..6).map(|_| replica.sign_in("alice", crate::support::visitor::PASSWORD))).await;
            Ok(())
        }
    });
    broken.doing([crowd])
}

async fn guessed() -> Broken {
    let database = TestDatabase::migrated().await;
    let broken = Broken::new(
        "ephemint-guessed",
        &["EphemintPasswordsGuessed"],
        Replica::start(&database.url, UNTHROTTLED).await,
    );
    let replica = Arc::clone(broken.replica());
    let guesser = keep_doing(Duration::from_millis(50), move |round| {
        let replica = Arc::clone(&replica);
        async move { replica.sign_in(&format!("user{round}"), "correct horse battery staple").await.map(drop) }
    });
    broken.doing([guesser])
}

async fn stolen() -> Broken {
    let database = TestDatabase::migrated().await;
    let broken = Broken::new(
        "ephemint-stolen",
        &["EphemintSessionTokensReused"],
        Replica::start(&database.url, "session.renewal_grace = '0s'").await,
    );
    let replica = Arc::clone(broken.replica());
    let thief = keep_doing(Duration::from_millis(50), move |_| {
        let replica = Arc::clone(&replica);
        async move {
            let Some(session) = replica.session("mallory").await? else { return Ok(()) };
            replica.reuse(&session).await
        }
    });
    broken.doing([thief])
}

async fn untold() -> Broken {
    let database = TestDatabase::migrated().await;
    // Nobody listens on the discard port.
    let more = "session.renewal_grace = '0s'\n[hooks]\nurl = 'http://127.0.0.1:9/'\nmax_attempts = 1\nsecret = 'whsec_dGVzdC10ZXN0LXRlc3QtdGVzdC10ZXN0LXRlc3QtMTI='";
    let broken = Broken::new("ephemint-untold", &["EphemintWebhookFailing"], Replica::start(&database.url, more).await);
    let replica = Arc::clone(broken.replica());
    let thief = keep_doing(Duration::from_secs(3), move |_| {
        let replica = Arc::clone(&replica);
        async move {
            let Some(session) = replica.session("mallory").await? else { return Ok(()) };
            replica.reuse(&session).await
        }
    });
    broken.doing([thief])
}

/// Adds what fires now: by job, the names of alerts. The slower burn rates are left out, and those that belong to no job.
async fn note(prometheus: &Prometheus, fired: &mut BTreeMap<String, BTreeSet<String>>) {
    for labels in prometheus.firing().await {
        let label = |name: &str| labels[name].as_str().unwrap_or_default().to_owned();
        if ["", "1h"].contains(&label("window").as_str()) {
            fired.entry(label("job")).or_default().insert(label("alertname"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_alert_fires_for_its_fault_and_no_other_does() {
    let _alone = LOAD.lock().await;
    let (well, killed, cut, slow, crowded, deaf, late) =
        tokio::join!(well(), killed(), without_database(), slow(), crowded(), deaf(), late());
    let (keyless, skewed, busy, guessed, stolen, untold) =
        tokio::join!(keyless(), skewed(), busy(), guessed(), stolen(), untold());
    let all = [well, killed, cut, slow, crowded, deaf, late, keyless, skewed, busy, guessed, stolen, untold];
    let targets: Vec<_> = all.iter().map(|broken| Target::new(broken.job, &broken.address)).collect();
    let prometheus = Prometheus::start(&targets, &quick_rules()).await;

    let answering = all.len() - 1;
    eventually("everybody but the killed one was scraped", async || {
        let up = prometheus.query("count(up == 1)").await.unwrap();
        // Before the first scrape there is nobody.
        let nobody = prometheus.firing().await.iter().any(|labels| labels["alertname"] == "EphemintAllDown");
        (!nobody && up.iter().any(|(_, count)| format!("{count}") == answering.to_string())).then_some(())
    })
    .await;

    let mut fired = BTreeMap::new();
    let missing = |fired: &BTreeMap<String, BTreeSet<String>>| -> Vec<_> {
        let lacks = |job: &str, alert: &str| !fired.get(job).is_some_and(|alerts| alerts.contains(alert));
        let wanted = all.iter().flat_map(|broken| broken.fires.iter().map(|alert| (broken.job, *alert)));
        wanted.filter(|(job, alert)| lacks(job, alert)).collect()
    };
    let watching = async {
        while !missing(&fired).is_empty() {
            note(&prometheus, &mut fired).await;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    };
    let _ = tokio::time::timeout(PATIENCE, watching).await;
    assert_eq!(missing(&fired), [], "{fired:#?}");
    for broken in &all {
        let mays = [broken.fires, broken.may_fire, &BUSY_MACHINE];
        let silent = |alert: &&String| !mays.iter().any(|mays| mays.contains(&alert.as_str()));
        let besides: Vec<_> = fired.get(broken.job).into_iter().flatten().filter(silent).collect();
        assert!(besides.is_empty(), "{}: {besides:?}", broken.job);
    }

    // While anybody answers, not everybody is down.
    assert!(!fired.values().flatten().any(|alert| alert == "EphemintAllDown"), "{fired:#?}");
    drop(all.map(|broken| (broken.doing, broken.replica, broken._kept)));
    eventually("all are down", async || {
        note(&prometheus, &mut fired).await;
        fired.get("").is_some_and(|alerts| alerts.contains("EphemintAllDown")).then_some(())
    })
    .await;
    let every: BTreeSet<_> = fired.into_values().flatten().collect();
    for line in RULES.iter().map(|name| rule_file(name)).collect::<String>().lines() {
        if let Some(name) = line.trim().strip_prefix("- alert: ") {
            assert!(every.contains(name), "no fault was caused for {name}");
        }
    }
}
