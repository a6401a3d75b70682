//! The master keys, and the vault of keys derived from them.
//!
//! A master key is never used itself: HKDF-SHA-256 (RFC 5869) derives one key for each purpose, so that none of them says
//! anything about another. What was sealed or digested under a previous master key is still recognised, so that a change
//! of master key signs nobody out.

use std::fmt;

use aws_lc_rs::{
    aead::{AES_256_GCM, LessSafeKey, UnboundKey},
    hkdf, hmac,
};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::error::CryptoError;

const SALT: &[u8] = b"ephemint master key v1";
// One purpose for each derived key; no two are equal.
const MASTER_KEY_ID: &[u8] = b"master key id";
const SEALING: &[u8] = b"seal signing keys";
const SESSION_TOKENS: &[u8] = b"digest session tokens";
const CLIENT_SECRETS: &[u8] = b"digest client secrets";
const COOKIES: &[u8] = b"sign cookies";
const CSRF_TOKENS: &[u8] = b"bind csrf tokens to sessions";
const THROTTLE_KEYS: &[u8] = b"digest login throttle keys";

/// The operator's secret: 256 bits from which every other symmetric key is derived.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct MasterKey([u8; 32]);

impl From<[u8; 32]> for MasterKey {
    fn from(mut bytes: [u8; 32]) -> Self {
        let key = Self(bytes);
        bytes.zeroize();
        key
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("MasterKey(…)")
    }
}

/// A name for a master key that says nothing about it: derived like the keys, kept in the clear.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MasterKeyId(pub(super) [u8; 8]);

impl fmt::Display for MasterKeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for MasterKeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "MasterKeyId({self})")
    }
}

/// The keys derived from the current master key and from the previous ones.
///
/// New things are sealed and digested under the current one only.
pub struct Vault {
    pub(super) current: DerivedKeys,
    pub(super) previous: Vec<DerivedKeys>,
}

impl Vault {
    /// Derives every key; the master keys are erased on return.
    ///
    /// # Errors
    /// [`CryptoError::Derivation`].
    pub fn new(current: MasterKey, previous: Vec<MasterKey>) -> Result<Self, CryptoError> {
        let vault = Self {
            current: DerivedKeys::derive(&current)?,
            previous: previous.iter().map(DerivedKeys::derive).collect::<Result<_, _>>()?,
        };
        drop((current, previous));
        Ok(vault)
    }

    /// The name of the current master key.
    #[must_use]
    pub fn current_id(&self) -> MasterKeyId {
        self.current.id
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let previous: Vec<MasterKeyId> = self.previous.iter().map(|keys| keys.id).collect();
        formatter.debug_struct("Vault").field("current", &self.current.id).field("previous", &previous).finish()
    }
}

/// What one master key opens.
pub(super) struct DerivedKeys {
    pub(super) id: MasterKeyId,
    pub(super) sealing: LessSafeKey,
    pub(super) session_tokens: hmac::Key,
    pub(super) client_secrets: hmac::Key,
    pub(super) cookies: Zeroizing<[u8; 64]>,
    pub(super) csrf_tokens: hmac::Key,
    pub(super) throttle_keys: hmac::Key,
}

impl DerivedKeys {
    fn derive(master: &MasterKey) -> Result<Self, CryptoError> {
        let root = hkdf::Salt::new(hkdf::HKDF_SHA256, SALT).extract(&master.0);
        let sealing = derive::<32>(&root, SEALING)?;
        let session_tokens = derive::<32>(&root, SESSION_TOKENS)?;
        let client_secrets = derive::<32>(&root, CLIENT_SECRETS)?;
        let csrf_tokens = derive::<32>(&root, CSRF_TOKENS)?;
        let throttle_keys = derive::<32>(&root, THROTTLE_KEYS)?;
        Ok(Self {
            id: MasterKeyId(*derive(&root, MASTER_KEY_ID)?),
            sealing: LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &*sealing).map_err(|_| CryptoError::Derivation)?),
            session_tokens: hmac::Key::new(hmac::HMAC_SHA256, &*session_tokens),
            client_secrets: hmac::Key::new(hmac::HMAC_SHA256, &*client_secrets),
            cookies: derive(&root, COOKIES)?,
            csrf_tokens: hmac::Key::new(hmac::HMAC_SHA256, &*csrf_tokens),
            throttle_keys: hmac::Key::new(hmac::HMAC_SHA256, &*throttle_keys),
        })
    }
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn derive<const N: usize>(root: &hkdf::Prk, purpose: &[u8]) -> Result<Zeroizing<[u8; N]>, CryptoError> {
    let mut key = Zeroizing::new([0; N]);
    root.expand(&[purpose], Length(N))
        .and_then(|material| material.fill(&mut *key))
        .map_err(|_| CryptoError::Derivation)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{client::ClientSecret, session_token::SessionToken};

    #[test]
    fn a_master_key_has_a_stable_name_of_its_own() {
        let id = |byte: u8| Vault::new(MasterKey::from([byte; 32]), vec![]).unwrap().current_id();
        assert_eq!(id(1), id(1));
        assert_ne!(id(1), id(2));
        assert_eq!(id(1).to_string().len(), 16);
    }

    #[test]
    fn each_purpose_has_its_own_key() {
        let root = hkdf::Salt::new(hkdf::HKDF_SHA256, SALT).extract(&[1; 32]);
        let purposes = [MASTER_KEY_ID, SEALING, SESSION_TOKENS, CLIENT_SECRETS, COOKIES, CSRF_TOKENS, THROTTLE_KEYS];
        let keys = purposes.map(|purpose| *derive::<32>(&root, purpose).unwrap());
        for (position, key) in keys.iter().enumerate() {
            assert!(!keys[..position].contains(key));
        }
    }

    #[test]
    fn the_derivation_never_changes_between_versions() {
        // Everything at rest depends on it: a different output here means every session and key is lost on upgrade.
        let vault = Vault::new(MasterKey::from([7; 32]), vec![]).unwrap();
        // The values were computed by another implementation of RFC 5869.
        let bytes = "CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk";
        let token = SessionToken::parse(format!("ems_{bytes}").as_bytes()).unwrap();
        let secret = ClientSecret::parse(format!("emc_{bytes}").as_bytes()).unwrap();
        assert_eq!(vault.current_id().to_string(), "36488c652513a888");
        assert_eq!(vault.cookie_key()[60..], [35, 105, 155, 196]);
        assert_eq!(vault.session_token_digest(&token).as_ref()[..4], [0x27, 0xc2, 0x1a, 0xc4]);
        assert_eq!(vault.client_secret_digest(&secret).as_ref()[..4], [0x8f, 0x84, 0xe1, 0x40]);
    }

    #[test]
    fn nothing_secret_is_printed() {
        let vault = Vault::new(MasterKey::from([1; 32]), vec![MasterKey::from([2; 32])]).unwrap();
        let printed = format!("{:?} {vault:?}", MasterKey::from([1; 32]));
        assert!(printed.starts_with("MasterKey(…) Vault { current: MasterKeyId("), "{printed}");
    }
}
