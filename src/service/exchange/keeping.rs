//! How long a gateway may answer with a token again without asking (`exchange.gateway_cache`).
//!
//! What it may answer with depends on the request as well: that is for the listener to say.

use std::time::Duration;

use crate::{
    domain::audience::{AudiencePolicy, Consistency},
    service::live_sessions::{Live, Source},
};

/// The longest time for which answers for an audience may be kept; none where each request is to be asked about.
pub(super) fn at_most(setting: Duration, policy: &AudiencePolicy) -> Duration {
    match policy.consistency {
        Consistency::Bounded => setting,
        Consistency::Strict => Duration::ZERO,
    }
}

/// For how many whole seconds from `now`, in microseconds since 1970, an answer for this session may be kept.
///
/// Never beyond half of the time that is left until the session ends or must be stepped up, so that a token that ends with the
/// session has half of its life left as well. Any other token has as much by the time until which it is reused.
pub(super) fn seconds(setting: Duration, policy: &AudiencePolicy, live: &Live, now: i64) -> u64 {
    let at_most = at_most(setting, policy);
    // What a former token gets may end with its grace, which only the database knows.
    if at_most.is_zero() || live.source == Source::Former {
        return 0;
    }
    // Tokens end with a whole second.
    let mut end = live.session.standing().expires_at();
    end -= end.rem_euclid(1_000_000);
    if let Some(age) = policy.max_auth_age {
        let age = i64::try_from(age.as_micros()).unwrap_or(i64::MAX);
        end = end.min(live.session.auth_time().saturating_add(age));
    }
    at_most.as_secs().min(u64::try_from(end.saturating_sub(now) / 2_000_000).unwrap_or(0))
}
