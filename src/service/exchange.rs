//! The core act: a session token in, an access token out.
//!
//! Not to be confused with the RFC 8693 grant of the token endpoint.

mod error;
mod keeping;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use time::OffsetDateTime;

pub use self::error::{ExchangeError, StepUp};
use super::{
    key_ring::KeyRing,
    live_sessions::{Live, LiveError, LiveSessions, Source},
    session_cache::CachedSession,
    sessions::{AuthenticateError, RefusalReason},
    token_cache::{ReusableToken, TokenCache, TokenFor},
};
use crate::{
    clock::Clock,
    crypto::signing_key::{AccessToken, SigningKey},
    domain::{
        access_token::AccessTokenClaims,
        audience::{Algorithm, AudienceName, AudiencePolicy, Consistency, CrossSiteWrites},
        cookie_header::Presented,
        instant::unix_microseconds,
        session::{Session, SessionId},
    },
    random,
    telemetry::metrics::{Metrics, seconds},
};

/// The audience label of requests for an audience that is not configured.
const OTHER: &str = "other";

// Where an answer came from, as the `source` label of the metrics.
const TOKEN_CACHE: &str = "token_cache";
const SESSION_CACHE: &str = "session_cache";
const DATABASE: &str = "database";
const NONE: &str = "none";

/// What a successful exchange gives.
#[derive(Debug)]
pub struct Exchanged {
    /// The access token.
    pub token: Arc<AccessToken>,
    /// The session it stands for.
    pub session_id: SessionId,
    /// Whether it has been handed out before.
    pub reused: bool,
    /// How long a gateway may answer with it again by itself, in whole seconds; zero forbids it.
    pub keep_seconds: u64,
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

/// An audience and its place in the configuration.
#[derive(Debug)]
struct Audience {
    place: usize,
    policy: AudiencePolicy,
}

/// The audiences, the sessions and the keys, brought together.
#[derive(Debug)]
pub struct Exchange {
    audiences: BTreeMap<String, Audience>,
    default_audience: Option<AudienceName>,
    rules: IssuerRules,
    timeout: Duration,
    gateway_cache: Duration,
    sessions: Arc<LiveSessions>,
    tokens: TokenCache,
    ring: Arc<KeyRing>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
}

impl Exchange {
    /// Wires the service. An exchange that takes longer than `timeout` is given up; gateways may keep what it gives for at most
    /// `gateway_cache`.
    #[must_use]
    #[expect(clippy::too_many_arguments, reason = "the one place where everything an exchange needs is named")]
    pub fn new(
        audiences: Vec<AudiencePolicy>,
        default_audience: Option<AudienceName>,
        rules: IssuerRules,
        timeout: Duration,
        gateway_cache: Duration,
        sessions: Arc<LiveSessions>,
        tokens: TokenCache,
        ring: Arc<KeyRing>,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
    ) -> Self {
        let audience =
            |(place, policy): (usize, AudiencePolicy)| (policy.name.as_str().to_owned(), Audience { place, policy });
        let audiences = audiences.into_iter().enumerate().map(audience).collect();
        Self { audiences, default_audience, rules, timeout, gateway_cache, sessions, tokens, ring, clock, metrics }
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
        let mut source = None;
        let mut afresh = false;
        let (result, took) = loop {
            let left = self.timeout.saturating_sub(self.clock.monotonic().saturating_sub(began));
            let decision = self.decide(presented, audience, cross_site_write, afresh, &mut source);
            let decided = tokio::time::timeout(left, decision).await.unwrap_or(Err(ExchangeError::TimedOut));
            let now = self.clock.monotonic();
            let took = now.saturating_sub(began);
            // The process may have been paused in between, or the session ended: what was true then is nothing to answer with now.
            match decided {
                Ok((exchanged, live)) if took <= self.timeout && self.sessions.stands(&live, now) => {
                    break (Ok(exchanged), took);
                }
                Ok(_) if afresh || took > self.timeout => break (Err(ExchangeError::TimedOut), took),
                // A reading that begins now will tell.
                Ok(_) => (afresh, source) = (true, None),
                Err(error) => break (Err(error), took),
            }
        };
        drop(in_flight);
        self.count(audience, source, &result, took);
        result
    }

    /// Brings the figures about memory up to date, for a scrape.
    pub fn measure_memory(&self) {
        for (cache, entries) in [("sessions", self.sessions.kept()), ("tokens", self.tokens.len())] {
            let gauge = self.metrics.cache_entries.with_label_values(&[cache]);
            gauge.set(i64::try_from(entries).unwrap_or(i64::MAX));
        }
        self.metrics.invalidation_healthy.set(i64::from(self.sessions.may_use_memory()));
        self.metrics.invalidation_lag_seconds.set(self.sessions.lag().map_or(f64::NAN, seconds));
    }

