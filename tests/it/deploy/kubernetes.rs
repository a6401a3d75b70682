//! The Kubernetes manifests: complete, confined, and in agreement with the settings that they ship. `kubectl kustomize` and the schemas
//! of several versions were run by hand.

use std::collections::BTreeSet;

use ephemint::config::Config;
use serde_json::{Value, json};

use super::{root, texts, yaml};
use crate::{support::app::MASTER_KEY, tree::files};

const FOLDER: &str = "docs/kubernetes/";

/// The one document of that kind and name.
fn manifest(kind: &str, name: &str) -> Value {
    let all = files(FOLDER, ".yaml");
    let documents = all.iter().flat_map(|source| source.text.split("\n---\n"));
    let documents = documents.map(|text| serde_saphyr::from_str::<Value>(text).unwrap());
    let mut found = documents.filter(|document| document["kind"] == kind && document["metadata"]["name"] == name);
    let manifest = found.next().unwrap_or_else(|| panic!("no {kind} {name}"));
    assert!(found.next().is_none(), "two of {kind} {name}");
    manifest
}

fn pod() -> Value {
    manifest("Deployment", "ephemint")["spec"]["template"]["spec"].clone()
}

/// The settings as a container gets them.
fn settings(container: &Value) -> Config {
    let secrets = tempfile::tempdir().unwrap();
    for (name, value) in [
        ("database_url", "postgresql://ephemint_runtime:p@db.example/ephemint"),
        ("migration_url", "postgresql://ephemint_migrate:p@db.example/ephemint"),
        ("master_key", MASTER_KEY),
    ] {
        std::fs::write(secrets.path().join(name), value).unwrap();
    }
    let variables = container["env"].as_array().unwrap().iter().map(|entry| {
        let value = entry["value"].as_str().unwrap();
        let value = match value.strip_prefix("/run/secrets/").and_then(|path| path.split_once('/')) {
            Some((_, name)) => secrets.path().join(name).display().to_string(),
            None => value.to_owned(),
        };
        (entry["name"].as_str().unwrap().to_owned(), value)
    });
    let file = root("docs/kubernetes/ephemint.toml");
    Config::load(Some(&file), variables.collect::<Vec<_>>()).unwrap_or_else(|error| panic!("{error}")).config
}

#[test]
fn the_kustomization_names_every_manifest() {
    for folder in ["", "monitoring/"] {
        let kustomization = yaml(&format!("{FOLDER}{folder}kustomization.yaml"));
        let named: BTreeSet<&str> = texts(&kustomization["resources"]).into_iter().collect();
        let there: BTreeSet<String> = std::fs::read_dir(root(FOLDER).join(folder))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
            .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
            // The last is a part of a chart's values.
            .filter(|name| !["kustomization.yaml", "prometheus-adapter.yaml"].contains(&name.as_str()))
            .collect();
        assert_eq!(named, there.iter().map(String::as_str).collect());
    }
}

#[test]
fn the_settings_are_accepted_and_the_service_cannot_change_the_schema() {
    let pod = pod();
    let (service, migrate) = (&pod["containers"][0], &pod["initContainers"][0]);
    assert!(settings(migrate).database.migration_url.is_some());
    let config = settings(service);
    assert!(!config.database.migrate && config.database.migration_url.is_none());
    assert!(!service["volumeMounts"].to_string().contains("migrate"), "the migrating role's secret stays out");
    let leaves = config.shutdown.drain + config.shutdown.timeout;
    assert!(pod["terminationGracePeriodSeconds"].as_u64().unwrap() >= leaves.as_secs() + 5);
    let notices = &service["readinessProbe"];
    let notices = notices["periodSeconds"].as_u64().unwrap() * notices["failureThreshold"].as_u64().unwrap();
    assert!(config.shutdown.drain.as_secs() >= notices, "it is asked no more before it stops accepting");

    let ports = service["ports"].as_array().unwrap();
    let port = |name: &str| ports.iter().find(|port| port["name"] == name).unwrap()["containerPort"].as_u64().unwrap();
    for (name, listen) in
        [("public", config.public.listen), ("gateway", config.gateway.listen), ("admin", config.admin.listen)]
    {
        assert_eq!(port(name), u64::from(listen.port()), "{name}");
        assert!(listen.ip().is_unspecified());
        let exposed = &manifest("Service", &format!("ephemint-{name}"))["spec"]["ports"][0];
        assert_eq!((&exposed["port"], &exposed["targetPort"]), (&json!(listen.port()), &json!(name)));
    }
    for (probe, path) in [("startupProbe", "/readyz"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")] {
        assert_eq!(service[probe]["httpGet"], json!({ "path": path, "port": "admin" }), "{probe}");
    }
}

#[test]
fn pods_have_no_rights_and_their_secrets_are_named_not_written() {
    let pod = pod();
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    for container in [&pod["containers"][0], &pod["initContainers"][0]] {
        let confined = json!({
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": { "drop": ["ALL"] },
        });
        assert_eq!(container["securityContext"], confined);
        assert!(container["resources"]["requests"]["memory"].is_string());
        assert!(container["resources"]["limits"]["memory"].is_string());
    }
    let namespace = manifest("Namespace", "ephemint");
    assert_eq!(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted");
    let secrets: Vec<&str> = pod["volumes"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|volume| volume["secret"]["secretName"].as_str())
        .collect();
    assert_eq!(secrets, ["ephemint", "ephemint-migrate"]);
    assert!(files(FOLDER, ".yaml").iter().all(|source| !source.text.contains("kind: Secret")));
}

/// kustomize adds its label to selectors that have one already, and to no others: a budget without a selector guards nothing.
#[test]
fn whatever_selects_pods_selects_these() {
    let ours = json!({ "app.kubernetes.io/name": "ephemint" });
    assert_eq!(yaml("docs/kubernetes/kustomization.yaml")["labels"][0]["pairs"], ours);
    assert_eq!(manifest("PodDisruptionBudget", "ephemint")["spec"]["selector"]["matchLabels"], ours);
    assert_eq!(manifest("NetworkPolicy", "ephemint")["spec"]["podSelector"]["matchLabels"], ours);
    for spread in pod()["topologySpreadConstraints"].as_array().unwrap() {
        assert_eq!(spread["labelSelector"]["matchLabels"], ours);
    }
    let monitor = manifest("ServiceMonitor", "ephemint");
    let labels = &manifest("Service", "ephemint-admin")["metadata"]["labels"];
    assert_eq!(monitor["spec"]["selector"]["matchLabels"]["ephemint/listener"], labels["ephemint/listener"]);
    let endpoint = &monitor["spec"]["endpoints"][0];
    assert_eq!((&endpoint["port"], &endpoint["path"]), (&json!("admin"), &json!("/metrics")));
}

#[test]
fn it_scales_by_a_metric_that_exists() {
    let scaler = manifest("HorizontalPodAutoscaler", "ephemint");
    assert_eq!(scaler["spec"]["scaleTargetRef"]["name"], "ephemint");
    assert!(manifest("Deployment", "ephemint")["spec"]["replicas"].is_null(), "the autoscaler has the say");
    let name = &scaler["spec"]["metrics"][0]["pods"]["metric"]["name"];
    let rule = &yaml("docs/kubernetes/monitoring/prometheus-adapter.yaml")["rules"]["custom"][0];
    assert_eq!(&rule["name"]["as"], name);
    let series = rule["seriesQuery"].as_str().unwrap().split('{').next().unwrap();
    assert!(ephemint::telemetry::metrics::TABLE.iter().any(|row| row.name == series), "{series}");
}
