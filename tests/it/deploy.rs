//! What is shipped for running Ephemint: the compose file, the image, the systemd unit, the Kubernetes manifests. No container engine
//! is needed: what they say is checked, and the same services run as plain processes with the same files.

mod compose;
mod compose_rules;
mod graph;
mod healthcheck;
mod image;
mod kubernetes;
mod services;
mod unit;

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::tree::file;

/// A file of the checkout.
fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A YAML file of the checkout, anchors and merge keys resolved.
fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&file(path).text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The texts of a YAML list; nothing where there is none.
fn texts(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}
