//! The symmetric signature of webhooks (Standard Webhooks, "Signature scheme").

use std::fmt;

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use time::OffsetDateTime;

/// A secret shared with a receiver; signs what is posted to it.
pub struct WebhookKey(hmac::Key);

impl WebhookKey {
    /// The key that a secret's bytes stand for.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// The signature of a message that is sent at `sent_at`: `v1,` and the HMAC-SHA-256 of `id.timestamp.body` in base64.
    #[must_use]
    pub fn sign(&self, id: &str, sent_at: OffsetDateTime, body: &str) -> String {
        let signed = format!("{id}.{}.{body}", sent_at.unix_timestamp());
        format!("v1,{}", STANDARD.encode(hmac::sign(&self.0, signed.as_bytes())))
    }
}

impl fmt::Debug for WebhookKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("WebhookKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_signed_as_other_implementations_sign_it() {
        // The secret, message and signature that the specification's own libraries are tested with.
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let sent_at = OffsetDateTime::from_unix_timestamp(1_614_265_330).unwrap();
        let signature =
            WebhookKey::new(&secret).sign("msg_p5jXN8AQM9LWM0D4loKWxJek", sent_at, r#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(format!("{:?}", WebhookKey::new(&secret)), "WebhookKey(…)");
    }
}
