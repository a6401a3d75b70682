//! `[login]`: how attempts to sign in are throttled.

use std::time::Duration;

use super::{
    reader::Reader,
    setting::{
        SettingDoc,
        Shape::{Number, Text},
    },
    value::{duration, number},
};
use crate::domain::login_throttle::ThrottleRules;

pub(super) const SETTINGS: &[SettingDoc] = &[
    SettingDoc::new(
        "login.free_failures",
        Number,
        "1 to 100",
        "Failed sign-ins of one account from one network without consequence; then such attempts are refused for 1s, 2s, 4s and so on.",
    )
    .default("5"),
    SettingDoc::new(
        "login.network_free_failures",
        Number,
        "1 to 100000, at least login.free_failures",
        "The same for one network (an IPv4 address, an IPv6 /64) whatever the account; not for accounts that it is a known network of.",
    )
    .default("100"),
    SettingDoc::new(
        "login.overall_free_failures",
        Number,
        "1 to 10000000",
        "Sign-ins that may fail everywhere within a minute or so before each answer is delayed.",
    )
    .default("1000"),
    SettingDoc::new(
        "login.longest_refusal",
        Text,
        "1s to 24h",
        "The longest that attempts are refused after a failure.",
    )
    .default("15m"),
    SettingDoc::new(
        "login.longest_delay",
        Text,
        "0s to 5s",
        "The longest that an answer is delayed where an account, or all of them, fail from everywhere; 0s for never.",
    )
    .default("2s"),
    SettingDoc::new(
        "login.most_delayed",
        Number,
        "0 to 10000",
        "Answers that are delayed at once; further ones are given without delay.",
    )
    .default("256"),
    SettingDoc::new(
        "login.most_at_once",
        Number,
        "1 to 10000",
        "Sign-ins of one network (an IPv4 address, an IPv6 /64) that may be checked or wait at once; more are answered with 503 and Retry-After.",
    )
    .unset("half of password.hash_threads and password.hash_queue together"),
    SettingDoc::new("login.half_life", Text, "1m to 30d", "The time after which half of the failures are forgotten.")
        .default("3h"),
];

/// How attempts to sign in are throttled.
#[derive(Debug, Clone, PartialEq)]
pub struct LoginConfig {
    /// The limits.
    pub throttle: ThrottleRules,
    /// How many answers are delayed at once.
    pub most_delayed: usize,
    /// How many attempts of one network may be under way at once; absent: half of those of everybody.
    pub most_at_once: Option<usize>,
}

pub(super) fn read(reader: &mut Reader) -> Option<LoginConfig> {
    let free_failures = reader.read("login.free_failures", number(1..=100_u32));
    let network_free_failures = reader.read("login.network_free_failures", number(1..=100_000));
    let overall_free_failures = reader.read("login.overall_free_failures", number(1..=10_000_000));
    let longest_refusal =
        reader.read("login.longest_refusal", duration(Duration::from_secs(1)..=Duration::from_hours(24)));
    let longest_delay = reader.read("login.longest_delay", duration(Duration::ZERO..=Duration::from_secs(5)));
    let most_delayed = reader.read("login.most_delayed", number(0..=10_000));
    let most_at_once = reader.read_optional("login.most_at_once", number(1..=10_000));
    let half_life = reader.read("login.half_life", duration(Duration::from_mins(1)..=Duration::from_hours(30 * 24)));
    if let (Some(one), Some(network)) = (free_failures, network_free_failures)
        && one > network
    {
        reader.combination("login.network_free_failures", "it is less than login.free_failures; raise it");
    }
    Some(LoginConfig {
        throttle: ThrottleRules {
            free_failures: free_failures?,
            network_free_failures: network_free_failures?,
            overall_free_failures: overall_free_failures?,
            longest_refusal: longest_refusal?,
            longest_delay: longest_delay?,
            half_life: half_life?,
        },
        most_delayed: most_delayed?,
        most_at_once: most_at_once?,
    })
}
