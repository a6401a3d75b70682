//! `[hooks]`: the webhook that security events are sent to.

use std::time::Duration;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use figment::value::Value;
use url::Url;

use super::{
    origin::webhook_url,
    reader::Reader,
    secret::Secret,
    setting::{
        SettingDoc,
        Shape::{List, Number, Text},
    },
    value::{Parsed, Refusal, duration, list, number, text},
};
use crate::domain::event::EventName;

/// What a secret begins with (Standard Webhooks, "Signature scheme").
const SECRET_PREFIX: &str = "whsec_";
/// Bytes of a secret (the same section).
const SECRET_LENGTH: std::ops::RangeInclusive<usize> = 24..=64;
/// Most secrets that sign at the same time: two, while one replaces the other, and one to spare.
const MOST_SECRETS: usize = 3;

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);

pub(super) const SETTINGS: &[SettingDoc] = &[
    SettingDoc::new(
        "hooks.url",
        Text,
        "an https URL, or http on a loopback host, without user and fragment",
        "Where security events are posted to.",
    )
    .unset("no webhook"),
    SettingDoc::new(
        "hooks.secret",
        Text,
        "whsec_ and 24 to 64 random bytes in base64; up to 3 of these, with spaces between; make one with: echo whsec_$(openssl rand -base64 32)",
        "Signs what is posted; with several, each signs, so that a receiver can change from one to the next.",
    )
    .unset("no webhook")
    .secret(),
    SettingDoc::new("hooks.events", List, "a list of event names, at least one", "The events that are posted.")
        .unset("every event"),
    SettingDoc::new("hooks.timeout", Text, "100ms to 30s", "How long one attempt to post an event may take.")
        .default("5s"),
    SettingDoc::new(
        "hooks.max_attempts",
        Number,
        "1 to 100",
        "How often an event is tried before it is given up; the delays grow from 5s to 6h.",
    )
    .default("10"),
    SettingDoc::new(
        "hooks.max_pending",
        Number,
        "1 to 1000000",
        "Most events that wait to be posted; beyond it new ones are only logged.",
    )
    .default("10000"),
];

/// The webhook that security events are sent to.
#[derive(Debug)]
pub struct HooksConfig {
    /// The receiver and what signs for it; absent: no event leaves the process except in the log.
    pub receiver: Option<Receiver>,
    /// The events that are posted, without repetitions.
    pub events: Vec<EventName>,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// How often an event is tried before it is given up.
    pub max_attempts: u16,
    /// Most events that wait to be posted.
    pub max_pending: u32,
}

/// Who is told, and with what the message is signed.
#[derive(Debug)]
pub struct Receiver {
    /// Where events are posted to: `https`, or `http` on a loopback host.
    pub url: Url,
    /// One signing secret or more; each signs.
    pub secrets: Vec<Secret<Vec<u8>>>,
}

pub(super) fn read(reader: &mut Reader) -> Option<HooksConfig> {
    let url = reader.read_optional("hooks.url", |value| webhook_url(text(value)?));
    let secrets = reader.read_optional("hooks.secret", secrets);
    let events = reader.read_optional("hooks.events", events);
    let timeout = reader.read("hooks.timeout", duration(Duration::from_millis(100)..=Duration::from_secs(30)));
    let max_attempts = reader.read("hooks.max_attempts", number(1..=100));
    let max_pending = reader.read("hooks.max_pending", number(1..=1_000_000));
    match (&url, &secrets) {
        (Some(Some(_)), Some(None)) => {
            reader.combination("hooks.secret", "hooks.url is set, but nothing to sign with; set hooks.secret too");
        }
        (Some(None), Some(Some(_))) => {
            reader.combination("hooks.url", "hooks.secret is set, but nowhere to post to; set hooks.url too");
        }
        _ => {}
    }
    let receiver = url?.zip(secrets?).map(|(url, secrets)| Receiver { url, secrets });
    Some(HooksConfig {
        receiver,
        events: events?.unwrap_or_else(|| EventName::ALL.to_vec()),
        timeout: timeout?,
        max_attempts: max_attempts?,
        max_pending: max_pending?,
    })
}

fn secrets(value: &Value) -> Parsed<Vec<Secret<Vec<u8>>>> {
    let secrets = text(value)?.split_ascii_whitespace().map(secret).collect::<Parsed<Vec<_>>>()?;
    match secrets.len() {
        0 => Err(Refusal::default()),
        1..=MOST_SECRETS => Ok(secrets),
        more => Err(Refusal::with_hint(format!("there are {more} of them"))),
    }
}

fn secret(text: &str) -> Parsed<Secret<Vec<u8>>> {
    let encoded =
        text.strip_prefix(SECRET_PREFIX).ok_or_else(|| Refusal::with_hint("it does not start with whsec_"))?;
    let bytes = BASE64.decode(encoded).map(Secret::new);
    let bytes = bytes.map_err(|_| Refusal::with_hint("what follows whsec_ is not base64"))?;
    let length = bytes.expose().len();
    if SECRET_LENGTH.contains(&length) { Ok(bytes) } else { Err(Refusal::with_hint(format!("it has {length} bytes"))) }
}

fn events(value: &Value) -> Parsed<Vec<EventName>> {
    let mut events = list(event)(value)?;
    if events.is_empty() {
        return Err(Refusal::with_hint("leave it out for every event"));
    }
    events.sort_unstable();
    events.dedup();
    Ok(events)
}

fn event(name: &str) -> Parsed<EventName> {
    let known = EventName::ALL.into_iter().find(|event| event.as_str() == name);
    known.ok_or_else(|| {
        let names = EventName::ALL.map(EventName::as_str).join(", ");
        Refusal::with_hint(format!("the events are {names}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(text: &str) -> String {
        secrets(&Value::from(text)).unwrap_err().hint.unwrap_or_default()
    }

    #[test]
    fn secrets_are_base64_of_24_to_64_bytes_behind_their_prefix() {
        let written = |length: usize| format!("{SECRET_PREFIX}{}", BASE64.encode(vec![b'k'; length]));
        for length in [24, 32, 64] {
            let read = secrets(&Value::from(written(length))).unwrap();
            assert_eq!(read[0].expose(), &vec![b'k'; length]);
            let unpadded = written(length);
            assert_eq!(secrets(&Value::from(unpadded.trim_end_matches('='))).unwrap().len(), 1);
        }
        let two = format!("{}\n {}\n", written(24), written(25));
        let lengths: Vec<_> = secrets(&Value::from(two)).unwrap().iter().map(|it| it.expose().len()).collect();
        assert_eq!(lengths, [24, 25]);
        assert_eq!(hint(&written(23)), "it has 23 bytes");
        assert_eq!(hint(&written(65)), "it has 65 bytes");
        assert_eq!(hint(&BASE64.encode([7; 32])), "it does not start with whsec_");
        assert_eq!(hint("whsec_correct,horse"), "what follows whsec_ is not base64");
        assert_eq!(hint(&vec![written(24); 4].join(" ")), "there are 4 of them");
        assert_eq!(hint(" "), "");
    }
}
