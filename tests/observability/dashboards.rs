//! The dashboards keep these rules, so that Grafana shows them as they are meant and nobody has to try:
//!
//! 1. A stable `uid` of at most 40 characters, no `id`, read-only, tagged, with a description; uids are unique, and so are the ids of panels.
//! 2. Every panel, target and query variable uses `${datasource}`; the variables are `datasource`, `job` and `instance`.
//! 3. Every panel has a title, a description that ends like a sentence, a unit, thresholds, and at least one target; titles are unique.
//! 4. Stats and timelines have thresholds with more than one step, unless they only tell a number.
//! 5. Panels stand inside the 24 columns and do not overlap.
//! 6. Every selector is scoped by `$job` (and `$instance`, where the series has it); no job, instance or other place is named.
//! 7. Series use `$__rate_interval`; counters are only used under `rate` or `increase`.
//! 8. Names are those of metrics in the table, of the process, of Prometheus itself, or of recording rules.
//! 9. Every expression parses.
//! 10. Alerts that a description names have a runbook.

use std::{
    collections::{BTreeSet, HashSet},
    fs,
};

use ephemint::telemetry::metrics::TABLE;
use serde_json::Value;

use crate::prometheus::{grafana, promtool, rule_file};

/// A dashboard and the name of its file.
pub(crate) fn dashboards() -> Vec<(String, Value)> {
    let files = fs::read_dir(grafana().join("dashboards")).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = files
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read_to_string(path).unwrap()))
        .map(|(name, text)| (name, serde_json::from_str(&text).unwrap()))
        .collect();
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    found
}

/// The panels of a dashboard that show something.
pub(crate) fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row")
}

/// The expressions of a panel.
pub(crate) fn expressions(panel: &Value) -> impl Iterator<Item = &str> {
    panel["targets"].as_array().unwrap().iter().map(|target| target["expr"].as_str().unwrap())
}

/// An expression with the variables filled in as for everything.
pub(crate) fn filled(expression: &str, rate_interval: &str) -> String {
    let filled = expression.replace("$__rate_interval", rate_interval).replace("$__interval", rate_interval);
    filled.replace("$job", ".+").replace("$instance", ".+")
}

/// Names in an expression that look like metrics and are none.
pub(crate) fn unknown_names(expression: &str) -> BTreeSet<String> {
    let rules = rule_file("recording.yml");
    let known = |name: &str| {
        let bare = ["_bucket", "_count", "_sum"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        TABLE.iter().any(|row| row.name == if row.kind == "histogram" { bare } else { name })
            || rules.contains(&format!("record: {name}\n"))
            || PROCESS.contains(&name)
            || ["up", "ALERTS"].contains(&name)
    };
    metric_names(expression).into_iter().filter(|name| !known(name)).collect()
}

const PROCESS: [&str; 8] = [
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_virtual_memory_bytes",
    "process_open_fds",
    "process_max_fds",
    "process_threads",
    "process_start_time_seconds",
    "process_virtual_memory_max_bytes",
];

/// The names of an expression that stand where a metric may: neither a function, nor a keyword, nor a label.
fn metric_names(expression: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let (mut rest, mut labels) = (expression, 0);
    while let Some(first) = rest.chars().next() {
        if first == '"' {
            rest = rest[1..].split_once('"').map_or("", |(_, after)| after);
        } else if first.is_alphabetic() || first == '_' || first == ':' {
            let end =
                rest.find(|next: char| !next.is_alphanumeric() && next != '_' && next != ':').unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            rest = after;
            let grouping = ["by", "without", "on", "ignoring", "group_left"].contains(&word);
            if grouping && after.trim_start().starts_with('(') {
                rest = after.split_once(')').map_or("", |(_, after)| after);
            } else if labels == 0
                && !after.trim_start().starts_with('(')
                && !["or", "and", "unless", "by"].contains(&word)
                && !grouping
            {
                names.insert(word.to_owned());
            }
        } else if first.is_ascii_digit() {
            // A number, or a duration with its unit.
            rest = rest.trim_start_matches(|next: char| next.is_alphanumeric() || next == '.');
        } else {
            labels += i32::from(first == '{' || first == '[') - i32::from(first == '}' || first == ']');
            rest = &rest[first.len_utf8()..];
        }
        // Aggregations such as `sum by (le) (…)` leave their name behind.
        for aggregation in ["sum", "max", "min", "count"] {
            names.remove(aggregation);
        }
    }
    names
}

/// The selectors of an expression: a name and what stands in its braces.
fn selectors(expression: &str) -> Vec<(String, String)> {
    let found = expression.match_indices('{').map(|(at, _)| {
        let name =
            expression[..at].rsplit(|before: char| !before.is_alphanumeric() && before != '_' && before != ':').next();
        let labels = expression[at + 1..].split('}').next().unwrap();
        (name.unwrap_or_default().to_owned(), labels.to_owned())
    });
    found.collect()
}

#[test]
fn each_dashboard_is_found_under_a_uid_of_its_own_and_cannot_be_changed_by_accident() {
    let dashboards = dashboards();
    let mut uids = HashSet::new();
    for (file, dashboard) in &dashboards {
        let uid = dashboard["uid"].as_str().unwrap();
        assert!(uids.insert(uid.to_owned()) && uid.len() <= 40, "{file}: {uid}");
        assert_eq!(format!("ephemint-{}", file.trim_end_matches(".json")), uid);
        assert!(dashboard.get("id").is_none() && dashboard["editable"] == false, "{file}");
        assert!(
            dashboard["description"].as_str().unwrap().ends_with('.') && dashboard["tags"][0] == "ephemint",
            "{file}"
        );
        let variables: Vec<_> =
            dashboard["templating"]["list"].as_array().unwrap().iter().map(|variable| &variable["name"]).collect();
        assert_eq!(variables, ["datasource", "job", "instance"], "{file}");
        let mut ids = HashSet::new();
        for panel in dashboard["panels"].as_array().unwrap() {
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{file}: {}", panel["title"]);
        }
    }
    assert_eq!(uids.len(), 3);
}

/// Every `datasource` of a document.
fn datasources<'a>(value: &'a Value, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if name == "datasource" { found.push(value) } else { datasources(value, found) }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| datasources(value, found)),
        _ => {}
    }
}

