//! `[session]`: how long sessions live and how browsers carry them.

use std::time::Duration;

use figment::value::Value;

use super::{
    reader::Reader,
    setting::{
        SettingDoc,
        Shape::{Number, Switch, Text},
    },
    value::{Parsed, Refusal, choice, duration, number, switch, text},
};
use crate::domain::{
    device::AddressPrecision, event::Consequence, session::IdleRule, unusual_activity::UnusualActivityRules,
};

const COOKIE_PREFIX: &str = "__Host-";

/// Coarsest recording of activity; an idle session ends at most this late.
const COARSEST: Duration = Duration::from_mins(1);

pub(super) const SETTINGS: &[SettingDoc] = &[
    SettingDoc::new(
        "session.idle_timeout",
        Text,
        "1s to 400d, at most session.absolute_timeout",
        "How long a session may stay unused.",
    )
    .default("30m"),
    SettingDoc::new(
        "session.absolute_timeout",
        Text,
        "1s to 400d, at least session.idle_timeout",
        "How long a session may live, however much it is used.",
    )
    .default("12h"),
    SettingDoc::new(
        "session.cookie_name",
        Text,
        "a cookie name (RFC 6265) that starts with __Host-",
        "The cookie that carries the session token.",
    )
    .default("__Host-session"),
    SettingDoc::new("session.same_site", Text, "lax or strict", "The cookie's SameSite attribute.").default("lax"),
    SettingDoc::new("session.persistent", Switch, "true or false", "Whether the cookie outlives the browser.")
        .default("false"),
    SettingDoc::new(
        "session.max_per_subject",
        Number,
        "1 to 10000",
        "Most sessions of one subject; the oldest gives way.",
    )
    .default("50"),
    SettingDoc::new(
        "session.activity_granularity",
        Text,
        "10ms to 60s, at most session.idle_timeout",
        "How exactly activity is recorded; an idle session ends at most this late.",
    )
    .unset("a 20th of session.idle_timeout, at most 60s, and at least four times exchange.gateway_cache"),
    SettingDoc::new(
        "session.renewal_grace",
        Text,
        "0s to 5min",
        "How long a token still works after a renewal has replaced it, for requests that are on their way.",
    )
    .default("10s"),
    SettingDoc::new(
        "session.on_token_reuse",
        Text,
        "end or record",
        "What follows when a token is presented after its grace: somebody else may hold it.",
    )
    .default("end"),
    SettingDoc::new(
        "session.on_user_agent_change",
        Text,
        "record, reauthenticate or end",
        "What follows when a session is used with another browser than before.",
    )
    .default("record"),
    SettingDoc::new(
        "session.on_network_change",
        Text,
        "record, reauthenticate or end; only record where session.address_precision is none",
        "What follows when a session is used from another network (/24 or /48) than before.",
    )
    .default("record"),
    SettingDoc::new(
        "session.address_precision",
        Text,
        "full, network (/24 or /48) or none",
        "How much of an address is kept with sessions and events.",
    )
    .default("full"),
];

/// How long sessions live and how browsers carry them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionConfig {
    /// How long a session may stay unused.
    pub idle_timeout: Duration,
    /// How long a session may live.
    pub absolute_timeout: Duration,
    /// The name of the cookie.
    pub cookie_name: String,
    /// The cookie's `SameSite` attribute.
    pub same_site: SameSite,
    /// Whether the cookie outlives the browser.
    pub persistent: bool,
    /// Most sessions of one subject.
    pub max_per_subject: u32,
    /// How exactly activity is recorded, resolved.
    pub activity_granularity: Duration,
    /// How long a token works after a renewal.
    pub renewal_grace: Duration,
    /// What follows when a token is presented after its grace.
    pub on_token_reuse: Consequence,
    /// What follows when a session is used from elsewhere.
    pub unusual_activity: UnusualActivityRules,
    /// How much of an address is kept.
    pub address_precision: AddressPrecision,
}

impl SessionConfig {
    /// The rule by which sessions go idle.
    #[must_use]
    pub fn idle_rule(&self) -> IdleRule {
        IdleRule { timeout: self.idle_timeout, granularity: self.activity_granularity }
    }
}

/// Which requests from other sites carry the cookie (RFC 6265bis §5.6.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameSite {
    /// Top-level navigations with a safe method.
    Lax,
    /// None.
    Strict,
}

impl SameSite {
    /// The attribute's value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lax => "Lax",
            Self::Strict => "Strict",
        }
    }
}

