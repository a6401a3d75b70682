//! Secrets in every form in which they might slip out, and the search for them.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use ephemint::{
    crypto::master_key::{MasterKey, Vault},
    domain::{client::ClientSecret, session_token::SessionToken},
};

use crate::support::app::MASTER_KEY;

/// One form of a secret.
struct Canary {
    what: &'static str,
    text: String,
    /// Storage keeps it by design: a digest.
    stored: bool,
}

/// All secrets of a life.
pub(super) struct Canaries {
    vault: Vault,
    all: Vec<Canary>,
}

impl Canaries {
    /// The master key, so far.
    pub(super) fn new() -> Self {
        let key: [u8; 32] = STANDARD.decode(MASTER_KEY).unwrap().try_into().unwrap();
        let mut canaries = Self { vault: Vault::new(MasterKey::from(key), Vec::new()).unwrap(), all: Vec::new() };
        canaries.text("master key", MASTER_KEY);
        canaries.text("master key", std::str::from_utf8(&key).unwrap());
        canaries.bytes("master key", &key, false);
        canaries
    }

    /// A secret text.
    pub(super) fn text(&mut self, what: &'static str, text: &str) {
        assert!(text.len() >= 10, "too short to be found by chance only");
        self.all.push(Canary { what, text: text.to_owned(), stored: false });
        // Without the last character or two, as the padding depends on what follows.
        let encoded = STANDARD.encode(text);
        self.all.push(Canary { what, text: encoded[..encoded.len() - 4].to_owned(), stored: false });
    }

    /// A secret text that storage keeps by design.
    pub(super) fn stored_text(&mut self, what: &'static str, text: &str) {
        self.all.push(Canary { what, text: text.to_owned(), stored: true });
    }

    /// A session token, its bytes, and its digest.
    pub(super) fn session_token(&mut self, text: &str) {
        let token = SessionToken::parse(text.as_bytes()).unwrap();
        self.text("session token", text);
        self.text("session token", &text[4..]);
        self.bytes("session token", token.expose_bytes(), false);
        let digest = self.vault.session_token_digest(&token);
        self.bytes("session token digest", digest.as_ref(), true);
    }

    /// A client secret, its bytes, and its digest.
    pub(super) fn client_secret(&mut self, text: &str) {
        let secret = ClientSecret::parse(text.as_bytes()).unwrap();
        self.text("client secret", text);
        self.text("client secret", &text[4..]);
        self.bytes("client secret", secret.expose_bytes(), false);
        let digest = self.vault.client_secret_digest(&secret);
        self.bytes("client secret digest", digest.as_ref(), true);
    }

    /// The first text of a kind.
    pub(super) fn first(&self, what: &str) -> String {
        self.all.iter().find(|canary| canary.what == what).unwrap().text.clone()
    }

    fn bytes(&mut self, what: &'static str, bytes: &[u8], stored: bool) {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let list = format!("{bytes:?}");
        let escaped: String = bytes.iter().flat_map(|byte| std::ascii::escape_default(*byte)).map(char::from).collect();
        for text in [
            hex.to_uppercase(),
            hex,
            list[1..list.len() - 1].to_owned(),
            escaped,
            STANDARD.encode(bytes),
            URL_SAFE_NO_PAD.encode(bytes),
        ] {
            self.all.push(Canary { what, text, stored });
        }
    }

    /// Checks that no secret is in a text.
    pub(super) fn assert_absent(&self, place: &str, text: &str) {
        assert!(!text.is_empty(), "{place}: nothing to search");
        self.search(place, text, |_| true);
    }

    /// Checks that no secret is in a database's dump, where digests belong and are found.
    pub(super) fn assert_absent_at_rest(&self, dump: &str) {
        self.search("dump", dump, |canary| !canary.stored && canary.what != "what a client sent");
        let digests = self.all.iter().filter(|canary| canary.stored && dump.contains(&canary.text)).count();
        assert!(digests >= 2, "the search finds what is there: one session's digest and one client's");
    }

    fn search(&self, place: &str, text: &str, counts: impl Fn(&Canary) -> bool) {
        for canary in self.all.iter().filter(|canary| counts(canary)) {
            if let Some(at) = text.find(&canary.text) {
                let start = text[..at].rfind('\n').map_or(0, |start| start + 1);
                let line = text[start..].lines().next().unwrap_or_default();
                panic!("{place}: {} as {:?} in {line}", canary.what, canary.text);
            }
        }
    }
}
