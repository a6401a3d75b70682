//! `[shutdown]`: how the service stops.

use std::time::Duration;

use super::{
    reader::Reader,
    setting::{SettingDoc, Shape::Text},
    value::duration,
};

const LONGEST: Duration = Duration::from_mins(10);

pub(super) const SETTINGS: &[SettingDoc] = &[
    SettingDoc::new(
        "shutdown.drain",
        Text,
        "0s to 10min",
        "How long the service still accepts requests after it reports that it is not ready.",
    )
    .default("5s"),
    SettingDoc::new("shutdown.timeout", Text, "1s to 10min", "How long open requests may take after the drain.")
        .default("20s"),
];

/// How the service stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShutdownConfig {
    /// How long it still accepts requests after it reports that it is not ready.
    pub drain: Duration,
    /// How long open requests may take after that.
    pub timeout: Duration,
}

pub(super) fn read(reader: &mut Reader) -> Option<ShutdownConfig> {
    let drain = reader.read("shutdown.drain", duration(Duration::ZERO..=LONGEST));
    let timeout = reader.read("shutdown.timeout", duration(Duration::from_secs(1)..=LONGEST));
    Some(ShutdownConfig { drain: drain?, timeout: timeout? })
}
