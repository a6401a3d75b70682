//! The core act: a session token in, an access token out.
//!
//! Not to be confused with the RFC 8693 grant of the token endpoint.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use time::OffsetDateTime;

use super::{
    key_ring::{KeyRing, NoSigner},
    sessions::{AuthenticateError, RefusalReason, Sessions},
};
use crate::{
    clock::Clock,
    crypto::{error::CryptoError, signing_key::AccessToken},
    domain::{
        access_token::AccessTokenClaims,
        audience::{Algorithm, AudienceName, AudiencePolicy, CrossSiteWrites},
        cookie_header::Presented,
        session::{Session, SessionId},
    },
    random::{self, RandomFailed},
    storage::error::StorageError,
    telemetry::metrics::{Metrics, seconds},
};

/// The audience label of requests for an audience that is not configured.
const OTHER: &str = "other";

/// What a successful exchange gives.
#[derive(Debug)]
pub struct Exchanged {
    /// The access token.
    pub token: AccessToken,
    /// The session it stands for.
    pub session_id: SessionId,
}

/// What a session lacks for an audience (RFC 9470 §3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepUp {
    /// The subject must authenticate again: the last time is longer ago than this.
    MaxAge(Duration),
    /// The subject must authenticate with more methods.
    Methods,
}

/// Why an exchange gives no token.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// There is no live session.
    #[error("no live session")]
    Unauthenticated(RefusalReason, Option<SessionId>),
    /// No audience was named and none is the default, or the one named is not configured.
    #[error("unknown audience")]
    UnknownAudience,
    /// The audience is switched off.
    #[error("the audience is disabled")]
    AudienceDisabled,
    /// The request may change something, and a browser sends it from another site.
    #[error("a write from another site")]
    CrossSiteWrite(SessionId),
    /// The session is live but not strong enough.
    #[error("the session needs a step-up")]
    StepUp(StepUp, SessionId),
    /// The whole took longer than an exchange may.
    #[error("the exchange did not finish in time")]
    TimedOut,
    /// The session could not be looked up.
    #[error("the session could not be looked up")]
    Storage(#[source] StorageError),
    /// There is no key to sign with.
    #[error("no token could be signed")]
    NoSigner(#[from] NoSigner),
    /// The token could not be signed.
    #[error("no token could be signed")]
    Sign(#[from] CryptoError),
    /// The token got no id.
    #[error("no token id could be made")]
    Random(#[from] RandomFailed),
}

impl ExchangeError {
    /// The outcome's name in metrics and logs.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Unauthenticated(reason, _) => reason.as_str(),
            Self::UnknownAudience => "unknown_audience",
            Self::AudienceDisabled => "audience_disabled",
            Self::CrossSiteWrite(_) => "cross_site_write",
            Self::StepUp(..) => "step_up_required",
            Self::TimedOut => "timed_out",
            Self::Storage(_) => "storage_unavailable",
            Self::NoSigner(_) => "no_signing_key",
            Self::Sign(_) | Self::Random(_) => "internal",
        }
    }

    /// Whether something of ours failed, so that nothing could be decided.
    #[must_use]
    pub fn is_a_failure(&self) -> bool {
        match self {
            Self::Unauthenticated(..)
            | Self::UnknownAudience
            | Self::AudienceDisabled
            | Self::CrossSiteWrite(_)
            | Self::StepUp(..) => false,
            Self::TimedOut | Self::Storage(_) | Self::NoSigner(_) | Self::Sign(_) | Self::Random(_) => true,
        }
    }

    /// Whether it was decided from the request alone.
    fn came_before_any_lookup(&self) -> bool {
        let from_the_request = [RefusalReason::Absent, RefusalReason::Conflicting, RefusalReason::Malformed];
        matches!(self, Self::Unauthenticated(reason, _) if from_the_request.contains(reason))
    }

    /// The session that was refused, where one was found.
    #[must_use]
    pub fn session_id(&self) -> Option<SessionId> {
        match self {
            Self::Unauthenticated(_, id) => *id,
            Self::StepUp(_, id) | Self::CrossSiteWrite(id) => Some(*id),
            Self::UnknownAudience
            | Self::AudienceDisabled
            | Self::TimedOut
            | Self::Storage(_)
            | Self::NoSigner(_)
            | Self::Sign(_)
            | Self::Random(_) => None,
        }
    }
}

/// What tokens say about where they come from.
#[derive(Debug, Clone)]
pub struct IssuerRules {
    /// The issuer of tokens that are signed with `algorithm`.
    pub issuer: String,
    /// The algorithm of the main issuer.
    pub algorithm: Algorithm,
    /// How far `iat` is back-dated.
    pub backdate: Duration,
}

impl IssuerRules {
    /// The issuer of an algorithm: RS256 has one of its own, so that each issuer publishes one algorithm.
    #[must_use]
    pub fn issuer_of(&self, algorithm: Algorithm) -> String {
        if algorithm == self.algorithm { self.issuer.clone() } else { format!("{}{RS256_PATH}", self.issuer) }
    }
}

/// The path under which the RS256 issuer lives.
pub const RS256_PATH: &str = "/rs256";

/// The audiences, the sessions and the keys, brought together.
#[derive(Debug)]
pub struct Exchange {
    audiences: BTreeMap<String, AudiencePolicy>,
    default_audience: Option<AudienceName>,
    rules: IssuerRules,
    timeout: Duration,
    sessions: Arc<Sessions>,
    ring: Arc<KeyRing>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
}

impl Exchange {
    /// Wires the service. An exchange that takes longer than `timeout` is given up.
    #[must_use]
    #[expect(clippy::too_many_arguments, reason = "the one place where everything an exchange needs is named")]
    pub fn new(
        audiences: Vec<AudiencePolicy>,
        default_audience: Option<AudienceName>,
        rules: IssuerRules,
        timeout: Duration,
        sessions: Arc<Sessions>,
        ring: Arc<KeyRing>,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
    ) -> Self {
        let audiences = audiences.into_iter().map(|policy| (policy.name.as_str().to_owned(), policy)).collect();
        Self { audiences, default_audience, rules, timeout, sessions, ring, clock, metrics }
    }

    /// Exchanges a presented session token for an access token at `audience`, or at the default audience.
    ///
    /// `cross_site_write` says that a browser sends the request from another site and that it may change something: then there
    /// is a token only where the audience allows it, so that no application behind the gateway can be written to that way.
    ///
    /// # Errors
    /// [`ExchangeError`] says why there is no token; it never stands for one that exists.
    pub async fn exchange(
        &self,
        presented: Presented<'_>,
        audience: Option<&str>,
        cross_site_write: bool,
    ) -> Result<Exchanged, ExchangeError> {
        let began = self.clock.monotonic();
        self.metrics.exchanges_in_flight.inc();
        let in_flight = scopeguard(|| self.metrics.exchanges_in_flight.dec());
        let decision = tokio::time::timeout(self.timeout, self.decide(presented, audience, cross_site_write));
        let result = decision.await.unwrap_or(Err(ExchangeError::TimedOut));
        drop(in_flight);
        self.count(audience, &result, self.clock.monotonic().saturating_sub(began));
        result
    }

    async fn decide(
        &self,
        presented: Presented<'_>,
        audience: Option<&str>,
        cross_site_write: bool,
    ) -> Result<Exchanged, ExchangeError> {
        let policy = self.policy(audience);
        let session = match self.sessions.authenticate(presented).await {
            Ok(session) => session,
            Err(AuthenticateError::Refused(reason, id)) => return Err(ExchangeError::Unauthenticated(reason, id)),
            Err(AuthenticateError::Unavailable(error)) => return Err(ExchangeError::Storage(error)),
            Err(AuthenticateError::Random(error)) => return Err(ExchangeError::Random(error)),
        };
        let policy = policy.ok_or_else(|| {
            tracing::warn!(
                audiences = ?self.audiences.keys(),
                "a gateway asks for an audience that is not configured, or for the default one where there is none"
            );
            ExchangeError::UnknownAudience
        })?;
        if !policy.enabled {
            return Err(ExchangeError::AudienceDisabled);
        }
        if cross_site_write && policy.cross_site_writes == CrossSiteWrites::Deny {
            return Err(ExchangeError::CrossSiteWrite(session.id));
        }
        let now = self.clock.now();
        if let Some(lack) = lacks(&session, policy, now) {
            return Err(ExchangeError::StepUp(lack, session.id));
        }
        self.mint(&session, policy, now)
    }

    fn mint(
        &self,
        session: &Session,
        policy: &AudiencePolicy,
        now: OffsetDateTime,
    ) -> Result<Exchanged, ExchangeError> {
        let jti = URL_SAFE_NO_PAD.encode(random::bytes::<16>()?);
        let issuer = self.rules.issuer_of(policy.algorithm);
        let mut claims = AccessTokenClaims::for_session(session, policy, &issuer, jti, now, self.rules.backdate)
            // The session ends within this second.
            .ok_or(ExchangeError::Unauthenticated(RefusalReason::Expired, Some(session.id)))?;
        let left_out = claims.shorten(policy);
        if !left_out.is_empty() {
            tracing::warn!(
                session.id = %session.id,
                audience = policy.name.as_str(),
                claims = ?left_out,
                "custom claims left out: the token would be too large for gateways"
            );
        }
        let signer = self.ring.signer(policy.algorithm, now, self.clock.monotonic())?;
        let began = self.clock.monotonic();
        let token = signer.sign(&claims, policy.token_type)?;
        let labels = [policy.algorithm.as_str()];
        self.metrics
            .sign_duration_seconds
            .with_label_values(&labels)
            .observe(seconds(self.clock.monotonic().saturating_sub(began)));
        self.metrics.tokens_signed_total.with_label_values(&labels).inc();
        #[expect(clippy::cast_precision_loss, reason = "a token has far fewer bytes than an f64 has integers")]
        self.metrics.token_bytes.observe(token.expose().len() as f64);
        Ok(Exchanged { token, session_id: session.id })
    }

    fn policy(&self, audience: Option<&str>) -> Option<&AudiencePolicy> {
        self.audiences.get(audience.or_else(|| self.default_audience.as_ref().map(AudienceName::as_str))?)
    }

    fn count(&self, audience: Option<&str>, result: &Result<Exchanged, ExchangeError>, took: Duration) {
        let audience = self.policy(audience).map_or(OTHER, |policy| policy.name.as_str());
        let (outcome, source) = match result {
            Ok(_) => ("issued", "database"),
            Err(error) if error.came_before_any_lookup() => (error.as_str(), "none"),
            Err(error) => (error.as_str(), "database"),
        };
        self.metrics.exchanges_total.with_label_values(&[audience, outcome, source]).inc();
        self.metrics.exchange_duration_seconds.with_label_values(&[outcome, source]).observe(seconds(took));
    }
}

fn lacks(session: &Session, policy: &AudiencePolicy, now: OffsetDateTime) -> Option<StepUp> {
    if let Some(max_age) = policy.max_auth_age
        && session.auth_time + max_age < now
    {
        return Some(StepUp::MaxAge(max_age));
    }
    let shown = |method: &String| session.amr.contains(method);
    (!policy.required_amr.iter().all(shown)).then_some(StepUp::Methods)
}

/// Runs `end` when dropped, also when the exchange is cancelled because its client went away.
fn scopeguard<F: Fn()>(end: F) -> impl Drop {
    struct Guard<F: Fn()>(F);
    impl<F: Fn()> Drop for Guard<F> {
        fn drop(&mut self) {
            (self.0)();
        }
    }
    Guard(end)
}
