//! Access tokens that may be handed out again: for the same state of a session, the same audience and the same key, until half
//! of their life is gone.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use quick_cache::{Weighter, sync::Cache};

use crate::{crypto::signing_key::AccessToken, domain::signing_key::KeyId};

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
    /// The token.
    pub token: Arc<AccessToken>,
    /// The key that signed it.
    pub kid: KeyId,
    /// Monotonic time from which on it is not handed out any more.
    pub until: Duration,
    /// The same limit by the wall clock, in microseconds since 1970, so that a clock that jumps hands out nothing stale.
    pub until_wall: i64,
}

#[derive(Debug, Clone)]
struct Size;

impl Weighter<TokenFor, ReusableToken> for Size {
    fn weight(&self, _whom: &TokenFor, reusable: &ReusableToken) -> u64 {
        const OVERHEAD: usize = 96;
        (OVERHEAD + size_of::<ReusableToken>() + reusable.kid.as_str().len() + reusable.token.expose().len()) as u64
    }
}

/// Tokens that may be handed out again.
pub struct TokenCache {
    entries: Cache<TokenFor, ReusableToken, Size>,
    hasher: RandomState,
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
        const TYPICAL: u64 = 768;
        let expected = usize::try_from(bytes / TYPICAL).unwrap_or(usize::MAX);
        Self {
            entries: Cache::with_weighter(expected, bytes, Size),
            hasher: RandomState::new(),
            stripes: (0..STRIPES).map(|_| Mutex::new(())).collect(),
        }
    }

    /// The token for `whom`, if it may still be handed out.
    #[must_use]
    pub fn get(&self, whom: TokenFor, kid: &KeyId, monotonic: Duration, wall: i64) -> Option<Arc<AccessToken>> {
        let reusable = self.entries.get(&whom)?;
        let usable = reusable.kid == *kid && monotonic < reusable.until && wall < reusable.until_wall;
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
        #[expect(clippy::cast_possible_truncation, reason = "only the low bits choose a stripe")]
        let stripe = self.hasher.hash_one(whom) as usize % STRIPES;
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

    /// Whether none is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
