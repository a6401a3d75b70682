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
use crate::domain::session::IdleRule;

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
        "Most sessions of one subject; the oldest gives way. Not in effect yet.",
    )
    .default("50"),
    SettingDoc::new(
        "session.activity_granularity",
        Text,
        "10ms to 60s, at most session.idle_timeout",
        "How exactly activity is recorded; an idle session ends at most this late.",
    )
    .unset("a 20th of session.idle_timeout, at most 60s"),
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
    let shown = humantime::format_duration(activity_granularity).to_string();
    reader.comes_to("session.activity_granularity", &format!("{shown:?}"));
    Some(SessionConfig {
        idle_timeout: idle_timeout?,
        absolute_timeout: absolute_timeout?,
        cookie_name: cookie_name?,
        same_site: same_site?,
        persistent: persistent?,
        max_per_subject: max_per_subject?,
        activity_granularity,
    })
}

/// A token by RFC 6265 §4.1.1 (RFC 9110 §5.6.2) behind the prefix that ties the cookie to this host and to TLS.
fn cookie_name(value: &Value) -> Parsed<String> {
    let text = text(value)?;
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let sound = text.strip_prefix(COOKIE_PREFIX).is_some_and(|rest| !rest.is_empty() && rest.bytes().all(token));
    sound.then(|| text.to_owned()).ok_or_else(Refusal::default)
}
