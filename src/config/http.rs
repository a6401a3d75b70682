//! `[http]`: limits of every listener.

use std::time::Duration;

use super::{
    reader::Reader,
    setting::{
        SettingDoc,
        Shape::{Number, Text},
    },
    value::{duration, number, size},
};

const KIB: usize = 1_024;

pub(super) const SETTINGS: &[SettingDoc] = &[
    SettingDoc::new("http.head_timeout", Text, "100ms to 60s", "How long a client may take to send a request's head.")
        .default("5s"),
    SettingDoc::new("http.body_timeout", Text, "100ms to 60s", "How long a client may take to send a request's body.")
        .default("10s"),
    SettingDoc::new(
        "http.keep_alive",
        Text,
        "1s to 1h",
        "How long an idle connection stays open; at least as long as the gateway keeps idle connections.",
    )
    .default("120s"),
    SettingDoc::new("http.max_head", Text, "4KiB to 64KiB", "Largest head of a request.").default("32KiB"),
    SettingDoc::new("http.max_body", Text, "1KiB to 1MiB", "Largest body of a request.").default("16KiB"),
    SettingDoc::new("http.max_connections", Number, "1 to 1000000", "Most open connections of one listener.")
        .default("10000"),
];

/// Limits of every listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpConfig {
    /// How long a client may take to send a request's head.
    pub head_timeout: Duration,
    /// How long a client may take to send a request's body.
    pub body_timeout: Duration,
    /// How long an idle connection stays open.
    pub keep_alive: Duration,
    /// Largest head of a request in bytes.
    pub max_head: usize,
    /// Largest body of a request in bytes.
    pub max_body: usize,
    /// Most open connections of one listener.
    pub max_connections: usize,
}

pub(super) fn read(reader: &mut Reader) -> Option<HttpConfig> {
    let patience = || duration(Duration::from_millis(100)..=Duration::from_mins(1));
    let head_timeout = reader.read("http.head_timeout", patience());
    let body_timeout = reader.read("http.body_timeout", patience());
    let keep_alive = reader.read("http.keep_alive", duration(Duration::from_secs(1)..=Duration::from_hours(1)));
    let max_head = reader.read("http.max_head", size(4 * KIB..=64 * KIB));
    let max_body = reader.read("http.max_body", size(KIB..=KIB * KIB));
    let max_connections = reader.read("http.max_connections", number(1..=1_000_000));
    Some(HttpConfig {
        head_timeout: head_timeout?,
        body_timeout: body_timeout?,
        keep_alive: keep_alive?,
        max_head: max_head?,
        max_body: max_body?,
        max_connections: max_connections?,
    })
}
