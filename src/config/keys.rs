//! `[keys]`: the rhythm of signing keys.

use std::time::Duration;

use super::{
    reader::Reader,
    setting::{SettingDoc, Shape::Text},
    value::duration,
};

pub(super) const SETTINGS: &[SettingDoc] = &[
    SettingDoc::new(
        "keys.rotate_every",
        Text,
        "1s to 400d, longer than keys.publish_lead",
        "How long a signing key signs before its successor takes over.",
    )
    .default("30d"),
    SettingDoc::new(
        "keys.publish_lead",
        Text,
        "1s to 400d, shorter than keys.rotate_every",
        "How long a key is published before it signs; longer than any validator caches the key set.",
    )
    .default("24h"),
    SettingDoc::new(
        "keys.poll_interval",
        Text,
        "50ms to 60s, at most keys.publish_lead",
        "How often a replica looks for keys made by others.",
    )
    .default("1s"),
];

/// The rhythm of signing keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeysConfig {
    /// How long a key signs.
    pub rotate_every: Duration,
    /// How long a key is published before it signs.
    pub publish_lead: Duration,
    /// How often a replica looks for keys made by others.
    pub poll_interval: Duration,
}

pub(super) fn read(reader: &mut Reader) -> Option<KeysConfig> {
    let span = || duration(Duration::from_secs(1)..=Duration::from_hours(400 * 24));
    let rotate_every = reader.read("keys.rotate_every", span());
    let publish_lead = reader.read("keys.publish_lead", span());
    let poll_interval = reader.read("keys.poll_interval", duration(Duration::from_millis(50)..=Duration::from_mins(1)));
    if let (Some(lead), Some(rotate)) = (publish_lead, rotate_every)
        && lead >= rotate
    {
        reader.combination("keys.publish_lead", "it is not shorter than keys.rotate_every; shorten it");
    }
    if let (Some(poll), Some(lead)) = (poll_interval, publish_lead)
        && poll > lead
    {
        reader.combination("keys.poll_interval", "it is longer than keys.publish_lead, so a replica could miss a key");
    }
    Some(KeysConfig { rotate_every: rotate_every?, publish_lead: publish_lead?, poll_interval: poll_interval? })
}
