//! How Postgres goes about the statements that must stay fast among millions of rows: by which index, and past how many rows.

use std::time::Duration;

use ephemint::{
    clock::{Clock as _, SystemClock},
    storage::queries::{self, Query},
};
use serde_json::Value;
use tokio_postgres::SimpleQueryMessage;

use crate::support::{app::rfc3339, database::TestDatabase, rows::Rows};

/// What a plan did with the table of sessions.
#[derive(Debug, Default)]
struct Scans {
    indexes: Vec<String>,
    sequential: bool,
    rows: u64,
}

/// Runs a statement the way the service does, without looking at its parameters for the plan, and tells what it took.
async fn plan(client: &tokio_postgres::Client, query: &Query, parameters: &str) -> Scans {
    client.batch_execute(&format!("PREPARE planned AS {}", query.text)).await.unwrap();
    let explain =
        format!("BEGIN; EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE planned ({parameters}); ROLLBACK; DEALLOCATE planned");
    let messages = client.simple_query(&explain).await.unwrap_or_else(|error| panic!("{}: {error:?}", query.name));
    let text: String = messages
        .iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        })
        .collect();
    let mut scans = Scans::default();
    walk(&serde_json::from_str::<Value>(&text).unwrap()[0]["Plan"], &mut scans);
    scans
}

fn walk(node: &Value, scans: &mut Scans) {
    if node["Relation Name"] == "session" && node["Node Type"].as_str().unwrap().ends_with("Scan") {
        scans.sequential |= node["Node Type"] == "Seq Scan";
        scans.indexes.extend(node["Index Name"].as_str().map(str::to_owned));
        let filtered = node["Rows Removed by Filter"].as_f64().unwrap_or(0.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of rows")]
        let rows = ((node["Actual Rows"].as_f64().unwrap() + filtered) * node["Actual Loops"].as_f64().unwrap()) as u64;
        scans.rows += rows;
    }
    for below in node["Plans"].as_array().into_iter().flatten() {
        walk(below, scans);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stdout, reason = "the plans are for people to look at")]
async fn no_search_and_no_sweep_reads_more_rows_than_it_may_however_many_there_are() {
    let database = TestDatabase::migrated().await;
    let now = SystemClock::new().now();
    // A month of sessions: the last half day's may be alive, the first ones are due to be swept.
    let mut rows = Rows::of(120_000, now - Duration::from_hours(32 * 24));
    (rows.apart, rows.revoked) = (Duration::from_secs(23), "CASE WHEN i % 10 = 0 THEN t END");
    rows.store(&database).await;
    let client = database.client().await;
    client.batch_execute("ANALYZE session; SET plan_cache_mode = force_generic_plan").await.unwrap();
    let instant = |ago: Duration| format!("'{}'", rfc3339(now - ago));
    let at = format!("{}, {}", instant(Duration::ZERO), instant(Duration::from_mins(31)));
    let (lowest, highest) = ("'00000000-0000-0000-0000-000000000000'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'");
    // Nothing fits: the worst that can be asked.
    let nothing = format!("{at}, NULL, NULL, NULL, NULL, '192.0.2.1/32', NULL, NULL, 'otp', '{{active}}'");
    let month = instant(Duration::from_hours(30 * 24));
    for (query, parameters, index, most) in [
        (&queries::SESSION_SEARCH, format!("{nothing}, 5000, 51, {highest}, {lowest}"), "session_pkey", 5_000),
        (
            &queries::SESSION_SEARCH_BY_SUBJECT,
            format!("{nothing}, 1000, 51, {highest}, {lowest}, 'subject-7'"),
            "session_subject_idx",
            1_000,
        ),
        (
            &queries::SESSION_SEARCH_UNEXPIRED,
            format!("{nothing}, 1000, 1000, {}, {highest}", instant(Duration::ZERO)),
            "session_expires_at_idx",
            1_000,
        ),
        (&queries::SESSION_LIST_BY_IDS, format!("ARRAY[{lowest}, {highest}]::uuid[]"), "session_pkey", 2),
        // Found by one index, deleted by another.
        (&queries::SESSION_SWEEP_EXPIRED, format!("{month}, '1970-01-01', 500"), "session_expires_at_idx", 1_000),
        (&queries::SESSION_SWEEP_REVOKED, format!("{month}, '1970-01-01', 500"), "session_revoked_at_idx", 1_000),
    ] {
        let scans = plan(&client, query, &parameters).await;
        println!("{}: {scans:?}", query.name);
        assert!(!scans.sequential && scans.indexes.iter().any(|used| used == index), "{}: {scans:?}", query.name);
        assert!(scans.rows <= most, "{}: {scans:?}", query.name);
        assert!(scans.rows > 0 || query.name == "session/list_by_ids", "{}: {scans:?}", query.name);
    }
}

#[test]
fn every_search_applies_the_same_filter() {
    let filter = |query: &Query| {
        let (_, rest) = query.text.split_once("-- filter\n").unwrap();
        rest.split_once("-- end of filter").unwrap().0.to_owned()
    };
    let first = filter(&queries::SESSION_SEARCH);
    assert!(first.contains("$11") && first.len() > 500);
    for other in [&queries::SESSION_SEARCH_BY_SUBJECT, &queries::SESSION_SEARCH_UNEXPIRED] {
        assert_eq!(filter(other), first, "{}", other.name);
    }
}
