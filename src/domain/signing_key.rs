//! A signing key's life: pending → active → retired → destroyed, decided by stored dates alone.
//!
//! Because every replica computes the state from the same dates, all of them switch at the same instant without talking.

use std::fmt;

use time::OffsetDateTime;

use super::audience::Algorithm;

/// The `kid` of a key: its RFC 7638 thumbprint with SHA-256, in base64url.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(String);

impl KeyId {
    /// Wraps a computed thumbprint, or one read back from storage.
    #[must_use]
    pub fn new(thumbprint: String) -> Self {
        Self(thumbprint)
    }

    /// The id's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The dates that decide a key's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SigningKeyDates {
    /// When it was first published, which is when it was made.
    pub published_at: OffsetDateTime,
    /// From when it signs; absent while it is a standby without a plan.
    pub activates_at: Option<OffsetDateTime>,
    /// From when its successor signs; absent while none is planned.
    pub retires_at: Option<OffsetDateTime>,
    /// From when it is no longer published and its private half is erased; absent while none is planned.
    pub destroys_at: Option<OffsetDateTime>,
}

/// Where a key is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SigningKeyState {
    /// Published, so that validators know it, but not signing.
    Pending,
    /// Signing.
    Active,
    /// Not signing, but published until the last token it signed is dead.
    Retired,
    /// Gone.
    Destroyed,
}

impl SigningKeyState {
    /// The state's name in the API and in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Retired => "retired",
            Self::Destroyed => "destroyed",
        }
    }
}

impl SigningKeyDates {
    /// The state at `now`.
    #[must_use]
    pub fn state(&self, now: OffsetDateTime) -> SigningKeyState {
        let reached = |date: Option<OffsetDateTime>| date.is_some_and(|date| now >= date);
        if reached(self.destroys_at) {
            SigningKeyState::Destroyed
        } else if reached(self.retires_at) {
            SigningKeyState::Retired
        } else if reached(self.activates_at) {
            SigningKeyState::Active
        } else {
            SigningKeyState::Pending
        }
    }
}

/// A key as storage keeps it: the private half sealed, the public half in the clear.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredSigningKey {
    /// Its id.
    pub kid: KeyId,
    /// What it signs with.
    pub algorithm: Algorithm,
    /// The private half, sealed under the master key.
    pub sealed_private_key: Vec<u8>,
    /// The public half as a JWK with `use`, `alg` and `kid` (RFC 7517 §4).
    pub public_jwk: serde_json::Value,
    /// Its dates.
    pub dates: SigningKeyDates,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_key_walks_through_its_states_at_its_dates() {
        use SigningKeyState::{Active, Destroyed, Pending, Retired};

        let start = datetime!(2026-11-01 12:00 UTC);
        let hour = |hours: u64| Some(start + Duration::from_secs(3_600 * hours));
        let dates =
            SigningKeyDates { published_at: start, activates_at: hour(1), retires_at: hour(2), destroys_at: hour(3) };
        let states = [0, 1, 2, 3].map(|hours| dates.state(start + Duration::from_secs(3_600 * hours)));
        assert_eq!(states, [Pending, Active, Retired, Destroyed]);
    }

    #[test]
    fn a_standby_without_a_plan_stays_pending() {
        let start = datetime!(2026-11-01 12:00 UTC);
        let dates = SigningKeyDates { published_at: start, activates_at: None, retires_at: None, destroys_at: None };
        assert_eq!(dates.state(start + Duration::from_secs(1_000_000_000)), SigningKeyState::Pending);
    }
}
