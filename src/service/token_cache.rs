//! Access tokens that may be handed out again: for the same state of a session, the same audience and the same key, until half
//! of their life is gone.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use quick_cache::{Weighter, sync::Cache};

use super::entry_size::{COUNTERS_OF_ARC, allocated, bounded, slot, with_holes};
use crate::{clock::nanoseconds, crypto::token_frame::AccessToken, domain::signing_key::KeyId};

/// How many tokens may be signed at once for different sessions without waiting for each other.
const STRIPES: usize = 256;

/// Whom a token is for: a state of a session, and an audience by its place in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenFor {
    /// The state of the session.
    pub state: u64,
    /// The audience.
    pub audience: usize,
}

/// A token and what ends its reuse.
#[derive(Debug, Clone)]
pub struct ReusableToken {
    token: Arc<AccessToken>,
    /// Monotonic nanoseconds.
    until: u64,
    until_wall: i64,
}

impl ReusableToken {
    /// A token that is handed out until the monotonic time `until`, and until `until_wall` by the wall clock, in microseconds since
    /// 1970, so that a clock that jumps hands out nothing stale.
    #[must_use]
    pub fn new(token: AccessToken, until: Duration, until_wall: i64) -> Self {
        Self { token: Arc::new(token), until: nanoseconds(until), until_wall }
    }
}

#[derive(Debug, Clone)]
struct Size;

impl Size {
    fn of(token: usize) -> usize {
        let shared = allocated(COUNTERS_OF_ARC + size_of::<AccessToken>());
        with_holes(slot::<TokenFor, ReusableToken>() + shared + allocated(token))
    }
}

impl Weighter<TokenFor, ReusableToken> for Size {
    fn weight(&self, _whom: &TokenFor, reusable: &ReusableToken) -> u64 {
        Self::of(reusable.token.own_length()) as u64
    }
}

/// Tokens that may be handed out again.
pub struct TokenCache {
    entries: Cache<TokenFor, ReusableToken, Size>,
    stripes: Vec<Mutex<()>>,
}

impl std::fmt::Debug for TokenCache {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("TokenCache").field("entries", &self.entries.len()).finish_non_exhaustive()
    }
}

impl TokenCache {
    /// An empty cache of at most about `bytes`.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        const TYPICAL: usize = 384;
        let stripes = (0..STRIPES).map(|_| Mutex::new(())).collect();
        Self { entries: bounded(bytes, Size::of(TYPICAL), Size), stripes }
    }

    /// The token for `whom`, if it may still be handed out.
    #[must_use]
    pub fn get(&self, whom: TokenFor, kid: &KeyId, monotonic: Duration, wall: i64) -> Option<Arc<AccessToken>> {
        let reusable = self.entries.get(&whom)?;
        let in_time = nanoseconds(monotonic) < reusable.until && wall < reusable.until_wall;
        let usable = in_time && reusable.token.kid() == kid;
        usable.then_some(reusable.token)
    }

    /// The token for `whom`: one that may still be handed out, or what `sign` makes, once for all who ask at the same time.
    ///
    /// # Errors
    /// Whatever `sign` fails with.
    pub fn get_or_sign<E>(
        &self,
        whom: TokenFor,
        kid: &KeyId,
        monotonic: Duration,
        wall: i64,
        sign: impl FnOnce() -> Result<ReusableToken, E>,
    ) -> Result<(Arc<AccessToken>, bool), E> {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "states are numbered, and only the low bits choose a stripe"
        )]
        let stripe = (whom.state as usize).wrapping_add(whom.audience) % STRIPES;
        let _signing = self.stripes[stripe].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(token) = self.get(whom, kid, monotonic, wall) {
            return Ok((token, true));
        }
        let reusable = sign()?;
        let token = Arc::clone(&reusable.token);
        self.entries.insert(whom, reusable);
        Ok((token, false))
    }

    /// How many tokens are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many bytes they take, within a fifth.
    #[must_use]
    pub fn weight(&self) -> u64 {
        self.entries.weight()
    }

    /// Whether none is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
