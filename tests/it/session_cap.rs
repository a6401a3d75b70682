//! The most sessions that a subject may have: the oldest give way, however many start at once and wherever.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;

use crate::support::{
    app::{Started, TestApp, sample},
    browser::{AT_HOME, held, record},
    database::TestDatabase,
    visitor::{PASSWORD, UNTHROTTLED, set_cookie},
};

const LIVE: &str = "SELECT count(*) FROM session WHERE revoked_at IS NULL AND subject = 'alice'";

async fn alive(app: &TestApp, sessions: &[Started]) -> Vec<bool> {
    let mut alive = Vec::new();
    for session in sessions {
        alive.push(app.exchange(&session.cookie()).await.status().is_success());
    }
    alive
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_oldest_session_gives_way_to_a_new_one() {
    let app = TestApp::spawn_with("session.max_per_subject = 3").await;
    let bob = app.given_session("bob").await;
    let mut sessions = Vec::new();
    for _ in 0..5 {
        app.advance(Duration::from_secs(1)).await;
        sessions.push(app.given_session("alice").await);
    }
    assert_eq!(alive(&app, &sessions).await, [false, false, true, true, true]);
    app.advance(Duration::from_secs(1)).await;
    sessions.push(held(&AT_HOME.sign_in(&app, "alice", None).await));
    assert_eq!(alive(&app, &sessions).await, [false, false, false, true, true, true], "a sign-in is no exception");
    assert_eq!(alive(&app, &[bob]).await, [true], "nobody else's sessions count");
    assert_eq!(record(&app, &sessions[0].id).await["status"], "revoked");
    assert_eq!(app.database.count("SELECT count(*) FROM session WHERE revoke_reason = 'limit'").await, 3);
    let metrics = app.metrics().await;
    let ended = sample(&metrics, "ephemint_sessions_ended_total", &["reason=\"limit\""]);
    let started = sample(&metrics, "ephemint_sessions_started_total", &["method=\"password\""]);
    assert!((ended - 3.0).abs() < f64::EPSILON && (started - 1.0).abs() < f64::EPSILON, "{ended} {started}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_live_sessions_count_and_a_step_up_ends_none() {
    let app = TestApp::spawn_with("session.max_per_subject = 2\nsession.idle_timeout = '10m'").await;
    let idle = app.given_session("alice").await;
    app.advance(Duration::from_secs(700)).await;
    let revoked = app.given_session("alice").await;
    app.admin(Method::DELETE, &format!("/admin/sessions/{}", revoked.id)).send().await.unwrap();
    app.advance(Duration::from_secs(1)).await;
    let first = held(&AT_HOME.sign_in(&app, "alice", None).await);
    app.advance(Duration::from_secs(1)).await;
    let second = held(&AT_HOME.sign_in(&app, "alice", None).await);
    let stepped_up = held(&AT_HOME.sign_in(&app, "alice", Some(&first.token)).await);
    assert_eq!(alive(&app, &[idle, revoked, first, stepped_up, second]).await, [false, false, false, true, true]);
    assert_eq!(app.database.count("SELECT count(*) FROM session WHERE revoke_reason = 'limit'").await, 0);
    // Another subject's sessions, all ended at once, count no more either.
    for _ in 0..2 {
        app.given_session("bob").await;
    }
    app.admin(Method::DELETE, "/admin/sessions?subject=bob").send().await.unwrap();
    app.given_session("bob").await;
    assert_eq!(app.database.count("SELECT count(*) FROM session WHERE revoke_reason = 'limit'").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_parallel_starts_on_two_replicas_never_exceed_the_limit() {
    let database = TestDatabase::migrated().await;
    let url = database.url.clone();
    let more = "session.max_per_subject = 5\n[database]\nwait_timeout = '20s'\nquery_timeout = '20s'";
    let first = TestApp::spawn_on(database.clone(), &url, more).await;
    let second = TestApp::spawn_at(first.clock.clone(), database, &url, more).await;
    let starts = (0..200_usize).map(|number| {
        let app = if number % 2 == 0 { &first } else { &second };
        async move {
            match number % 4 {
                0 | 1 => held(&AT_HOME.sign_in(app, "alice", None).await),
                _ => app.given(json!({ "subject": "alice" })).await,
            }
        }
    });
    let looks = async {
        let mut most = 0;
        for _ in 0..50 {
            most = most.max(first.database.count(LIVE).await);
        }
        most
    };
    let (started, most) = tokio::join!(join_all(starts), looks);
    assert_eq!(started.len(), 200);
    assert!((1..=5).contains(&most), "{most}");
    assert_eq!(first.database.count(LIVE).await, 5);
    let alive = alive(&second, &started).await;
    assert_eq!(alive.iter().filter(|alive| **alive).count(), 5);
    let ended = "SELECT count(*) FROM session WHERE revoke_reason = 'limit'";
    assert_eq!(first.database.count(ended).await, 195);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_sign_ins_by_password_never_exceed_the_limit() {
    let more = "session.max_per_subject = 3\npassword.hash_threads = 2\npassword.hash_queue = 100\n\
                [database]\nwait_timeout = '20s'\nquery_timeout = '20s'";
    let app = TestApp::spawn_with(&format!("{UNTHROTTLED}{more}")).await;
    let names = ["alice", "bob"];
    for name in names {
        app.given_account(name).await;
    }
    let sign_ins = (0..40_usize).map(|number| {
        let (app, name) = (&app, names[number % 2]);
        async move {
            if number % 4 < 2 {
                return app.sign_in(name, "").await;
            }
            let body = json!({ "username": name, "password": PASSWORD });
            set_cookie(&app.public(Method::POST, "/login").json(&body).send().await.unwrap())
        }
    });
    let over = AtomicBool::new(false);
    let sign_ins = async {
        let cookies = join_all(sign_ins).await;
        over.store(true, Ordering::SeqCst);
        cookies
    };
    let looks = async {
        let sql = "SELECT coalesce(max(live), 0) FROM
                   (SELECT count(*) AS live FROM session WHERE revoked_at IS NULL GROUP BY subject) AS each_subject";
        let mut most = 0;
        while !over.load(Ordering::SeqCst) {
            most = most.max(app.database.count(sql).await);
        }
        most
    };
    let (cookies, most) = tokio::join!(sign_ins, looks);
    assert!((1..=3).contains(&most), "{most}");
    let mut live = [0; 2];
    for (number, cookie) in cookies.iter().enumerate() {
        live[number % 2] += usize::from(app.exchange(cookie).await.status().is_success());
    }
    assert_eq!(live, [3, 3]);
    assert_eq!(app.database.count("SELECT count(*) FROM session WHERE revoke_reason = 'limit'").await, 34);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_for_one_subject_leaves_connections_for_everybody_else() {
    let app =
        TestApp::spawn_with("[database]\noperations_pool_size = 2\nwait_timeout = '100ms'\nquery_timeout = '20s'")
            .await;
    let bob = app.given_session("bob").await;
    let holder = app.database.client().await;
    let key = "hashtextextended('alice', 7301993201834102)";
    holder.batch_execute(&format!("SELECT pg_advisory_lock({key})")).await.unwrap();
    let burst = (0..50).map(|_| AT_HOME.sign_in(&app, "alice", None));
    let meanwhile = async {
        app.database.blocked("session/lock_subject").await;
        for _ in 0..5 {
            app.given_session("carol").await;
        }
        let path = format!("/admin/sessions/{}", bob.id);
        assert_eq!(app.admin(Method::DELETE, &path).send().await.unwrap().status(), 200);
        holder.batch_execute(&format!("SELECT pg_advisory_unlock({key})")).await.unwrap();
    };
    let (signed_in, ()) = tokio::join!(join_all(burst), meanwhile);
    assert_eq!(signed_in.len(), 50);
    assert_eq!(app.database.count(LIVE).await, 50);
}
