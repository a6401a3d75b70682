//! An audience as exchanges know it: its policy, and what is found once for it and used again and again.

use std::{
    sync::{Arc, OnceLock, PoisonError, RwLock},
    time::Duration,
};

use super::IssuerRules;
use crate::{
    crypto::{signing_key::SigningKey, token_frame::TokenFrame},
    domain::{audience::AudiencePolicy, claims_text::AudienceText},
    telemetry::metrics::{Counter, Metrics, Timer, seconds},
};

/// Where the session or the token of an answer came from, as the `source` label of the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AnsweredFrom {
    TokenCache,
    SessionCache,
    Database,
    /// The request alone.
    Nothing,
}

impl AnsweredFrom {
    fn as_str(self) -> &'static str {
        match self {
            Self::TokenCache => "token_cache",
            Self::SessionCache => "session_cache",
            Self::Database => "database",
            Self::Nothing => "none",
        }
    }
}

/// An audience and its place in the configuration.
#[derive(Debug)]
pub(super) struct Audience {
    pub(super) place: usize,
    pub(super) policy: AudiencePolicy,
    /// What all of its tokens say.
    pub(super) text: AudienceText,
    /// What all of its tokens begin with, by the key that signed last.
    frame: RwLock<Option<Arc<TokenFrame>>>,
    /// Count answers with a token by where they came from: finding a counter by its labels costs more than counting.
    issued: [OnceLock<Counted>; 4],
    signed: OnceLock<Counted>,
}

#[derive(Debug)]
struct Counted {
    number: Counter,
    took: Timer,
}

impl Audience {
    pub(super) fn new(place: usize, policy: AudiencePolicy, rules: &IssuerRules) -> Self {
        let text = AudienceText::new(&policy, &rules.issuer_of(policy.algorithm));
        Self { place, policy, text, frame: RwLock::default(), issued: Default::default(), signed: OnceLock::new() }
    }

    /// What its tokens begin with when `signer` signs them.
    pub(super) fn frame(&self, signer: &SigningKey) -> Arc<TokenFrame> {
        let known = self.frame.read().unwrap_or_else(PoisonError::into_inner).clone();
        known.filter(|frame| frame.kid() == signer.kid()).unwrap_or_else(|| {
            let frame = Arc::new(signer.frame(self.policy.token_type, self.text.opening()));
            *self.frame.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&frame));
            frame
        })
    }

    /// Counts an answer with a token.
    pub(super) fn count_issued(&self, metrics: &Metrics, from: AnsweredFrom, took: Duration) {
        let find = || Counted::find(metrics, self.policy.name.as_str(), "issued", from);
        self.issued[from as usize].get_or_init(find).count(took);
    }

    /// Counts a signature.
    pub(super) fn count_signed(&self, metrics: &Metrics, took: Duration) {
        let algorithm = [self.policy.algorithm.as_str()];
        let find = || Counted {
            number: metrics.tokens_signed_total.with_label_values(&algorithm),
            took: metrics.sign_duration_seconds.with_label_values(&algorithm),
        };
        self.signed.get_or_init(find).count(took);
    }
}

/// Counts an answer without a token; there is a closed set of audiences and outcomes.
pub(super) fn count_refused(metrics: &Metrics, audience: &str, outcome: &str, from: AnsweredFrom, took: Duration) {
    Counted::find(metrics, audience, outcome, from).count(took);
}

impl Counted {
    fn find(metrics: &Metrics, audience: &str, outcome: &str, from: AnsweredFrom) -> Self {
        let from = from.as_str();
        Self {
            number: metrics.exchanges_total.with_label_values(&[audience, outcome, from]),
            took: metrics.exchange_duration_seconds.with_label_values(&[outcome, from]),
        }
    }

    fn count(&self, took: Duration) {
        self.number.inc();
        self.took.observe(seconds(took));
    }
}
