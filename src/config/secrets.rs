//! `[secrets]`: the master keys, from which every other key is derived.

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use zeroize::Zeroizing;

use super::{
    reader::Reader,
    secret::Secret,
    setting::{
        SettingDoc,
        Shape::{List, Text},
    },
    value::{Parsed, Refusal, list, text},
};

/// Bytes of a master key.
pub const MASTER_KEY_LENGTH: usize = 32;

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

pub(super) const SETTINGS: &[SettingDoc] = &[
    SettingDoc::new(
        "secrets.master_key",
        Text,
        "exactly 32 random bytes in base64; make one with: openssl rand -base64 32",
        "Seals signing keys, keys the token digests and signs cookies, by way of derived keys.",
    )
    .secret(),
    SettingDoc::new(
        "secrets.previous_master_keys",
        List,
        "a list of keys like secrets.master_key",
        "Former master keys, still accepted, so that a change signs nobody out.",
    )
    .default("[]")
    .secret(),
];

/// A master key.
pub type MasterKey = Secret<[u8; MASTER_KEY_LENGTH]>;

/// The master keys.
#[derive(Debug)]
pub struct SecretsConfig {
    /// The key that seals and digests from now on.
    pub master_key: MasterKey,
    /// Former keys, newest first by convention, that still open and recognise.
    pub previous_master_keys: Vec<MasterKey>,
}

pub(super) fn read(reader: &mut Reader) -> Option<SecretsConfig> {
    let master_key = reader.read("secrets.master_key", |value| parse(text(value)?));
    let previous = reader.read("secrets.previous_master_keys", list(parse));
    if let (Some(current), Some(previous)) = (&master_key, &previous)
        && previous.iter().any(|key| key.expose() == current.expose())
    {
        reader.combination("secrets.previous_master_keys", "one of them is secrets.master_key itself; remove it");
    }
    Some(SecretsConfig { master_key: master_key?, previous_master_keys: previous? })
}

/// Reads either alphabet, padded or not (RFC 4648 §4 and §5).
fn parse(text: &str) -> Parsed<MasterKey> {
    let engine = if text.contains(['-', '_']) { URL_SAFE } else { STANDARD };
    let bytes = engine.decode(text).map(Zeroizing::new).map_err(|_| Refusal::with_hint("it is not base64"))?;
    let key: [u8; MASTER_KEY_LENGTH] =
        bytes.as_slice().try_into().map_err(|_| Refusal::with_hint(format!("it has {} bytes", bytes.len())))?;
    let key = Secret::new(key);
    if key.expose().iter().all(|byte| *byte == key.expose()[0]) {
        return Err(Refusal::with_hint("all its bytes are the same"));
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_key_reads_in_either_alphabet_padded_or_not() {
        let key: [u8; 32] = std::array::from_fn(|index| u8::try_from(250 - index).unwrap());
        for engine in [STANDARD, URL_SAFE] {
            let text = engine.encode(key);
            assert_eq!(parse(&text).unwrap().expose(), &key);
            assert_eq!(parse(text.trim_end_matches('=')).unwrap().expose(), &key);
        }
    }

    #[test]
    fn a_weak_or_misshapen_key_is_refused() {
        let hint = |text: &str| parse(text).unwrap_err().hint.unwrap();
        assert_eq!(hint(&STANDARD.encode([0; 32])), "all its bytes are the same");
        assert_eq!(hint(&STANDARD.encode([7; 32])), "all its bytes are the same");
        assert_eq!(hint(&STANDARD.encode([7; 31])), "it has 31 bytes");
        assert_eq!(hint(&STANDARD.encode([7; 33])), "it has 33 bytes");
        assert_eq!(hint(""), "it has 0 bytes");
        assert_eq!(hint("correct horse battery staple"), "it is not base64");
        assert_eq!(hint(&format!("{}\n", STANDARD.encode([7; 32]))), "it is not base64");
    }
}
