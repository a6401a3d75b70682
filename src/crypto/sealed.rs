//! Private signing keys at rest: AES-256-GCM under a derived key, bound to the row they belong to.
//!
//! Sealed bytes are one version byte, 8 bytes that name the master key, a 12-byte random nonce, then ciphertext and tag.

use aws_lc_rs::aead::{Aad, LessSafeKey, NONCE_LEN, Nonce};
use zeroize::Zeroizing;

use crate::{
    domain::{audience::Algorithm, signing_key::KeyId},
    random,
};

use super::{
    error::CryptoError,
    master_key::{MasterKeyId, Vault},
};

const VERSION: u8 = 1;
const PURPOSE: &[u8] = b"ephemint signing key";

/// A private key that was opened. Its bytes are erased when it goes.
pub struct OpenedKey {
    /// The private key in PKCS#8 form.
    pub bytes: Zeroizing<Vec<u8>>,
    /// Whether it was sealed under the current master key; otherwise it should be sealed again.
    pub current: bool,
}

impl std::fmt::Debug for OpenedKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("OpenedKey").field("current", &self.current).finish_non_exhaustive()
    }
}

impl Vault {
    /// Seals a private key under the current master key, for the row of `kid` and `algorithm` only.
    ///
    /// # Errors
    /// [`CryptoError::Random`] or [`CryptoError::Sealing`].
    pub fn seal_private_key(
        &self,
        kid: &KeyId,
        algorithm: Algorithm,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        let id = self.current.id;
        let nonce: [u8; NONCE_LEN] = random::bytes()?;
        let mut body = Zeroizing::new(plaintext.to_vec());
        let tag = self
            .current
            .sealing
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(associated_data(id, kid, algorithm)),
                &mut body,
            )
            .map_err(|_| CryptoError::Sealing(kid.clone()))?;
        Ok([&[VERSION], id.0.as_slice(), &nonce, &body, tag.as_ref()].concat())
    }

    /// Opens a sealed private key, under whichever configured master key it was sealed.
    ///
    /// # Errors
    /// [`CryptoError::UnknownMasterKey`] when that master key is not configured, [`CryptoError::UnknownSealFormat`], and
    /// [`CryptoError::Corrupted`] when the bytes were changed, cut, or sealed for another row.
    pub fn open_private_key(&self, kid: &KeyId, algorithm: Algorithm, sealed: &[u8]) -> Result<OpenedKey, CryptoError> {
        let corrupted = || CryptoError::Corrupted(kid.clone());
        let (&version, rest) = sealed.split_first().ok_or_else(corrupted)?;
        if version != VERSION {
            return Err(CryptoError::UnknownSealFormat { kid: kid.clone(), version });
        }
        let (&id, rest) = rest.split_first_chunk().ok_or_else(corrupted)?;
        let (&nonce, body) = rest.split_first_chunk::<NONCE_LEN>().ok_or_else(corrupted)?;
        let id = MasterKeyId(id);
        let sealing = self.sealing_key(id).ok_or_else(|| CryptoError::UnknownMasterKey {
            kid: kid.clone(),
            sealed_under: id,
            current: self.current.id,
        })?;
        let mut bytes = Zeroizing::new(body.to_vec());
        let length = sealing
            .open_in_place(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(associated_data(id, kid, algorithm)),
                &mut bytes,
            )
            .map_err(|_| corrupted())?
            .len();
        bytes.truncate(length);
        Ok(OpenedKey { bytes, current: id == self.current.id })
    }

    fn sealing_key(&self, id: MasterKeyId) -> Option<&LessSafeKey> {
        std::iter::once(&self.current).chain(&self.previous).find(|keys| keys.id == id).map(|keys| &keys.sealing)
    }
}

