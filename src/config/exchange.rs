//! `[exchange]`: the core act's limits.

use std::time::Duration;

use super::{
    reader::Reader,
    setting::{SettingDoc, Shape::Text},
    value::{Refusal, duration, text, whole_seconds},
};
use crate::domain::audience::AudienceName;

pub(super) const SETTINGS: &[SettingDoc] = &[
    SettingDoc::new(
        "exchange.default_audience",
        Text,
        "the name of an [[audience]]",
        "The audience of exchange paths that name none.",
    )
    .unset("such paths are refused"),
    SettingDoc::new(
        "exchange.max_staleness",
        Text,
        "100ms to 60s",
        "How long a replica may take to notice a revocation.",
    )
    .default("2s"),
    SettingDoc::new(
        "exchange.gateway_cache",
        Text,
        "0s to 10s, in whole seconds",
        "How long a gateway may reuse an answer; 0s forbids it. Not in effect yet: never.",
    )
    .default("0s"),
    SettingDoc::new("exchange.timeout", Text, "10ms to 60s", "How long one exchange may take.").default("1s"),
];

/// The core act's limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExchangeConfig {
    /// The audience of exchange paths that name none.
    pub default_audience: Option<AudienceName>,
    /// How long caches are trusted without word from the database.
    pub max_staleness: Duration,
    /// How long a gateway may reuse an answer; zero forbids it.
    pub gateway_cache: Duration,
    /// How long one exchange may take.
    pub timeout: Duration,
}

pub(super) fn read(reader: &mut Reader) -> Option<ExchangeConfig> {
    let longest = Duration::from_mins(1);
    let default_audience = reader.read_optional("exchange.default_audience", |value| {
        AudienceName::parse(text(value)?).map_err(|error| Refusal::with_hint(error.to_string()))
    });
    if let Some(Some(name)) = &default_audience
        && !reader.may_declare(name.as_str())
    {
        reader.combination("exchange.default_audience", format!("there is no [[audience]] named {name}"));
    }
    let max_staleness = reader.read("exchange.max_staleness", duration(Duration::from_millis(100)..=longest));
    let gateway_cache = reader.read("exchange.gateway_cache", whole_seconds(Duration::ZERO..=Duration::from_secs(10)));
    let timeout = reader.read("exchange.timeout", duration(Duration::from_millis(10)..=longest));
    Some(ExchangeConfig {
        default_audience: default_audience?,
        max_staleness: max_staleness?,
        gateway_cache: gateway_cache?,
        timeout: timeout?,
    })
}
