//! The keyed digests under which secrets are stored, and the key that signs cookies.
//!
//! HMAC-SHA-256 without salt or stretching: the inputs are 256 random bits, and a digest must be findable by index.

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::domain::{
    client::{ClientSecret, ClientSecretDigest},
    login_throttle::{Network, ThrottleKey, ThrottleKind},
    session::SessionId,
    session_token::{SessionToken, SessionTokenDigest},
};

use super::master_key::Vault;

impl Vault {
    /// The digest under which a session token is stored.
    #[must_use]
    pub fn session_token_digest(&self, token: &SessionToken) -> SessionTokenDigest {
        SessionTokenDigest::new(digest(&self.current.session_tokens, token.expose_bytes()))
    }

    /// Every digest under which a session token may have been stored: the current one first, then the previous ones.
    #[must_use]
    pub fn session_token_digests(&self, token: &SessionToken) -> Vec<SessionTokenDigest> {
        std::iter::once(self.session_token_digest(token)).chain(self.previous_digests(token)).collect()
    }

    /// The digests under which a session token may still be stored since before the last change of master keys.
    #[must_use]
    pub fn previous_session_token_digests(&self, token: &SessionToken) -> Vec<SessionTokenDigest> {
        self.previous_digests(token).collect()
    }

    fn previous_digests(&self, token: &SessionToken) -> impl Iterator<Item = SessionTokenDigest> {
        self.previous.iter().map(|keys| SessionTokenDigest::new(digest(&keys.session_tokens, token.expose_bytes())))
    }

    /// The digest under which a client secret is stored.
    #[must_use]
    pub fn client_secret_digest(&self, secret: &ClientSecret) -> ClientSecretDigest {
        ClientSecretDigest::new(digest(&self.current.client_secrets, secret.expose_bytes()))
    }

    /// Every digest under which a client secret may have been stored: the current one first, then the previous ones.
    #[must_use]
    pub fn client_secret_digests(&self, secret: &ClientSecret) -> Vec<ClientSecretDigest> {
        let previous = self.previous.iter().map(|keys| digest(&keys.client_secrets, secret.expose_bytes()));
        std::iter::once(self.client_secret_digest(secret)).chain(previous.map(ClientSecretDigest::new)).collect()
    }

    /// The synchroniser token of a session (OWASP CSRF Prevention, "Synchronizer Token Pattern"): bound to the session by
    /// a key, so that it needs no storage and no other session's token fits.
    #[must_use]
    pub fn csrf_token(&self, session: SessionId) -> String {
        URL_SAFE_NO_PAD.encode(hmac::sign(&self.current.csrf_tokens, session.as_uuid().as_bytes()))
    }

    /// Whether this is the synchroniser token of a session, under the current master key or a previous one. Takes the same time
    /// for every wrong token.
    #[must_use]
    pub fn is_csrf_token(&self, session: SessionId, presented: &str) -> bool {
        let Ok(tag) = URL_SAFE_NO_PAD.decode(presented) else { return false };
        let fits = |keys: &hmac::Key| hmac::verify(keys, session.as_uuid().as_bytes(), &tag).is_ok();
        std::iter::once(&self.current).chain(&self.previous).any(|keys| fits(&keys.csrf_tokens))
    }

    /// The key under which sign-in attempts of one kind are counted: a digest, because names and addresses are personal, and keyed,
    /// because there are so few of them that anybody could try them all.
    #[must_use]
    pub fn throttle_key(&self, kind: ThrottleKind, account: &[u8], network: Network) -> ThrottleKey {
        let network = network.to_string();
        let (account, network): (&[u8], &[u8]) = match kind {
            ThrottleKind::AccountNetwork => (account, network.as_bytes()),
            ThrottleKind::Network => (&[], network.as_bytes()),
            ThrottleKind::Account => (account, &[]),
            ThrottleKind::Overall => (&[], &[]),
        };
        let mut context = hmac::Context::with_key(&self.current.throttle_keys);
        // No network and no kind holds a zero byte, so the parts cannot run into each other.
        for part in [kind.as_str().as_bytes(), network, account] {
            context.update(part);
            context.update(&[0]);
        }
        let mut digest = [0; 32];
        // As below.
        digest.copy_from_slice(context.sign().as_ref());
        ThrottleKey::new(digest)
    }