/// Each field behind its length, so that no two different rows have the same associated data.
fn associated_data(id: MasterKeyId, kid: &KeyId, algorithm: Algorithm) -> Vec<u8> {
    let fields: [&[u8]; 5] = [PURPOSE, &[VERSION], &id.0, algorithm.as_str().as_bytes(), kid.as_str().as_bytes()];
    fields.into_iter().flat_map(|field| [&(field.len() as u64).to_be_bytes(), field].concat()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::master_key::MasterKey;

    const PLAINTEXT: &[u8] = b"a private key";

    fn vault(current: u8, previous: &[u8]) -> Vault {
        let previous = previous.iter().map(|&byte| MasterKey::from([byte; 32])).collect();
        Vault::new(MasterKey::from([current; 32]), previous).unwrap()
    }

    fn kid(text: &str) -> KeyId {
        KeyId::new(text.to_owned())
    }

    fn seal(vault: &Vault) -> Vec<u8> {
        vault.seal_private_key(&kid("k1"), Algorithm::Es256, PLAINTEXT).unwrap()
    }

    #[test]
    fn a_sealed_key_opens_again_and_does_not_show_itself() {
        let vault = vault(1, &[]);
        let sealed = seal(&vault);
        assert_eq!(sealed.len(), 1 + 8 + 12 + PLAINTEXT.len() + 16);
        assert!(!sealed.windows(4).any(|window| PLAINTEXT.windows(4).any(|plain| plain == window)));
        let opened = vault.open_private_key(&kid("k1"), Algorithm::Es256, &sealed).unwrap();
        assert_eq!((opened.bytes.as_slice(), opened.current), (PLAINTEXT, true));
        assert_eq!(format!("{opened:?}"), "OpenedKey { current: true, .. }");
    }

    #[test]
    fn the_format_never_changes_between_versions() {
        // Made by another implementation of HKDF and AES-GCM. If it no longer opens, every stored key is lost on upgrade.
        let sealed = [
            0x01, 0x36, 0x48, 0x8c, 0x65, 0x25, 0x13, 0xa8, 0x88, 0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08,
            0x09, 0x0a, 0x0b, 0xa1, 0x79, 0x9c, 0x56, 0x8f, 0x16, 0xe2, 0xa3, 0xa7, 0xed, 0x5f, 0x65, 0x68, 0x6e, 0xf8,
            0x43, 0x1a, 0x05, 0x18, 0x0f, 0xae, 0xbf, 0xde, 0x48, 0xa8, 0x61, 0xd0, 0x9d, 0xd2,
        ];
        let opened = vault(7, &[]).open_private_key(&kid("k1"), Algorithm::Es256, &sealed).unwrap();
        assert_eq!((opened.bytes.as_slice(), opened.current), (PLAINTEXT, true));
    }

    #[test]
    fn the_same_key_is_never_sealed_to_the_same_bytes_twice() {
        let vault = vault(1, &[]);
        assert_ne!(seal(&vault), seal(&vault));
    }

    #[test]
    fn a_key_sealed_under_a_previous_master_key_opens_and_says_so() {
        let sealed = seal(&vault(1, &[]));
        let opened = vault(2, &[3, 1]).open_private_key(&kid("k1"), Algorithm::Es256, &sealed).unwrap();
        assert_eq!((opened.bytes.as_slice(), opened.current), (PLAINTEXT, false));
    }

    #[test]
    fn an_unknown_master_key_is_named_beside_the_current_one() {
        let (before, after) = (vault(1, &[]), vault(2, &[]));
        let error = after.open_private_key(&kid("k1"), Algorithm::Es256, &seal(&before)).unwrap_err();
        assert!(matches!(error, CryptoError::UnknownMasterKey { .. }));
        let text = error.to_string();
        assert!(text.contains(&before.current_id().to_string()) && text.contains(&after.current_id().to_string()));
    }

    #[test]
    fn sealed_bytes_moved_to_another_row_do_not_open() {
        let vault = vault(1, &[]);
        let sealed = seal(&vault);
        for (kid, algorithm) in [(kid("k2"), Algorithm::Es256), (kid("k1"), Algorithm::EdDsa)] {
            let error = vault.open_private_key(&kid, algorithm, &sealed).unwrap_err();
            assert!(matches!(error, CryptoError::Corrupted(_)));
        }
    }

    #[test]
    fn any_changed_or_missing_byte_is_noticed() {
        let vault = vault(1, &[2]);
        let sealed = seal(&vault);
        for position in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[position] ^= 1;
            let error = vault.open_private_key(&kid("k1"), Algorithm::Es256, &changed).unwrap_err();
            match position {
                0 => assert!(matches!(error, CryptoError::UnknownSealFormat { version: 0, .. })),
                1..9 => assert!(matches!(error, CryptoError::UnknownMasterKey { .. })),
                _ => assert!(matches!(error, CryptoError::Corrupted(_))),
            }
            let cut = vault.open_private_key(&kid("k1"), Algorithm::Es256, &sealed[..position]).unwrap_err();
            assert!(matches!(cut, CryptoError::Corrupted(_)));
        }
    }

    #[test]
    fn sealed_bytes_relabelled_with_another_configured_master_key_do_not_open() {
        let vault = vault(1, &[2]);
        let mut sealed = seal(&vault);
        sealed[1..9].copy_from_slice(&vault.previous[0].id.0);
        let error = vault.open_private_key(&kid("k1"), Algorithm::Es256, &sealed).unwrap_err();
        assert!(matches!(error, CryptoError::Corrupted(_)));
    }

    #[test]
    fn the_framing_keeps_fields_apart() {
        let id = MasterKeyId([0; 8]);
        assert_ne!(associated_data(id, &kid("6x"), Algorithm::Es256), associated_data(id, &kid("x"), Algorithm::Es256));
        assert!(associated_data(id, &kid("x"), Algorithm::Es256).ends_with(b"\x05ES256\0\0\0\0\0\0\0\x01x"));
    }
}