#[test]
fn the_data_source_is_a_variable_everywhere() {
    for (file, dashboard) in dashboards() {
        let mut found = Vec::new();
        datasources(&dashboard, &mut found);
        assert!(found.len() > 30, "{file}");
        for datasource in found {
            assert_eq!(*datasource, serde_json::json!({ "type": "prometheus", "uid": "${datasource}" }), "{file}");
        }
    }
}

#[test]
fn each_panel_says_what_it_shows_and_in_which_unit() {
    for (file, dashboard) in dashboards() {
        let mut titles = HashSet::new();
        for panel in panels(&dashboard) {
            let title = panel["title"].as_str().unwrap();
            assert!(titles.insert(title), "{file}: {title} twice");
            let description = panel["description"].as_str().unwrap_or_default();
            assert!(description.len() > 20 && description.ends_with('.'), "{file}: {title}: {description}");
            let defaults = &panel["fieldConfig"]["defaults"];
            assert!(defaults["unit"].as_str().is_some_and(|unit| !unit.is_empty()), "{file}: {title}");
            let steps = defaults["thresholds"]["steps"].as_array().unwrap().len();
            let tells_a_number = ["Exchanges per second", "Exchanges per CPU second", "New devices"].contains(&title);
            let judged = panel["type"] == "stat" || panel["type"] == "state-timeline";
            assert!(steps > usize::from(judged && !tells_a_number), "{file}: {title}: thresholds");
            assert!(expressions(panel).count() > 0, "{file}: {title}");
            for word in description
                .split(|next: char| !next.is_alphanumeric())
                .filter(|word| word.starts_with("Ephemint") && word.len() > 8)
            {
                let runbook = grafana().join("../docs/runbooks").join(format!("{word}.md"));
                assert!(runbook.exists(), "{file}: {title}: there is no runbook {word}");
            }
        }
    }
}

#[test]
fn panels_do_not_overlap() {
    for (file, dashboard) in dashboards() {
        let mut taken = HashSet::new();
        for panel in dashboard["panels"].as_array().unwrap() {
            let at = |name: &str| panel["gridPos"][name].as_u64().unwrap();
            assert!(at("x") + at("w") <= 24, "{file}: {}", panel["title"]);
            for x in at("x")..at("x") + at("w") {
                for y in at("y")..at("y") + at("h") {
                    assert!(taken.insert((x, y)), "{file}: {}", panel["title"]);
                }
            }
        }
    }
}

#[test]
fn each_expression_is_scoped_and_names_what_exists() {
    for (file, dashboard) in dashboards() {
        for panel in panels(&dashboard) {
            for expression in expressions(panel) {
                assert_eq!(unknown_names(expression), BTreeSet::new(), "{file}: {expression}");
                for (name, labels) in selectors(expression) {
                    let scope = if name.starts_with("job:") {
                        "job=~\"$job\""
                    } else {
                        "job=~\"$job\", instance=~\"$instance\""
                    };
                    assert!(name == "ALERTS" || labels.starts_with(scope), "{file}: {expression}");
                    let rest = labels.replacen(scope, "", 1);
                    assert!(
                        !["job", "instance", "cluster"].iter().any(|label| rest.contains(&format!("{label}="))),
                        "{file}: {expression}"
                    );
                    let counted =
                        name.ends_with("_total") || ["_bucket", "_count"].iter().any(|end| name.ends_with(end));
                    let before = expression.split(&format!("{name}{{{labels}}}")).next().unwrap();
                    let under = before.ends_with("rate(") || before.ends_with("increase(");
                    assert_eq!(
                        counted, under,
                        "{file}: {expression}: counters, and only counters, go under rate or increase"
                    );
                }
                let shown_over_time = panel["type"] == "timeseries" || panel["type"] == "heatmap";
                let fixed = expression.split('[').skip(1).any(|window| !window.starts_with("$__rate_interval"));
                assert!(!shown_over_time || !fixed, "{file}: {expression}");
            }
        }
    }
}

#[test]
fn each_expression_parses() {
    let mut rules = String::from("groups:\n  - name: dashboards\n    rules:\n");
    for (_, dashboard) in dashboards() {
        let annotations =
            dashboard["annotations"]["list"].as_array().unwrap().iter().map(|one| one["expr"].as_str().unwrap());
        for expression in panels(&dashboard).flat_map(expressions).chain(annotations) {
            let quoted = serde_json::to_string(&filled(expression, "1m")).unwrap();
            rules.push_str(&format!("      - record: a_panel\n        expr: {quoted}\n"));
        }
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), rules).unwrap();
    let output = promtool(&["check", "rules", "--lint=none", file.path().to_str().unwrap()], "");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn names_are_told_from_functions_labels_and_words() {
    let names = metric_names("sum by (le) (rate(a_bucket{b=~\"c|d\"}[5m])) / on (x) e:f:g or vector(0) and 1e3 * h");
    assert_eq!(names, BTreeSet::from(["a_bucket", "e:f:g", "h"].map(str::to_owned)));
    assert_eq!(
        unknown_names("rate(ephemint_exchanges_totl[1m])"),
        BTreeSet::from(["ephemint_exchanges_totl".to_owned()])
    );
}
