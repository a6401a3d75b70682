//! That the parts of `docker-compose.yml` fit each other: settings, secrets, addresses, and the files that they mount.

use std::{fs, path::Path, process::Command};

use ephemint::{
    config::Config,
    dev::gateway_config::{Endpoint, NginxSite, nginx_for, with_demo_page},
};
use serde_json::Value;

use super::{root, services::Services, texts, yaml};
use crate::support::program::complaint;

/// Makes the secrets the way an operator does.
pub(super) fn make_secrets(directory: &Path) -> String {
    let mut make = Command::new("make");
    make.args(["--no-print-directory", "secrets"]).arg(format!("SECRETS={}", directory.display()));
    let output = make.current_dir(root("")).output().unwrap();
    assert!(output.status.success(), "{}", complaint(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// What the replicas are told, as our own parser understands it.
fn settings(services: &Services, replica: &str) -> Config {
    let variables = services.environment(replica);
    Config::load(None, variables).unwrap_or_else(|error| panic!("{error}")).config
}

#[tokio::test]
async fn the_settings_of_both_replicas_are_accepted_with_the_secrets_that_make_makes() {
    let services = Services::new();
    make_secrets(&services.path("secrets"));
    for replica in ["ephemint-1", "ephemint-2"] {
        let output = services.ephemint(replica, &["config", "check"]).output().await.unwrap();
        assert!(output.status.success(), "{}", complaint(&output));
        let output = services.ephemint(replica, &["config", "show"]).output().await.unwrap();
        let shown = String::from_utf8(output.stdout).unwrap();
        for secret in ["database.url = ***", "database.migration_url = ***", "secrets.master_key = ***"] {
            assert!(shown.contains(secret), "{shown}");
        }
    }
}

#[test]
fn secrets_are_made_once_and_exactly_those_that_are_declared() {
    let directory = tempfile::tempdir().unwrap();
    let secrets = directory.path().join("secrets");
    assert_eq!(make_secrets(&secrets).lines().count(), 5);
    let read = || -> Vec<(String, String)> {
        let entries = fs::read_dir(&secrets).unwrap().map(|entry| entry.unwrap().path());
        let read = |path: std::path::PathBuf| {
            (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(path).unwrap())
        };
        let mut files: Vec<_> = entries.map(read).collect();
        files.sort();
        files
    };
    let made = read();
    let compose = yaml("docker-compose.yml");
    let mut declared: Vec<&String> = compose["secrets"].as_object().unwrap().keys().collect();
    declared.sort();
    assert_eq!(made.iter().map(|(name, _)| name).collect::<Vec<_>>(), declared);
    // Containers have other users: the folder is what keeps others out.
    let permissions = |path: &Path| std::os::unix::fs::MetadataExt::mode(&path.metadata().unwrap()) & 0o777;
    assert_eq!((permissions(&secrets), permissions(&secrets.join("master_key"))), (0o700, 0o644));

    assert_eq!(make_secrets(&secrets), "", "nothing is made twice");
    assert_eq!(read(), made);
    let other = directory.path().join("other");
    make_secrets(&other);
    assert_ne!(fs::read(other.join("master_key")).unwrap(), fs::read(secrets.join("master_key")).unwrap());
    assert!(crate::tree::file(".gitignore").text.lines().any(|line| line == "/.secrets"));
}

#[test]
fn nginx_has_the_shipped_configuration_with_the_names_of_the_services() {
    let replicas = |port: u16| ["ephemint-1", "ephemint-2"].map(|host| Endpoint::new(host, port).unwrap());
    let config = with_demo_page(&nginx_for(&NginxSite {
        listen: "0.0.0.0:8000".parse().unwrap(),
        public: &replicas(8080),
        gateway: &replicas(8081),
        application: &"demo:8090".parse().unwrap(),
        audience: "demo",
        standard_streams: true,
    }));
    let path = root("gateways/nginx.compose.conf");
    if std::env::var_os("EPHEMINT_UPDATE_DOCS").is_some() {
        fs::write(&path, &config).unwrap();
    }
    assert!(
        fs::read_to_string(path).unwrap_or_default() == config,
        "gateways/nginx.compose.conf is out of date: run EPHEMINT_UPDATE_DOCS=1 cargo test --test it deploy"
    );
}

#[test]
fn addresses_fit_each_other() {
    let services = Services::new();
    make_secrets(&services.path("secrets"));
    let compose = yaml("docker-compose.yml");
    let service = |name: &str| &compose["services"][name];
    let inside = |name: &str| service(name)["networks"]["inside"]["ipv4_address"].as_str().unwrap().to_owned();

    let raw = service("ephemint-1")["environment"]["EPHEMINT__GATEWAY__TRUSTED_PROXIES"].as_str().unwrap();
    assert_eq!(raw, format!("[\"{}/32\"]", inside("gateway")), "the gateway alone is believed");
    let subnet: ipnet::Ipv4Net =
        compose["networks"]["inside"]["ipam"]["config"][0]["subnet"].as_str().unwrap().parse().unwrap();
    let fixed = ["gateway", "ephemint-1", "ephemint-2"].map(inside);
    assert!(fixed.iter().all(|address| subnet.contains(&address.parse::<std::net::Ipv4Addr>().unwrap())));
    assert!(fixed[0] != fixed[1] && fixed[1] != fixed[2] && fixed[0] != fixed[2]);

    let config = settings(&services, "ephemint-1");
    assert_eq!(service("ephemint-1")["environment"], service("ephemint-2")["environment"]);
    let command = services.words("demo", "/command");
    assert!(command.contains(&format!("--issuer={}", config.token.issuer.as_str())), "{command:?}");
    let audience = config.exchange.default_audience.as_ref().unwrap().as_str();
    assert!(command.contains(&format!("--audience={audience}")), "{command:?}");

    // Whatever a supervisor waits for, the service is given time to leave.
    let patience = |text: &Value| text.as_str().unwrap().strip_suffix('s').unwrap().parse::<u64>().unwrap();
    let leaves = config.shutdown.drain + config.shutdown.timeout;
    assert!(patience(&service("ephemint-1")["stop_grace_period"]) >= leaves.as_secs() + 5);
}

#[test]
fn prometheus_scrapes_the_admin_listener_of_every_replica_and_grafana_asks_prometheus() {
    let scrape = yaml("grafana/prometheus/prometheus.yml");
    let jobs = scrape["scrape_configs"].as_array().unwrap();
    let job = jobs.iter().find(|job| job["job_name"] == "ephemint").expect("a job for Ephemint");
    let targets: Vec<&str> =
        job["static_configs"].as_array().unwrap().iter().flat_map(|group| texts(&group["targets"])).collect();
    let compose = yaml("docker-compose.yml");
    let replicas = compose["services"].as_object().unwrap().iter();
    let expected = replicas.filter_map(|(name, service)| {
        let listen = service["environment"]["EPHEMINT__ADMIN__LISTEN"].as_str()?;
        Some(format!("{name}:{}", listen.rsplit_once(':').unwrap().1))
    });
    assert_eq!(targets, expected.collect::<Vec<_>>());
    for rules in texts(&scrape["rule_files"]) {
        assert!(root("grafana/prometheus").join(rules).is_file(), "{rules}");
    }
    let sources = crate::tree::files("grafana/provisioning/datasources", "ml");
    assert!(sources.iter().any(|source| source.text.contains("http://prometheus:9090")));
    let folders = crate::tree::files("grafana/provisioning/dashboards", "ml");
    let mounted = compose["services"]["grafana"]["volumes"].to_string();
    for provider in folders.iter().map(|source| serde_saphyr::from_str::<Value>(&source.text).unwrap()) {
        let path = provider["providers"][0]["options"]["path"].as_str().unwrap().to_owned();
        assert!(mounted.contains(&format!(":{path}:ro")), "{path} is not among {mounted}");
    }
}
