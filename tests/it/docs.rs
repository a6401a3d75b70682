//! The reference pages say what the code says. `EPHEMINT_UPDATE_DOCS=1 cargo test --test it docs` writes them anew.

use std::{fmt::Write as _, fs, path::Path, time::Duration};

use ephemint::{
    config::{Config, DefaultValue, settings},
    http::problem,
    telemetry::metrics,
};

use crate::support::app::settings as settings_of_a_test;

#[test]
fn the_settings_page_is_the_table_of_settings() {
    let mut page = String::from(
        "# Settings\n\n<!-- Written from the code; see tests/it/docs.rs. -->\n\n\
         A TOML file (`--config FILE` or `EPHEMINT_CONFIG`), overridden by environment variables: `session.idle_timeout` is\n\
         `EPHEMINT__SESSION__IDLE_TIMEOUT`. `EPHEMINT_DATABASE_URL` is short for `EPHEMINT__DATABASE__URL`. A secret can be read from a\n\
         file: `EPHEMINT__SECRETS__MASTER_KEY__FILE=/run/secrets/master_key`. Tables are written inline in a variable:\n\
         `EPHEMINT__AUDIENCE='[{name=\"orders\"}]'`.\n\n\
         Durations have a unit (`500ms`, `30s`, `12h`, `30d`), sizes as well (`16KiB`). An unknown key, a value that is not allowed or\n\
         an unsafe combination stops the start, and every fault is named at once. `ephemint config check` does only that;\n\
         `ephemint config show` prints what is in effect and where it comes from.\n",
    );
    let mut section = "";
    for setting in settings() {
        if setting.section() != section {
            section = setting.section();
            let title = if section == "audience" { "[[audience]]".to_owned() } else { format!("[{section}]") };
            let _ =
                write!(page, "\n## `{title}`\n\n| key | default | allowed | what for |\n| --- | --- | --- | --- |\n");
        }
        let name = setting.key.split_once('.').map_or(setting.key, |(_, name)| name);
        let default = match setting.default {
            DefaultValue::Written(text) => format!("`{text}`"),
            other => other.to_string(),
        };
        let secret = if setting.secret { " (secret)" } else { "" };
        let cells = [default, setting.allowed.to_owned(), format!("{}{secret}", setting.description)];
        let cells = cells.map(|cell| cell.replace('|', "\\|"));
        let _ = writeln!(page, "| `{name}` | {} | {} | {} |", cells[0], cells[1], cells[2]);
    }
    same_as("docs/settings.md", &page);
}

#[test]
fn the_metrics_page_is_the_table_of_metrics() {
    let mut page = String::from(
        "# Metrics\n\n<!-- Written from the code; see tests/it/docs.rs. -->\n\n\
         `GET /metrics` on the admin listener, in the Prometheus text format, with the usual `process_*` figures. Labels are closed sets:\n\
         route patterns, reasons, statement names, never ids.\n\n\
         | metric | kind | labels | meaning |\n| --- | --- | --- | --- |\n",
    );
    for row in metrics::TABLE {
        let labels = if row.labels.is_empty() { "-".to_owned() } else { row.labels.join(", ") };
        let _ = writeln!(page, "| `{}` | {} | {labels} | {} |", row.name, row.kind, row.help.trim());
    }
    page.push_str(
        "\n`exchanges_total` has these outcomes: `issued`; `no_session_token`, `conflicting_session_tokens`, `malformed_session_token`,\n\
         `unknown_session`, `session_token_replaced`, `session_revoked`, `subject_disabled`, `session_expired`, `session_idle`,\n\
         `reauthentication_needed` (all 401 and alike from outside);\n\
         `unknown_audience`, `audience_disabled`, `cross_site_write`, `step_up_required` (403); `timed_out`, `storage_unavailable`, `no_signing_key`,\n\
         `internal` (503). `source` is where the decision came from: `token_cache` (a token that was handed out before), `session_cache` (the session\n\
         from memory, the token signed anew), `database`, or `none` where nothing was looked up.\n\n\
         `sessions_ended_total` has the reasons of [`session_revoked`](logging.md#audit-events); `sessions_started_total` the methods `password` and\n\
         `admin_api`. A step-up starts no session. `security_events_total` has the [events](events.md) by name, whether or not there is a webhook.\n\n\
         `revocation_propagation_seconds` never rests: every `exchange.canary_interval` (10 s) one of the replicas revokes a session of nobody's, the\n\
         *canary*, and all of them time it like any other revocation. `canary_overdue_total` is 0, or a promise is broken; see\n\
         [its runbook](runbooks/EphemintRevocationPromiseBroken.md).\n\n\
         Dashboards, rules and alerts over these are in `grafana/`; [Operating](operating.md#watching-it) says how to use them.\n",
    );
    same_as("docs/metrics.md", &page);
}

#[test]
fn the_problems_on_the_http_page_are_the_table_of_problems() {
    let mut table = String::from("| code | status | title | what to do |\n| --- | --- | --- | --- |\n");
    for row in problem::TABLE {
        let _ = writeln!(table, "| `{}` | {} | {} | {} |", row.code, row.status, row.title, row.remedy);
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/http.md");
    let page = fs::read_to_string(path).unwrap();
    let (text, _) = page.split_once("\n## Problems\n\n").expect("a section about problems");
    same_as("docs/http.md", &format!("{text}\n## Problems\n\n{table}"));
}

fn same_as(path: &str, expected: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("EPHEMINT_UPDATE_DOCS").is_some() {
        fs::write(&file, expected).unwrap();
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    assert!(found == expected, "{path} is out of date: run EPHEMINT_UPDATE_DOCS=1 cargo test --test it docs");
}

#[test]
fn the_presets_are_settings_that_start() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/sessions.md")).unwrap();
    let presets: Vec<_> = page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(presets.len(), 3);
    for (preset, (absolute, idle)) in
        presets.iter().zip([(30 * 24 * 60, None), (24 * 60, Some(60)), (12 * 60, Some(15))])
    {
        let config = Config::from_toml(&settings_of_a_test("postgres:///none", preset)).unwrap();
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        let session = config.session;
        assert!(session.absolute_timeout <= minutes(absolute) && !session.persistent, "{preset}");
        let latest = session.idle_timeout + session.activity_granularity;
        assert!(idle.is_none_or(|idle| latest <= minutes(idle)), "{preset}");
    }
}
