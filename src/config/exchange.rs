//! `[exchange]`: the core act's limits.

use std::time::Duration;

use super::{
    reader::Reader,
    setting::{SettingDoc, Shape::Text},
    value::{Refusal, duration, size, text, whole_seconds},
};
use crate::domain::audience::{AudienceName, AudiencePolicy, Consistency};

const GATEWAY_CACHE: &str = "exchange.gateway_cache";

/// How often the revocation log is read where nothing else is said.
const SLOWEST_POLL: Duration = Duration::from_millis(500);

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
        "0s to 10s, in whole seconds, at most half of every token's life and a quarter of session.activity_granularity",
        "How long a gateway may reuse an answer, which is added to the time until a revocation takes effect; 0s forbids it.",
    )
    .default("0s"),
    SettingDoc::new(
        "exchange.cache_size",
        Text,
        "1MiB to 1TiB",
        "How much memory sessions and tokens that are kept for reuse may take.",
    )
    .default("128MiB"),
    SettingDoc::new(
        "exchange.poll_interval",
        Text,
        "10ms to 10s, at most half of exchange.max_staleness",
        "How often the revocation log is read where no notification comes.",
    )
    .unset("a quarter of exchange.max_staleness, at most 500ms"),
    SettingDoc::new(
        "exchange.canary_interval",
        Text,
        "1s to 5min, or 0s",
        "How often one of the replicas revokes a session that nobody uses, so that the time a revocation takes is always measured; 0s: never.",
    )
    .default("10s"),
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
    /// How many bytes sessions and tokens in memory may take.
    pub cache_size: usize,
    /// How often the revocation log is read at least.
    pub poll_interval: Duration,
    /// How often the canary session is revoked; absent: never.
    pub canary_interval: Option<Duration>,
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
    let gateway_cache = reader.read(GATEWAY_CACHE, whole_seconds(Duration::ZERO..=Duration::from_secs(10)));
    let cache_size = reader.read("exchange.cache_size", size(1 << 20..=1 << 40));
    let intervals = Duration::from_millis(10)..=Duration::from_secs(10);
    let poll_interval = reader.read_optional("exchange.poll_interval", duration(intervals));
    if let (Some(Some(interval)), Some(staleness)) = (poll_interval, max_staleness)
        && interval > staleness / 2
    {
        reader.combination("exchange.poll_interval", "it is longer than half of exchange.max_staleness; shorten it");
    }
    let poll_interval = poll_interval?.unwrap_or_else(|| SLOWEST_POLL.min(max_staleness.unwrap_or(SLOWEST_POLL) / 4));
    let shown = humantime::format_duration(poll_interval).to_string();
    reader.comes_to("exchange.poll_interval", &format!("{shown:?}"));
    let canary_interval = reader.read("exchange.canary_interval", |value| {
        let interval = duration(Duration::ZERO..=Duration::from_mins(5))(value)?;
        let sound = interval.is_zero() || interval >= Duration::from_secs(1);
        sound.then_some((!interval.is_zero()).then_some(interval)).ok_or_else(Refusal::default)
    });
    let timeout = reader.read("exchange.timeout", duration(Duration::from_millis(10)..=longest));
    Some(ExchangeConfig {
        default_audience: default_audience?,
        max_staleness: max_staleness?,
        gateway_cache: gateway_cache?,
        cache_size: cache_size?,
        poll_interval,
        canary_interval: canary_interval?,
        timeout: timeout?,
    })
}

/// Refuses a time for gateways that is too long for a token's life. `lifetime` is that of `[token]`.
///
/// A token that a gateway hands out again has half of its life left, as one that the exchange hands out.
pub(super) fn fits_tokens(
    reader: &mut Reader,
    gateway_cache: Option<Duration>,
    lifetime: Option<Duration>,
    audiences: Option<&[AudiencePolicy]>,
) {
    let (Some(gateway_cache), Some(audiences)) = (gateway_cache, audiences) else { return };
    let too_short = |lifetime: Duration| lifetime / 2 < gateway_cache;
    let bounded = audiences.iter().filter(|audience| audience.consistency == Consistency::Bounded);
    for audience in bounded.filter(|audience| too_short(audience.lifetime)) {
        let life = humantime::format_duration(audience.lifetime);
        let rule =
            format!("it is longer than half of the life of tokens for {}, which is {life}; shorten it", audience.name);
        reader.combination(GATEWAY_CACHE, rule);
    }
    if audiences.is_empty() && lifetime.is_some_and(too_short) {
        reader.combination(GATEWAY_CACHE, "it is longer than half of token.ttl; shorten it");
    }
}