pub(super) fn read(reader: &mut Reader) -> Option<SessionConfig> {
    let life = || duration(Duration::from_secs(1)..=Duration::from_hours(400 * 24));
    let idle_timeout = reader.read("session.idle_timeout", life());
    let absolute_timeout = reader.read("session.absolute_timeout", life());
    let cookie_name = reader.read("session.cookie_name", cookie_name);
    let same_site = reader.read("session.same_site", choice(&[("lax", SameSite::Lax), ("strict", SameSite::Strict)]));
    let persistent = reader.read("session.persistent", switch);
    let max_per_subject = reader.read("session.max_per_subject", number(1..=10_000));
    let granularity =
        reader.read_optional("session.activity_granularity", duration(Duration::from_millis(10)..=COARSEST));
    if let (Some(idle), Some(absolute)) = (idle_timeout, absolute_timeout)
        && idle > absolute
    {
        reader.combination("session.idle_timeout", "it is longer than session.absolute_timeout; shorten it");
    }
    if let (Some(idle), Some(Some(granularity))) = (idle_timeout, granularity)
        && granularity > idle
    {
        reader.combination("session.activity_granularity", "it is longer than session.idle_timeout; shorten it");
    }
    let activity_granularity = granularity?.unwrap_or_else(|| COARSEST.min(idle_timeout.unwrap_or(COARSEST) / 20));
    let renewal_grace = reader.read("session.renewal_grace", duration(Duration::ZERO..=Duration::from_mins(5)));
    let on_token_reuse =
        reader.read("session.on_token_reuse", choice(&[("end", Consequence::End), ("record", Consequence::Record)]));
    let unusual_activity = unusual_activity(reader);
    let address_precision = reader.read(
        "session.address_precision",
        choice(&[
            ("full", AddressPrecision::Full),
            ("network", AddressPrecision::Network),
            ("none", AddressPrecision::None),
        ]),
    );
    if let (Some(rules), Some(AddressPrecision::None)) = (unusual_activity, address_precision)
        && rules.on_network_change != Consequence::Record
    {
        reader.combination(
            "session.on_network_change",
            "session.address_precision is none, so no network is ever known; keep at least networks",
        );
    }
    Some(SessionConfig {
        idle_timeout: idle_timeout?,
        absolute_timeout: absolute_timeout?,
        cookie_name: cookie_name?,
        same_site: same_site?,
        persistent: persistent?,
        max_per_subject: max_per_subject?,
        activity_granularity,
        renewal_grace: renewal_grace?,
        on_token_reuse: on_token_reuse?,
        unusual_activity: unusual_activity?,
        address_precision: address_precision?,
    })
}

/// Makes room for uses that gateways hide for up to `gateway_cache`.
///
/// Uses are recorded at most three quarters of a granularity late; the last quarter is what a gateway may add without ending a
/// session in use too early.
pub(super) fn allow_for(reader: &mut Reader, session: &mut SessionConfig, gateway_cache: Duration) {
    const KEY: &str = "session.activity_granularity";
    let finest = 4 * gateway_cache;
    if session.activity_granularity < finest {
        if reader.is_unset(KEY) {
            session.activity_granularity = finest;
        } else {
            let rule = "it is longer than a quarter of session.activity_granularity, so sessions in use could go idle; shorten it";
            reader.combination("exchange.gateway_cache", rule);
        }
    }
    let shown = humantime::format_duration(session.activity_granularity).to_string();
    reader.comes_to(KEY, &format!("{shown:?}"));
}

fn unusual_activity(reader: &mut Reader) -> Option<UnusualActivityRules> {
    let consequence = || {
        choice(&[
            ("record", Consequence::Record),
            ("reauthenticate", Consequence::Reauthenticate),
            ("end", Consequence::End),
        ])
    };
    let on_user_agent_change = reader.read("session.on_user_agent_change", consequence());
    let on_network_change = reader.read("session.on_network_change", consequence());
    Some(UnusualActivityRules { on_user_agent_change: on_user_agent_change?, on_network_change: on_network_change? })
}

/// A token by RFC 6265 §4.1.1 (RFC 9110 §5.6.2) behind the prefix that ties the cookie to this host and to TLS.
fn cookie_name(value: &Value) -> Parsed<String> {
    let text = text(value)?;
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let sound = text.strip_prefix(COOKIE_PREFIX).is_some_and(|rest| !rest.is_empty() && rest.bytes().all(token));
    sound.then(|| text.to_owned()).ok_or_else(Refusal::default)
}
