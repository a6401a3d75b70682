//! A Prometheus of a test's own, and promtool.

use std::{
    fmt::Write as _,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

use reqwest::Client;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Child;

use crate::support::database::eventually;

/// The rule files, below `grafana/prometheus`.
pub(crate) const RULES: [&str; 2] = ["recording.yml", "alerts.yml"];

/// Held by a test that puts the machine under load, so that another one's figures are its own.
pub(crate) static LOAD: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A running server; killed when dropped.
pub(crate) struct Prometheus {
    _child: Child,
    _directory: TempDir,
    address: String,
    http: Client,
}

/// Something to scrape: the job it belongs to and where its metrics are.
pub(crate) struct Target {
    pub(crate) job: String,
    pub(crate) address: String,
}

impl Target {
    pub(crate) fn new(job: &str, address: &str) -> Self {
        Self { job: job.to_owned(), address: address.to_owned() }
    }
}

/// The directory with the dashboards and rules.
pub(crate) fn grafana() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("grafana")
}

/// Runs promtool in the directory of the rules.
pub(crate) fn promtool(arguments: &[&str], input: &str) -> Output {
    use std::io::Write as _;
    let mut command = Command::new("promtool");
    command.args(arguments).current_dir(grafana().join("prometheus"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("promtool: {error}; run .ci/setup test"));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

impl Prometheus {
    /// Scrapes `targets` and evaluates `rules` (texts of rule files), both every second.
    pub(crate) async fn start(targets: &[Target], rules: &[String]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut config = String::from("global: { scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }\n");
        config.push_str("rule_files: [\"*.rules.yml\"]\nscrape_configs:\n");
        let mut jobs: Vec<&str> = targets.iter().map(|target| target.job.as_str()).collect();
        jobs.dedup();
        for job in jobs {
            let of_job: Vec<_> =
                targets.iter().filter(|target| target.job == job).map(|target| &target.address).collect();
            let _ = writeln!(config, "  - {{ job_name: {job}, static_configs: [ {{ targets: {of_job:?} }} ] }}");
        }
        fs::write(directory.path().join("prometheus.yml"), config).unwrap();
        for (number, text) in rules.iter().enumerate() {
            fs::write(directory.path().join(format!("{number}.rules.yml")), text).unwrap();
        }
        // The port is free again when the server asks for it, unless somebody was very quick.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let child = tokio::process::Command::new("prometheus")
            .arg(format!("--config.file={}", directory.path().join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=error")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("prometheus: {error}; run .ci/setup test"));
        let http = Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().unwrap();
        let server = Self { _child: child, _directory: directory, address, http };
        eventually("Prometheus is ready", async || {
            let answer = server.http.get(format!("http://{}/-/ready", server.address)).send().await;
            answer.is_ok_and(|answer| answer.status().is_success()).then_some(())
        })
        .await;
        server
    }

    /// The value of each series that an expression returns now.
    pub(crate) async fn query(&self, expression: &str) -> Result<Vec<(Value, f64)>, String> {
        let answer = self.ask("query", &[("query", expression)]).await;
        if answer["status"] != "success" {
            return Err(answer["error"].to_string());
        }
        let Some(series) = answer["data"]["result"].as_array().filter(|_| answer["data"]["resultType"] == "vector")
        else {
            return Err(format!("no vector: {expression}"));
        };
        let value = |series: &Value| series["value"][1].as_str().unwrap().parse().unwrap();
        Ok(series.iter().map(|series| (series["metric"].clone(), value(series))).collect())
    }

    /// Every rule: what Prometheus has understood of the files.
    pub(crate) async fn rules(&self) -> Vec<Value> {
        let answer = self.ask("rules", &[]).await;
        let groups = answer["data"]["groups"].as_array().unwrap();
        groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
    }

    /// The labels of every alert that fires.
    pub(crate) async fn firing(&self) -> Vec<Value> {
        let answer = self.ask("alerts", &[]).await;
        let alerts = answer["data"]["alerts"].as_array().unwrap();
        alerts.iter().filter(|alert| alert["state"] == "firing").map(|alert| alert["labels"].clone()).collect()
    }

    async fn ask(&self, what: &str, form: &[(&str, &str)]) -> Value {
        let mut url = url::Url::parse(&format!("http://{}/api/v1/{what}", self.address)).unwrap();
        url.query_pairs_mut().extend_pairs(form);
        self.http.get(url).send().await.unwrap().json().await.unwrap()
    }
}

/// The text of a rule file.
pub(crate) fn rule_file(name: &str) -> String {
    fs::read_to_string(grafana().join("prometheus").join(name)).unwrap()
}

/// The rules as they are, but quick: windows of minutes become seconds and nothing has to last. That a fault must last, and how
/// much of a long window it must fill, is proved with promtool on the files as they are.
pub(crate) fn quick_rules() -> Vec<String> {
    RULES.iter().map(|name| quick(&rule_file(name))).collect()
}

fn quick(text: &str) -> String {
    let mut quick = text.replace("interval: 15s", "interval: 1s");
    for (window, short) in [
        ("5m", "5s"),
        ("10m", "5s"),
        ("15m", "5s"),
        ("30m", "5s"),
        ("1h", "15s"),
        ("2h", "15s"),
        ("6h", "15s"),
        ("1d", "15s"),
        ("3d", "15s"),
    ] {
        quick = quick.replace(&format!("[{window}]"), &format!("[{short}]"));
    }
    let lines = quick.lines().map(|line| if line.trim_start().starts_with("for: ") { "        for: 0s" } else { line });
    lines.collect::<Vec<_>>().join("\n") + "\n"
}
