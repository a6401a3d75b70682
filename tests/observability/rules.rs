//! The rules for Prometheus: sound, few, explained, and right in time.
//!
//! 1. promtool accepts the files, with all of its lints.
//! 2. Every alert has a severity (`page` or `ticket`), a summary, a description, and a runbook that exists, has the four sections in
//!    their order, and stands in the index; every runbook belongs to an alert.
//! 3. Every rule names metrics that exist, or recordings.
//! 4. Every alert is tested with promtool in time, firing and silent.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;

use crate::{
    dashboards::unknown_names,
    prometheus::{Prometheus, RULES, promtool, rule_file},
};

const SECTIONS: [&str; 4] = ["## What it means", "## What users feel", "## How to look", "## How to mend"];

fn text(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap_or_else(|_| panic!("no {path}"))
}

async fn rules() -> Vec<Value> {
    Prometheus::start(&[], &RULES.map(rule_file)).await.rules().await
}

fn passes(arguments: &[&str]) {
    let output = promtool(arguments, "");
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).join("\n");
    assert!(output.status.success(), "{said}");
}

#[test]
fn promtool_accepts_the_configuration_and_the_rules() {
    passes(&["check", "config", "prometheus.yml"]);
    passes(&["check", "rules", "--lint=all", "--lint-fatal", RULES[0], RULES[1]]);
}

#[test]
fn each_alert_fires_after_its_time_and_not_beside_its_fault() {
    passes(&["test", "rules", "tests/alerts.yml"]);
}

#[test]
fn the_burn_of_a_budget_is_noticed_by_the_window_that_is_made_for_it() {
    passes(&["test", "rules", "tests/burn_rates.yml"]);
}

#[tokio::test]
async fn each_alert_is_explained() {
    let (rules, index) = (rules().await, text("docs/runbooks/README.md"));
    let alerts: Vec<_> = rules.iter().filter(|rule| rule["type"] == "alerting").collect();
    let mut names = BTreeSet::new();
    for alert in &alerts {
        let name = alert["name"].as_str().unwrap();
        names.insert(format!("{name}.md"));
        assert!(["page", "ticket"].iter().any(|severity| alert["labels"]["severity"] == *severity), "{name}");
        let annotation = |key: &str| alert["annotations"][key].as_str().unwrap_or_else(|| panic!("{name}: no {key}"));
        assert!(annotation("summary").ends_with('.') && annotation("description").ends_with('.'), "{name}");
        let path = format!("docs/runbooks/{name}.md");
        assert_eq!(annotation("runbook_url"), path);
        let page = text(&path);
        assert!(page.starts_with(&format!("# {name}\n")), "{path}");
        let places: Vec<_> =
            SECTIONS.iter().map(|section| page.find(section).unwrap_or_else(|| panic!("{path}: {section}"))).collect();
        assert!(places.is_sorted(), "{path}: {SECTIONS:?} in this order");
        assert!(index.contains(&format!("[{name}]({name}.md)")), "{name} is not in the index");
    }
    let pages = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/runbooks")).unwrap();
    let pages: BTreeSet<_> = pages.map(|page| page.unwrap().file_name().into_string().unwrap()).collect();
    names.insert("README.md".to_owned());
    assert_eq!(pages, names);
}

#[tokio::test]
async fn each_rule_names_metrics_that_exist() {
    let rules = rules().await;
    assert!(rules.len() > 30);
    for rule in &rules {
        let query = rule["query"].as_str().unwrap();
        assert_eq!(unknown_names(query), BTreeSet::new(), "{query}");
    }
}

#[tokio::test]
async fn each_alert_is_tested_in_time() {
    let tests = text("grafana/prometheus/tests/alerts.yml") + &text("grafana/prometheus/tests/burn_rates.yml");
    for rule in rules().await.iter().filter(|rule| rule["type"] == "alerting") {
        let name = rule["name"].as_str().unwrap();
        let expectations: Vec<_> = tests.split(&format!("alertname: {name}\n")).skip(1).collect();
        let fires = |text: &&str| text.trim_start().starts_with("exp_alerts:\n");
        assert!(expectations.iter().any(fires), "{name} is never expected to fire");
        let silent = expectations.iter().any(|text| text.trim_start().starts_with("exp_alerts: []"));
        // Over days each job is silent at all windows but its own, and one at all of them.
        assert!(silent || name.ends_with("BudgetBurn"), "{name} is never expected to be silent");
    }
}