    /// Decides once; `afresh` by a reading of the row that begins now.
    async fn decide(
        &self,
        presented: Presented<'_>,
        audience: Option<&str>,
        cross_site_write: bool,
        afresh: bool,
        source: &mut Option<Source>,
    ) -> Result<(Exchanged, Live), ExchangeError> {
        let audience = self.audience(audience);
        let bounded = |audience: &Audience| audience.policy.consistency == Consistency::Bounded;
        let memory = !afresh && audience.is_none_or(bounded);
        let consistency = if memory { Consistency::Bounded } else { Consistency::Strict };
        let live = match self.sessions.authenticate(presented, consistency).await {
            Ok(found) => found,
            Err(LiveError::NotRead(error)) => return Err(ExchangeError::NotRead(error)),
            Err(LiveError::Former(AuthenticateError::Refused(reason, id)) | LiveError::Refused(reason, id)) => {
                return Err(ExchangeError::Unauthenticated(reason, id));
            }
            Err(LiveError::Former(AuthenticateError::Unavailable(error))) => return Err(ExchangeError::Storage(error)),
            Err(LiveError::Former(AuthenticateError::Random(error))) => return Err(ExchangeError::Random(error)),
        };
        *source = Some(live.source);
        let session = live.session.session();
        let Audience { place, policy } = audience.ok_or_else(|| {
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
        if let Some(lack) = lacks(session, policy, now) {
            return Err(ExchangeError::StepUp(lack, session.id));
        }
        let (token, reused) = self.token(&live.session, *place, policy, now)?;
        let session_id = session.id;
        let keep_seconds = keeping::seconds(self.gateway_cache, policy, &live, now);
        Ok((Exchanged { token, session_id, reused, keep_seconds }, live))
    }

    /// A token that was handed out before, or a new one.
    fn token(
        &self,
        cached: &CachedSession,
        place: usize,
        policy: &AudiencePolicy,
        now: OffsetDateTime,
    ) -> Result<(Arc<AccessToken>, bool), ExchangeError> {
        let monotonic = self.clock.monotonic();
        let signer = self.ring.signer(policy.algorithm, now, monotonic)?;
        let whom = TokenFor { state: cached.state(), audience: place };
        let wall = unix_microseconds(now);
        let found = self.tokens.get(whom, signer.kid(), monotonic, wall);
        let result = if found.is_some() { "hit" } else { "miss" };
        self.metrics.cache_requests_total.with_label_values(&["tokens", result]).inc();
        match found {
            Some(token) => Ok((token, true)),
            None => self.tokens.get_or_sign(whom, signer.kid(), monotonic, wall, || {
                self.mint(&signer, cached.session(), policy, now, monotonic)
            }),
        }
    }

    fn mint(
        &self,
        signer: &SigningKey,
        session: &Session,
        policy: &AudiencePolicy,
        now: OffsetDateTime,
        monotonic: Duration,
    ) -> Result<ReusableToken, ExchangeError> {
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
        // Handed out again until half of its life is gone, as validators see it: from `iat` to `exp`. Gateways count.
        let kept = i64::try_from(keeping::at_most(self.gateway_cache, policy).as_micros()).unwrap_or(i64::MAX);
        let until_wall = (claims.exp + claims.iat).saturating_mul(500_000).saturating_sub(kept);
        let left = Duration::from_micros(u64::try_from(until_wall - unix_microseconds(now)).unwrap_or(0));
        let kid = signer.kid().clone();
        Ok(ReusableToken { token: Arc::new(token), kid, until: monotonic + left, until_wall })
    }

    fn audience(&self, audience: Option<&str>) -> Option<&Audience> {
        self.audiences.get(audience.or_else(|| self.default_audience.as_ref().map(AudienceName::as_str))?)
    }

    fn count(
        &self,
        audience: Option<&str>,
        source: Option<Source>,
        result: &Result<Exchanged, ExchangeError>,
        took: Duration,
    ) {
        let audience = self.audience(audience).map_or(OTHER, |audience| audience.policy.name.as_str());
        let outcome = result.as_ref().map_or_else(ExchangeError::as_str, |_| "issued");
        let source = match (source, result) {
            (Some(Source::Cache), Ok(Exchanged { reused: true, .. })) => TOKEN_CACHE,
            (Some(Source::Cache), _) => SESSION_CACHE,
            (None, Err(error)) if error.came_before_any_lookup() => NONE,
            (Some(Source::Joined | Source::Database | Source::Former) | None, _) => DATABASE,
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
