//! `[revocations]`: the feed of revocations that services follow.

use std::time::Duration;

use super::{
    reader::Reader,
    setting::{
        SettingDoc,
        Shape::{Number, Text},
    },
    value::{duration, number},
};

pub(super) const SETTINGS: &[SettingDoc] = &[
    SettingDoc::new(
        "revocations.max_entries",
        Number,
        "1 to 1000000",
        "Most session ids in the feed; while there are more, it is unavailable.",
    )
    .default("200000"),
    SettingDoc::new(
        "revocations.max_listeners",
        Number,
        "1 to 100000",
        "Most requests that may wait for changes at once, event streams included.",
    )
    .default("256"),
    SettingDoc::new(
        "revocations.heartbeat",
        Text,
        "100ms to 30s",
        "How often an event stream says that it is complete where nothing changes.",
    )
    .default("1s"),
    SettingDoc::new(
        "revocations.leeway",
        Text,
        "0s to 2min",
        "How long after its expiry a service may still take a token; ids stay in the feed that much longer.",
    )
    .default("60s"),
];

/// The feed of revocations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationsConfig {
    /// Most session ids in it.
    pub max_entries: usize,
    /// Most requests that may wait for changes at once.
    pub max_listeners: usize,
    /// How often an event stream says that it is complete.
    pub heartbeat: Duration,
    /// The most leeway that services give tokens.
    pub leeway: Duration,
}

pub(super) fn read(reader: &mut Reader) -> Option<RevocationsConfig> {
    let max_entries = reader.read("revocations.max_entries", number(1..=1_000_000));
    let max_listeners = reader.read("revocations.max_listeners", number(1..=100_000));
    let heartbeat =
        reader.read("revocations.heartbeat", duration(Duration::from_millis(100)..=Duration::from_secs(30)));
    let leeway = reader.read("revocations.leeway", duration(Duration::ZERO..=Duration::from_mins(2)));
    Some(RevocationsConfig {
        max_entries: max_entries?,
        max_listeners: max_listeners?,
        heartbeat: heartbeat?,
        leeway: leeway?,
    })
}
