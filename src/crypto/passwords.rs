//! Argon2id (RFC 9106), the only form in which a password is kept: a PHC string with its parameters and its salt.

use std::fmt;

use argon2::{Algorithm, Argon2, Block, Params, PasswordHash, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use zeroize::Zeroizing;

use crate::{
    domain::password::Password,
    random::{self, RandomFailed},
};

/// Least memory of one hash in KiB (OWASP Password Storage, "Argon2id").
pub const MIN_MEMORY_KIB: u32 = 19 * 1_024;
/// Most memory of one hash in KiB; a stored hash that asks for more is not computed.
pub const MAX_MEMORY_KIB: u32 = 256 * 1_024;
/// Fewest passes over the memory.
pub const MIN_ITERATIONS: u32 = 2;
/// Most passes over the memory.
pub const MAX_ITERATIONS: u32 = 16;
/// Most lanes.
pub const MAX_PARALLELISM: u32 = 8;

const SALT_LENGTH: usize = 16;
const HASH_LENGTH: usize = 32;

/// What one hash costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordCost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub iterations: u32,
    /// Lanes of the memory; computed one after the other.
    pub parallelism: u32,
}

/// Why a password was not hashed.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// The cost is outside of what is allowed.
    #[error("the cost of password hashes is not allowed")]
    Cost,
    /// No salt could be drawn.
    #[error("no salt could be made")]
    Random(#[from] RandomFailed),
    /// The password is longer than any password is.
    #[error("the password is too long to be hashed")]
    TooLong,
}

/// What a presented password is, measured by a stored hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is the password. `outdated`: its hash should be made anew at today's cost.
    Right {
        /// Whether the stored hash has another cost than today's.
        outdated: bool,
    },
    /// It is another one.
    Wrong,
    /// What is stored is no hash that can be computed, so nothing is right.
    Unusable,
}

/// The memory that hashes are computed in, kept by whoever computes many.
#[derive(Default)]
pub struct Memory(Vec<Block>);

impl fmt::Debug for Memory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Memory").field("kib", &self.0.len()).finish()
    }
}

/// Makes and verifies password hashes at one cost.
#[derive(Debug, Clone)]
pub struct PasswordHasher {
    cost: PasswordCost,
    argon2: Argon2<'static>,
}

impl PasswordHasher {
    /// A hasher that makes hashes of this cost.
    ///
    /// # Errors
    /// [`HashError::Cost`].
    pub fn new(cost: PasswordCost) -> Result<Self, HashError> {
        let in_range = (MIN_MEMORY_KIB..=MAX_MEMORY_KIB).contains(&cost.memory_kib)
            && (MIN_ITERATIONS..=MAX_ITERATIONS).contains(&cost.iterations);
        let argon2 = argon2(cost).filter(|_| in_range).ok_or(HashError::Cost)?;
        Ok(Self { cost, argon2 })
    }

    /// The PHC string of a password, under a new salt.
    ///
    /// # Errors
    /// [`HashError`].
    pub fn hash(&self, password: &Password, memory: &mut Memory) -> Result<String, HashError> {
        let salt: [u8; SALT_LENGTH] = random::bytes()?;
        let password = password.expose().ok_or(HashError::TooLong)?;
        let hash = compute(&self.argon2, password, &salt, memory).ok_or(HashError::Cost)?;
        let PasswordCost { memory_kib, iterations, parallelism } = self.cost;
        let (salt, hash) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(&*hash));
        Ok(format!("$argon2id$v=19$m={memory_kib},t={iterations},p={parallelism}${salt}${hash}"))
    }

    /// Compares a presented password with a stored hash. Where there is none, or none that can be computed, a hash is computed at
    /// today's cost all the same, so that the time says nothing.
    #[must_use]
    pub fn verify(&self, password: &Password, stored: Option<&str>, memory: &mut Memory) -> Verdict {
        let Some(password) = password.expose() else { return Verdict::Wrong };
        let parsed = stored.map(Stored::parse);
        let Some(Some(stored)) = parsed else {
            let _ = compute(&self.argon2, password, &[0; SALT_LENGTH], memory);
            return if parsed.is_some() { Verdict::Unusable } else { Verdict::Wrong };
        };
        let computed = argon2(stored.cost).and_then(|argon2| compute(&argon2, password, &stored.salt, memory));
        match computed {
            Some(computed) if verify_slices_are_equal(&*computed, &stored.hash).is_ok() => {
                Verdict::Right { outdated: stored.cost != self.cost }
            }
            Some(_) => Verdict::Wrong,
            None => Verdict::Unusable,
        }
    }
}

/// A stored hash, taken apart.
struct Stored {
    cost: PasswordCost,
    salt: Vec<u8>,
    hash: [u8; HASH_LENGTH],
}

impl Stored {
    /// Takes what [`PasswordHasher::hash`] makes, at any cost up to the highest that is allowed.
    fn parse(text: &str) -> Option<Self> {
        let parsed = PasswordHash::new(text).ok()?;
        let params = Params::try_from(&parsed).ok()?;
        let cost =
            PasswordCost { memory_kib: params.m_cost(), iterations: params.t_cost(), parallelism: params.p_cost() };
        let sound = parsed.algorithm.as_str() == "argon2id"
            && parsed.version == Some(19)
            && params.keyid().is_empty()
            && params.data().is_empty()
            && cost.memory_kib <= MAX_MEMORY_KIB
            && cost.iterations <= MAX_ITERATIONS
            && cost.parallelism <= MAX_PARALLELISM
            && ["m", "t", "p"].into_iter().all(|name| parsed.params.get(name).is_some());
        let hash = parsed.hash?.as_bytes().try_into().ok()?;
        sound.then_some(Self { cost, salt: parsed.salt?.to_vec(), hash })
    }
}

fn argon2(cost: PasswordCost) -> Option<Argon2<'static>> {
    if cost.parallelism > MAX_PARALLELISM {
        return None;
    }
    let params = Params::new(cost.memory_kib, cost.iterations, cost.parallelism, Some(HASH_LENGTH)).ok()?;
    Some(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn compute(
    argon2: &Argon2<'_>,
    password: &[u8],
    salt: &[u8],
    memory: &mut Memory,
) -> Option<Zeroizing<[u8; HASH_LENGTH]>> {
    let blocks = argon2.params().block_count();
    memory.0.resize(blocks, Block::new());
    // One hash that needed more must not keep it for good.
    memory.0.shrink_to(blocks);
    let mut hash = Zeroizing::new([0; HASH_LENGTH]);
    argon2.hash_password_into_with_memory(password, salt, &mut *hash, &mut memory.0).ok()?;
    Some(hash)
}
