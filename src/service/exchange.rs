//! The core act: a session token in, an access token out.
//!
//! Not to be confused with the RFC 8693 grant of the token endpoint.

mod audience;
mod error;
mod keeping;
mod mint;

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use self::audience::{AnsweredFrom, Audience, count_refused};
pub use self::error::{ExchangeError, StepUp};
use super::{
    key_ring::KeyRing,
    live_sessions::{Live, LiveSessions, Moment, Source},
    session_cache::CachedSession,
    token_cache::{TokenCache, TokenFor},
};
use crate::{
    clock::Clock,
    crypto::token_frame::AccessToken,
    domain::{
        audience::{Algorithm, AudienceName, AudiencePolicy, Consistency, CrossSiteWrites},
        cookie_header::Presented,
        session::SessionId,
        session_token::SessionToken,
    },
    telemetry::metrics::{Counter, Metrics, seconds},
};

/// The audience label of requests for an audience that is not configured.
const OTHER: &str = "other";

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

/// What was decided, and the session that it was decided by.
type Decided = Result<(Exchanged, Live), ExchangeError>;

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
    /// Counts tokens that were found in memory.
    hits: OnceLock<Counter>,
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
        let audience = |(place, policy): (usize, AudiencePolicy)| {
            (policy.name.as_str().to_owned(), Audience::new(place, policy, &rules))
        };
        let audiences = audiences.into_iter().enumerate().map(audience).collect();
        let hits = OnceLock::new();
        Self {
            audiences,
            default_audience,
            rules,
            timeout,
            gateway_cache,
            sessions,
            tokens,
            ring,
            clock,
            metrics,
            hits,
        }
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
        let at = Moment::read(&*self.clock);
        let began = at.monotonic;
        self.metrics.exchanges_in_flight.inc();
        let in_flight = scopeguard(|| self.metrics.exchanges_in_flight.dec());
        let audience = self.audience(audience);
        let mut source = None;
        let (result, took) = match LiveSessions::token(presented) {
            Err(error) => (Err(error.into()), self.clock.monotonic().saturating_sub(began)),
            Ok(token) => {
                let mut took = Duration::ZERO;
                let mut remembered = self.remembered(&token, audience, cross_site_write, at, &mut source);
                let mut afresh = false;
                loop {
                    let decided = match remembered.take() {
                        Some(decided) => decided,
                        None => {
                            // Apart, so that what reading needs takes no room in the many exchanges that are decided from memory.
                            let reading =
                                Box::pin(self.read(presented, &token, audience, cross_site_write, afresh, &mut source));
                            let left = self.timeout.saturating_sub(took);
                            tokio::time::timeout(left, reading).await.unwrap_or(Err(ExchangeError::TimedOut))
                        }
                    };
                    let now = self.clock.monotonic();
                    took = now.saturating_sub(began);
                    // The process may have been paused in between, or the session ended: what was true then is nothing to answer
                    // with now.
                    match decided {
                        Ok((exchanged, live)) if took <= self.timeout && self.sessions.stands(&live, now) => {
                            break (Ok(exchanged), took);
                        }
                        Ok(_) if afresh || took > self.timeout => break (Err(ExchangeError::TimedOut), took),
                        // A reading that begins now will tell.
                        Ok(_) => (afresh, source) = (true, None),
                        Err(error) => break (Err(error), took),
                    }
                }
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

    /// Decides at once, by what is in memory; nothing where the row must be read.
    fn remembered(
        &self,
        token: &SessionToken,
        audience: Option<&Audience>,
        cross_site_write: bool,
        at: Moment,
        source: &mut Option<Source>,
    ) -> Option<Decided> {
        if audience.is_some_and(|audience| audience.policy.consistency == Consistency::Strict) {
            return None;
        }
        let live = self.sessions.remembered(token, at)?;
        *source = Some(live.source);
        Some(self.decide(live, audience, cross_site_write, at))
    }

    /// Decides by the row; `afresh` by a reading that begins now, whatever is under way.
    async fn read(
        &self,
        presented: Presented<'_>,
        token: &SessionToken,
        audience: Option<&Audience>,
        cross_site_write: bool,
        afresh: bool,
        source: &mut Option<Source>,
    ) -> Decided {
        let bounded = |audience: &Audience| audience.policy.consistency == Consistency::Bounded;
        let consistency =
            if !afresh && audience.is_none_or(bounded) { Consistency::Bounded } else { Consistency::Strict };
        let live = self.sessions.read(presented, token, consistency).await?;
        *source = Some(live.source);
        self.decide(live, audience, cross_site_write, Moment::read(&*self.clock))
    }

    fn decide(&self, live: Live, audience: Option<&Audience>, cross_site_write: bool, at: Moment) -> Decided {
        let session = &live.session;
        let audience = audience.ok_or_else(|| {
            tracing::warn!(
                audiences = ?self.audiences.keys(),
                "a gateway asks for an audience that is not configured, or for the default one where there is none"
            );
            ExchangeError::UnknownAudience
        })?;
        let policy = &audience.policy;
        if !policy.enabled {
            return Err(ExchangeError::AudienceDisabled);
        }
        if cross_site_write && policy.cross_site_writes == CrossSiteWrites::Deny {
            return Err(ExchangeError::CrossSiteWrite(session.id()));
        }
        if let Some(lack) = lacks(session, policy, at.wall) {
            return Err(ExchangeError::StepUp(lack, session.id()));
        }
        let (token, reused) = self.token(session, audience, at)?;
        let session_id = session.id();
        let keep_seconds = keeping::seconds(self.gateway_cache, policy, &live, at.wall);
        Ok((Exchanged { token, session_id, reused, keep_seconds }, live))
    }

    /// A token that was handed out before, or a new one.
    fn token(
        &self,
        cached: &CachedSession,
        audience: &Audience,
        at: Moment,
    ) -> Result<(Arc<AccessToken>, bool), ExchangeError> {
        let Moment { now, wall, monotonic } = at;
        let signer = self.ring.signer(audience.policy.algorithm, now, monotonic)?;
        let whom = TokenFor { state: cached.state(), audience: audience.place };
        let count = |result| self.metrics.cache_requests_total.with_label_values(&["tokens", result]);
        if let Some(token) = self.tokens.get(whom, signer.kid(), monotonic, wall) {
            self.hits.get_or_init(|| count("hit")).inc();
            return Ok((token, true));
        }
        count("miss").inc();
        let sign = || self.mint(&signer, cached, audience, at);
        self.tokens.get_or_sign(whom, signer.kid(), monotonic, wall, sign)
    }

    fn audience(&self, audience: Option<&str>) -> Option<&Audience> {
        self.audiences.get(audience.or_else(|| self.default_audience.as_ref().map(AudienceName::as_str))?)
    }

    fn count(
        &self,
        audience: Option<&Audience>,
        source: Option<Source>,
        result: &Result<Exchanged, ExchangeError>,
        took: Duration,
    ) {
        let from = match (source, result) {
            (Some(Source::Cache), Ok(Exchanged { reused: true, .. })) => AnsweredFrom::TokenCache,
            (Some(Source::Cache), _) => AnsweredFrom::SessionCache,
            (None, Err(error)) if error.came_before_any_lookup() => AnsweredFrom::Nothing,
            (Some(Source::Joined | Source::Database | Source::Former) | None, _) => AnsweredFrom::Database,
        };
        match (audience, result) {
            (Some(audience), Ok(_)) => audience.count_issued(&self.metrics, from, took),
            (audience, result) => {
                let audience = audience.map_or(OTHER, |audience| audience.policy.name.as_str());
                let outcome = result.as_ref().map_or_else(ExchangeError::as_str, |_| "issued");
                count_refused(&self.metrics, audience, outcome, from, took);
            }
        }
    }
}

fn lacks(session: &CachedSession, policy: &AudiencePolicy, now: i64) -> Option<StepUp> {
    if let Some(max_age) = policy.max_auth_age
        && session.auth_time().saturating_add(i64::try_from(max_age.as_micros()).unwrap_or(i64::MAX)) < now
    {
        return Some(StepUp::MaxAge(max_age));
    }
    (!session.text().has_methods(&policy.required_amr)).then_some(StepUp::Methods)
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
