//! The rules that every service of `docker-compose.yml` keeps, and a copy that breaks each of them.

use std::{collections::BTreeSet, path::Path};

use serde_json::{Map, Value, json};

use super::{root, texts, yaml};

/// Where a compose file breaks a rule.
fn faults(compose: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    let empty = Map::new();
    let services = compose["services"].as_object().unwrap_or(&empty);
    for (name, service) in services {
        let mut fault = |text: String| faults.push(format!("{name}: {text}"));
        confinement(service, &mut fault);
        image(service, &mut fault);
        health(services, service, &mut fault);
        mounts(service, &mut fault);
        secrets(compose, service, &mut fault);
        ports(compose, service, &mut fault);
    }
    for kind in ["networks", "volumes", "secrets"] {
        let used: BTreeSet<&str> = services.values().flat_map(|service| named(service, kind)).collect();
        let declared: BTreeSet<&str> = compose[kind].as_object().unwrap_or(&empty).keys().map(String::as_str).collect();
        for name in used.symmetric_difference(&declared) {
            faults.push(format!("{kind}: {name} is not both declared and used"));
        }
    }
    faults
}

/// The networks, named volumes or secrets of a service.
fn named<'a>(service: &'a Value, kind: &str) -> Vec<&'a str> {
    match &service[kind] {
        Value::Object(table) => table.keys().map(String::as_str).collect(),
        list => {
            let sources = texts(list).into_iter().map(|text| text.split(':').next().unwrap_or_default());
            sources.filter(|source| !source.starts_with(['.', '/'])).collect()
        }
    }
}

fn confinement(service: &Value, fault: &mut impl FnMut(String)) {
    for (key, wanted) in [
        ("read_only", json!(true)),
        ("cap_drop", json!(["ALL"])),
        ("security_opt", json!(["no-new-privileges:true"])),
        ("restart", json!("unless-stopped")),
    ] {
        if service[key] != wanted {
            fault(format!("{key} is {}", service[key]));
        }
    }
    let user = service["user"].as_str().unwrap_or_default();
    let number = user.split(':').next().and_then(|user| user.parse::<u32>().ok());
    if matches!(number, None | Some(0)) {
        fault(format!("user is {user:?}, not a number above 0"));
    }
    for limit in ["pids_limit", "mem_limit"] {
        if service[limit].is_null() {
            fault(format!("no {limit}"));
        }
    }
    for key in ["privileged", "network_mode", "pid", "ipc", "cap_add", "devices", "userns_mode"] {
        if !service[key].is_null() {
            fault(format!("{key} takes back what the others give up"));
        }
    }
}

/// An image is built here, or has a tag that says exactly which version it is.
fn image(service: &Value, fault: &mut impl FnMut(String)) {
    let image = service["image"].as_str().unwrap_or_default();
    if !service["build"].is_null() {
        return;
    }
    let tag = image.rsplit_once(':').map_or("", |(_, tag)| tag);
    let version = tag.trim_start_matches('v').split('-').next().unwrap_or_default();
    let numbers: Vec<_> = version.split('.').map(str::parse::<u32>).collect();
    if numbers.len() < 2 || numbers.iter().any(Result::is_err) {
        fault(format!("the image {image:?} has no exact version"));
    }
}

fn health(services: &Map<String, Value>, service: &Value, fault: &mut impl FnMut(String)) {
    if texts(&service["healthcheck"]["test"]).first() != Some(&"CMD") {
        fault("no healthcheck that runs without a shell".to_owned());
    }
    for (name, dependency) in service["depends_on"].as_object().into_iter().flatten() {
        if services.get(name).is_none_or(|service| service["healthcheck"].is_null()) {
            fault(format!("waits for {name}, which is not there or says nothing of its health"));
        }
        if dependency["condition"] != "service_healthy" {
            fault(format!("does not wait until {name} is healthy"));
        }
    }
}

fn mounts(service: &Value, fault: &mut impl FnMut(String)) {
    for mount in texts(&service["volumes"]) {
        let Some(path) = mount.split(':').next().filter(|source| source.starts_with(['.', '/'])) else { continue };
        if !path.starts_with("./") || !root(path).exists() {
            fault(format!("{path} is no file of the checkout"));
        }
        if !mount.ends_with(":ro") {
            fault(format!("{mount} can be written to"));
        }
    }
}

