//! `[[audience]]`: who tokens are for, and what they may say there.

use std::time::Duration;

use super::{
    reader::Reader,
    setting::{
        SettingDoc,
        Shape::{List, Switch, Tables, Text},
    },
    token,
    value::{Parsed, Refusal, choice, duration, list, switch, text, whole_seconds},
};
use crate::domain::{
    access_token::RESERVED_CLAIMS,
    audience::{Algorithm, AudienceName, AudiencePolicy, Consistency, CrossSiteWrites, TokenType},
};

const MOST_CLAIMS: usize = 32;
const LONGEST_NAME: usize = 64;

/// Longest `scope` in characters, so that the head of an exchange's answer stays small.
const LONGEST_SCOPE: usize = 1_024;

pub(super) const SETTINGS: &[SettingDoc] = &[
    SettingDoc::new("audience", Tables, "[[audience]] tables", "Who tokens are for; each table is one audience.")
        .default("[]"),
    SettingDoc::new(
        "audience.name",
        Text,
        "1 to 64 characters of a-z, 0-9, '.', '_' and '-', starting with a letter or digit, unique",
        "The aud of its tokens and the last segment of its exchange path.",
    ),
    SettingDoc::new("audience.ttl", Text, "5s to 5min, in whole seconds", "How long its tokens live.")
        .unset("token.ttl"),
    SettingDoc::new(
        "audience.claims",
        List,
        "a list of at most 32 names of 1 to 64 characters, none of them a claim that Ephemint itself decides",
        "Which custom claims of a session its tokens carry.",
    )
    .default("[]"),
    SettingDoc::new(
        "audience.scopes",
        List,
        "a list of scope tokens (RFC 6749 §3.3), together at most 1024 characters",
        "The scope of its tokens.",
    )
    .default("[]"),
    SettingDoc::new("audience.type", Text, "JWT or at+jwt", "The typ of its tokens.").default("JWT"),
    SettingDoc::new(
        "audience.algorithm",
        Text,
        "the value of token.algorithm, or RS256",
        "What its tokens are signed with; RS256 moves it to an issuer and key set of its own.",
    )
    .unset("token.algorithm"),
    SettingDoc::new(
        "audience.max_auth_age",
        Text,
        "1s to 400d",
        "The longest time since the subject authenticated; older sessions need a step-up.",
    )
    .unset("no limit"),
    SettingDoc::new(
        "audience.required_amr",
        List,
        "a list of names of 1 to 64 characters",
        "Authentication methods that a session must have shown, all of them.",
    )
    .default("[]"),
    SettingDoc::new(
        "audience.consistency",
        Text,
        "bounded or strict",
        "Whether a revocation takes effect within exchange.max_staleness, or with the very next exchange, whose every request then asks the database.",
    )
    .default("bounded"),
    SettingDoc::new(
        "audience.allowed_clients",
        List,
        "a list of client ids",
        "Which clients may ask for it at the token endpoint. Not in effect yet: there is none.",
    )
    .unset("any client with the scope token:exchange"),
    SettingDoc::new(
        "audience.cross_site_writes",
        Text,
        "deny or allow",
        "Whether writes that a browser sends from another site are exchanged; the gateway must send X-Forwarded-Method, Sec-Fetch-Site and Origin.",
    )
    .default("deny"),
    SettingDoc::new("audience.enabled", Switch, "true or false", "Whether it may be exchanged for at all.")
        .default("true"),
];

/// Reads every table; `lifetime` and `algorithm` are those of `[token]`, absent where they have faults of their own.
pub(super) fn read(
    reader: &mut Reader,
    lifetime: Option<Duration>,
    algorithm: Option<Algorithm>,
) -> Option<Vec<AudiencePolicy>> {
    let labels = reader.audience_labels()?;
    let policies: Vec<_> = labels.iter().map(|label| policy(reader, label, lifetime, algorithm)).collect();
    for (index, policy) in policies.iter().enumerate() {
        let Some(policy) = policy else { continue };
        if policies[..index].iter().flatten().any(|earlier| earlier.name == policy.name) {
            let key = format!("audience[{}].name", labels[index]);
            reader.combination(&key, format!("{} is declared twice", policy.name));
        }
    }
    policies.into_iter().collect()
}

