//! `[token]`: what access tokens are like.

use std::{ops::RangeInclusive, time::Duration};

use figment::value::Value;

use super::{
    origin::{Issuer, Origin},
    reader::Reader,
    setting::{SettingDoc, Shape::Text},
    value::{Parsed, Refusal, choice, text, whole_seconds},
};
use crate::domain::audience::Algorithm;

/// Shortest and longest life of an access token.
pub(super) const LIFETIMES: RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_mins(5);

pub(super) const SETTINGS: &[SettingDoc] = &[
    SettingDoc::new(
        "token.issuer",
        Text,
        "an https URL, or http on a loopback host, without query, fragment or trailing slash",
        "The iss of access tokens.",
    )
    .unset("public.origin"),
    SettingDoc::new("token.ttl", Text, "5s to 5min, in whole seconds", "How long access tokens live.").default("60s"),
    SettingDoc::new(
        "token.backdate",
        Text,
        "0s to 30s, in whole seconds",
        "How far iat lies in the past, for validators with a slow clock and no leeway.",
    )
    .default("5s"),
    SettingDoc::new("token.algorithm", Text, "ES256 or EdDSA", "What access tokens are signed with.").default("ES256"),
];

/// What access tokens are like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenConfig {
    /// The `iss` of access tokens, resolved.
    pub issuer: Issuer,
    /// How long they live where their audience doesn't say.
    pub ttl: Duration,
    /// How far `iat` lies in the past.
    pub backdate: Duration,
    /// What they are signed with where their audience doesn't say; never RS256.
    pub algorithm: Algorithm,
}

/// The section's values one by one, so that a fault in one hides no fault of an audience that builds on another.
pub(super) struct TokenParts {
    issuer: Option<Issuer>,
    pub(super) ttl: Option<Duration>,
    backdate: Option<Duration>,
    pub(super) algorithm: Option<Algorithm>,
}

impl TokenParts {
    pub(super) fn complete(self) -> Option<TokenConfig> {
        Some(TokenConfig { issuer: self.issuer?, ttl: self.ttl?, backdate: self.backdate?, algorithm: self.algorithm? })
    }
}

pub(super) fn read(reader: &mut Reader, origin: Option<&Origin>) -> TokenParts {
    let issuer = reader.read_optional("token.issuer", |value| Issuer::parse(text(value)?));
    let issuer = issuer.and_then(|issuer| issuer.or_else(|| origin.map(Issuer::from)));
    if let Some(issuer) = &issuer {
        reader.comes_to("token.issuer", &format!("{:?}", issuer.as_str()));
    }
    TokenParts {
        issuer,
        ttl: reader.read("token.ttl", whole_seconds(LIFETIMES)),
        backdate: reader.read("token.backdate", whole_seconds(Duration::ZERO..=Duration::from_secs(30))),
        algorithm: reader.read("token.algorithm", algorithm),
    }
}

fn algorithm(value: &Value) -> Parsed<Algorithm> {
    if value.as_str() == Some(Algorithm::Rs256.as_str()) {
        return Err(Refusal::with_hint("set RS256 on an audience instead: it gets an issuer of its own"));
    }
    choice(&[Algorithm::Es256, Algorithm::EdDsa].map(|algorithm| (algorithm.as_str(), algorithm)))(value)
}