    /// The 64 bytes that sign cookies, under the current master key. Secret: only for the cookie library.
    #[must_use]
    pub fn cookie_key(&self) -> [u8; 64] {
        *self.current.cookies
    }
}

fn digest(key: &hmac::Key, secret: &[u8; 32]) -> [u8; 32] {
    let mut digest = [0; 32];
    // The tag of HMAC-SHA-256 has 32 bytes (RFC 2104 §2), so the lengths are equal.
    digest.copy_from_slice(hmac::sign(key, secret).as_ref());
    digest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::master_key::MasterKey;

    fn vault(current: u8, previous: &[u8]) -> Vault {
        let previous = previous.iter().map(|&byte| MasterKey::from([byte; 32])).collect();
        Vault::new(MasterKey::from([current; 32]), previous).unwrap()
    }

    #[test]
    fn a_token_digested_under_an_old_master_key_is_still_found() {
        let token = SessionToken::generate().unwrap();
        let secret = ClientSecret::generate().unwrap();
        let (before, after) = (vault(1, &[]), vault(2, &[1]));
        let tokens = [after.session_token_digest(&token), before.session_token_digest(&token)];
        let secrets = [after.client_secret_digest(&secret), before.client_secret_digest(&secret)];
        assert_ne!(tokens[0], tokens[1]);
        assert_eq!(after.session_token_digests(&token), tokens);
        assert_eq!(after.client_secret_digests(&secret), secrets);
        assert_eq!(before.session_token_digests(&token), tokens[1..]);
    }

    #[test]
    fn the_same_bytes_as_token_and_as_secret_have_different_digests() {
        let token = SessionToken::generate().unwrap();
        let text = token.expose().replacen("ems_", "emc_", 1);
        let secret = ClientSecret::parse(text.as_bytes()).unwrap();
        let vault = vault(1, &[]);
        assert_ne!(vault.session_token_digest(&token).as_ref(), vault.client_secret_digest(&secret).as_ref());
    }

    #[test]
    fn a_csrf_token_fits_its_session_alone_across_a_change_of_master_key() {
        let [own, other] = [1, 2].map(|_| SessionId::generate(time::OffsetDateTime::UNIX_EPOCH).unwrap());
        let token = vault(1, &[]).csrf_token(own);
        assert!(vault(1, &[]).is_csrf_token(own, &token) && vault(2, &[1]).is_csrf_token(own, &token));
        assert!(!vault(1, &[]).is_csrf_token(other, &token) && !vault(2, &[]).is_csrf_token(own, &token));
        for wrong in ["", "A", &token[1..], &format!("{token}A"), &format!("{token}="), &token.replace('-', "+")] {
            assert!(!vault(1, &[]).is_csrf_token(own, wrong) || *wrong == token, "{wrong}");
        }
    }

    #[test]
    fn every_kind_account_and_network_is_counted_under_a_key_of_its_own() {
        use ThrottleKind::{Account, AccountNetwork, Network as OneNetwork, Overall};

        let network = |text: &str| Network::of(text.parse().unwrap());
        let (here, there) = (network("203.0.113.9"), network("203.0.113.10"));
        let vault = vault(1, &[]);
        let key = |kind, account: &str, network| vault.throttle_key(kind, account.as_bytes(), network);
        let keys = [
            key(AccountNetwork, "alice", here),
            key(AccountNetwork, "alice", there),
            key(AccountNetwork, "bob", here),
            key(OneNetwork, "alice", here),
            key(OneNetwork, "alice", there),
            key(Account, "alice", here),
            key(Account, "bob", here),
            key(Account, "203.0.113.9", here),
            key(Overall, "alice", here),
        ];
        for (position, one) in keys.iter().enumerate() {
            assert!(!keys[..position].contains(one), "{position}");
        }
        assert_eq!(key(OneNetwork, "alice", here), key(OneNetwork, "bob", here));
        assert_eq!(key(Account, "alice", here), key(Account, "alice", there));
        assert_eq!(key(Overall, "alice", here), key(Overall, "bob", there));
        assert_ne!(key(Account, "alice", here), self::vault(2, &[]).throttle_key(Account, b"alice", here));
    }

    #[test]
    fn cookies_are_signed_under_the_current_master_key() {
        assert_eq!(vault(1, &[]).cookie_key(), vault(1, &[2]).cookie_key());
        assert_ne!(vault(1, &[]).cookie_key(), vault(2, &[1]).cookie_key());
    }
}