fn policy(
    reader: &mut Reader,
    label: &str,
    lifetime: Option<Duration>,
    algorithm: Option<Algorithm>,
) -> Option<AudiencePolicy> {
    let key = |name: &str| format!("audience[{label}].{name}");
    let name = reader.read(&key("name"), |value| AudienceName::parse(text(value)?).map_err(|_| Refusal::default()));
    let own_lifetime = reader.read_optional(&key("ttl"), whole_seconds(token::LIFETIMES));
    let claims = reader.read(&key("claims"), |value| at_most(MOST_CLAIMS, list(claim)(value)?));
    let scopes = reader.read(&key("scopes"), |value| scopes(list(scope)(value)?));
    let types = [TokenType::Jwt, TokenType::AccessToken].map(|token_type| (token_type.as_str(), token_type));
    let token_type = reader.read(&key("type"), choice(&types));
    let algorithms = [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256].map(|it| (it.as_str(), it));
    let own_algorithm = reader.read_optional(&key("algorithm"), choice(&algorithms));
    let ages = Duration::from_secs(1)..=Duration::from_hours(400 * 24);
    let max_auth_age = reader.read_optional(&key("max_auth_age"), duration(ages));
    let required_amr = reader.read(&key("required_amr"), list(short_name));
    let consistencies = [("bounded", Consistency::Bounded), ("strict", Consistency::Strict)];
    let consistency = reader.read(&key("consistency"), choice(&consistencies));
    let allowed_clients = reader.read_optional(&key("allowed_clients"), list(short_name));
    let writes = [("deny", CrossSiteWrites::Deny), ("allow", CrossSiteWrites::Allow)];
    let cross_site_writes = reader.read(&key("cross_site_writes"), choice(&writes));
    let enabled = reader.read(&key("enabled"), switch);

    if let (Some(Some(own)), Some(issuers)) = (own_algorithm, algorithm)
        && own != issuers
        && own != Algorithm::Rs256
    {
        let rule = format!("one issuer signs with one algorithm, here {issuers}; use that, or RS256");
        reader.combination(&key("algorithm"), rule);
    }
    if let Some(lifetime) = lifetime {
        let shown = humantime::format_duration(lifetime).to_string();
        reader.comes_to(&key("ttl"), &format!("{shown:?}"));
    }
    if let Some(algorithm) = algorithm {
        reader.comes_to(&key("algorithm"), &format!("{:?}", algorithm.as_str()));
    }
    Some(AudiencePolicy {
        name: name?,
        lifetime: own_lifetime?.or(lifetime)?,
        claims: claims?,
        scopes: scopes?,
        token_type: token_type?,
        algorithm: own_algorithm?.or(algorithm)?,
        enabled: enabled?,
        max_auth_age: max_auth_age?,
        required_amr: required_amr?,
        consistency: consistency?,
        allowed_clients: allowed_clients?,
        cross_site_writes: cross_site_writes?,
    })
}

fn claim(text: &str) -> Parsed<String> {
    if RESERVED_CLAIMS.contains(&text) {
        return Err(Refusal::with_hint(format!("{text} is reserved: remove it")));
    }
    short_name(text)
}

fn short_name(text: &str) -> Parsed<String> {
    let sound = (1..=LONGEST_NAME).contains(&text.chars().count()) && !text.contains(char::is_control);
    sound.then(|| text.to_owned()).ok_or_else(Refusal::default)
}

fn scope(text: &str) -> Parsed<String> {
    let allowed = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    let sound = !text.is_empty() && text.bytes().all(allowed);
    sound.then(|| text.to_owned()).ok_or_else(Refusal::default)
}

fn scopes(scopes: Vec<String>) -> Parsed<Vec<String>> {
    if scopes.join(" ").len() <= LONGEST_SCOPE { Ok(scopes) } else { Err(Refusal::default()) }
}

fn at_most<T>(most: usize, entries: Vec<T>) -> Parsed<Vec<T>> {
    if entries.len() <= most { Ok(entries) } else { Err(Refusal::default()) }
}