/// Every secret that is read was given, and every one given is read.
fn secrets(compose: &Value, service: &Value, fault: &mut impl FnMut(String)) {
    let given: BTreeSet<&str> = texts(&service["secrets"]).into_iter().collect();
    let environment = service["environment"].as_object().into_iter().flatten();
    let read: BTreeSet<&str> =
        environment.filter_map(|(_, value)| value.as_str()?.strip_prefix("/run/secrets/")).collect();
    if given != read {
        fault(format!("is given {given:?}, reads {read:?}"));
    }
    for name in given {
        let path = compose["secrets"][name]["file"].as_str().unwrap_or_default();
        if Path::new(path) != Path::new(".secrets").join(name) {
            fault(format!("the secret {name} is in {path:?}"));
        }
    }
}

/// Ports are published on loopback, by a service that has a network with a way out.
fn ports(compose: &Value, service: &Value, fault: &mut impl FnMut(String)) {
    let ports = texts(&service["ports"]);
    for port in &ports {
        if !port.starts_with("127.0.0.1:") {
            fault(format!("{port} is published beyond loopback"));
        }
    }
    let open = named(service, "networks").iter().any(|network| compose["networks"][network]["internal"] != true);
    if open == ports.is_empty() {
        fault("a network with a way out and published ports go together".to_owned());
    }
}

#[test]
fn the_compose_file_keeps_the_rules() {
    let compose = yaml("docker-compose.yml");
    assert_eq!(compose["services"].as_object().unwrap().len(), 7);
    assert_eq!(faults(&compose), Vec::<String>::new());
    assert!(compose["version"].is_null() && compose["name"] == "ephemint");
}

#[test]
fn a_compose_file_that_breaks_a_rule_is_found() {
    let good = yaml("docker-compose.yml");
    for (pointer, spoilt, complaint) in [
        ("/services/gateway/read_only", json!(false), "gateway: read_only is false"),
        ("/services/gateway/cap_drop", json!([]), "gateway: cap_drop is []"),
        ("/services/gateway/security_opt", json!([]), "gateway: security_opt is []"),
        ("/services/gateway/user", json!("0:0"), "gateway: user is \"0:0\", not a number above 0"),
        ("/services/gateway/user", json!("nginx"), "gateway: user is \"nginx\", not a number above 0"),
        ("/services/gateway/mem_limit", Value::Null, "gateway: no mem_limit"),
        ("/services/gateway/privileged", json!(true), "gateway: privileged takes back what the others give up"),
        ("/services/gateway/image", json!("nginx"), "gateway: the image \"nginx\" has no exact version"),
        ("/services/gateway/image", json!("nginx:latest"), "gateway: the image \"nginx:latest\" has no exact version"),
        ("/services/gateway/image", json!("nginx:1"), "gateway: the image \"nginx:1\" has no exact version"),
        ("/services/gateway/healthcheck", json!({"test": ["CMD-SHELL", "true"]}), "gateway: no healthcheck"),
        ("/services/demo/healthcheck", Value::Null, "gateway: waits for demo, which is not there"),
        (
            "/services/gateway/depends_on/demo/condition",
            json!("service_started"),
            "gateway: does not wait until demo is healthy",
        ),
        ("/services/gateway/volumes/0", json!("./nowhere:/x:ro"), "gateway: ./nowhere is no file of the checkout"),
        ("/services/gateway/volumes/0", json!("./sql:/x"), "gateway: ./sql:/x can be written to"),
        ("/services/gateway/volumes/0", json!("/etc:/x:ro"), "gateway: /etc is no file of the checkout"),
        ("/services/gateway/ports/0", json!("8000:8000"), "gateway: 8000:8000 is published beyond loopback"),
        ("/services/gateway/ports", json!([]), "gateway: a network with a way out"),
        ("/networks/inside/internal", json!(false), "demo: a network with a way out"),
        ("/services/grafana/secrets", json!([]), "grafana: is given {}, reads {\"grafana_password\"}"),
        ("/secrets/master_key/file", json!("/etc/key"), "ephemint-1: the secret master_key is in \"/etc/key\""),
        ("/volumes/more", Value::Null, "volumes: more is not both declared and used"),
        ("/services/demo/networks", json!(["elsewhere"]), "networks: elsewhere is not both declared and used"),
    ] {
        let mut compose = good.clone();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        match compose.pointer_mut(parent).unwrap() {
            Value::Object(table) => drop(table.insert(key.to_owned(), spoilt)),
            list => list[key.parse::<usize>().unwrap()] = spoilt,
        }
        let faults = faults(&compose);
        assert!(faults.iter().any(|fault| fault.starts_with(complaint)), "{pointer}: {complaint} not in {faults:?}");
    }
}
