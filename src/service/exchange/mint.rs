//! New access tokens, put together of what was written before.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{Exchange, audience::Audience, error::ExchangeError, keeping};
use crate::{
    crypto::signing_key::SigningKey,
    domain::{
        access_token::{Times, whole_seconds},
        claims_text::TokenText,
    },
    random,
    service::{
        live_sessions::Moment, session_cache::CachedSession, sessions::RefusalReason, token_cache::ReusableToken,
    },
};

/// Room for what a token says beside its beginning, so that it is seldom moved.
const TYPICAL: usize = 512;

impl Exchange {
    /// Signs a token.
    pub(super) fn mint(
        &self,
        signer: &SigningKey,
        session: &CachedSession,
        audience: &Audience,
        at: Moment,
    ) -> Result<ReusableToken, ExchangeError> {
        let policy = &audience.policy;
        let session_end = session.standing().expires_at();
        let times = Times::new(at.wall, session_end, policy.lifetime, self.rules.backdate)
            // The session ends within this second.
            .ok_or(ExchangeError::Unauthenticated(RefusalReason::Expired, Some(session.id())))?;
        let mut jti = [0; 22];
        // Sixteen bytes have 22 digits.
        let jti = match URL_SAFE_NO_PAD.encode_slice(random::name::<16>()?, &mut jti) {
            Ok(length) => str::from_utf8(&jti[..length]).unwrap_or_default(),
            Err(_) => "",
        };
        let frame = audience.frame(signer);
        let mut rest = String::with_capacity(TYPICAL);
        rest.push_str(frame.carried());
        let text = TokenText {
            audience: &audience.text,
            session: session.text(),
            session_id: session.id(),
            auth_time: whole_seconds(session.auth_time()),
            times,
            jti,
        };
        let left_out = text.push_rest(&mut rest);
        if !left_out.is_empty() {
            tracing::warn!(
                session.id = %session.id(),
                audience = policy.name.as_str(),
                claims = ?left_out,
                "custom claims left out: the token would be too large for gateways"
            );
        }
        let began = self.clock.monotonic();
        let token = signer.sign_rest(&frame, &rest)?;
        audience.count_signed(&self.metrics, self.clock.monotonic().saturating_sub(began));
        #[expect(clippy::cast_precision_loss, reason = "a token has far fewer bytes than an f64 has integers")]
        self.metrics.token_bytes.observe(token.length() as f64);
        // Handed out again until half of its life is gone, as validators see it: from `iat` to `exp`. Gateways count.
        let kept = i64::try_from(keeping::at_most(self.gateway_cache, policy).as_micros()).unwrap_or(i64::MAX);
        let until_wall = (times.exp + times.iat).saturating_mul(500_000).saturating_sub(kept);
        let left = Duration::from_micros(u64::try_from(until_wall - at.wall).unwrap_or(0));
        Ok(ReusableToken::new(token, at.monotonic + left, until_wall))
    }
}
