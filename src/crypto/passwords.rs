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
        let hash = self.compute(&self.argon2, password, &salt, memory).ok_or(HashError::Cost)?;
        let PasswordCost { memory_kib, iterations, parallelism } = self.cost;
        let (salt, hash) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(*hash));
        Ok(format!("$argon2id$v=19$m={memory_kib},t={iterations},p={parallelism}${salt}${hash}"))
    }

    /// Compares a presented password with a stored hash. Where there is none, or none that can be computed, a hash is computed at
    /// today's cost all the same, so that the time says nothing.
    #[must_use]
    pub fn verify(&self, password: &Password, stored: Option<&str>, memory: &mut Memory) -> Verdict {
        let Some(password) = password.expose() else { return Verdict::Wrong };
        let parsed = stored.map(Stored::parse);
        let Some(Some(stored)) = parsed else {
            let _ = self.compute(&self.argon2, password, &[0; SALT_LENGTH], memory);
            return if parsed.is_some() { Verdict::Unusable } else { Verdict::Wrong };
        };
        let computed = argon2(stored.cost).and_then(|argon2| self.compute(&argon2, password, &stored.salt, memory));
        if let Some(rest) = rest(self.cost, stored.cost).and_then(argon2) {
            // What an older hash saves is spent all the same: no account can be told from an unknown name by its age.
            let _ = self.compute(&rest, password, &stored.salt, memory);
        }
        match computed {
            Some(computed) if verify_slices_are_equal(&*computed, &stored.hash).is_ok() => {
                Verdict::Right { outdated: stored.cost != self.cost }
            }
            Some(_) => Verdict::Wrong,
            None => Verdict::Unusable,
        }
    }

    fn compute(
        &self,
        argon2: &Argon2<'_>,
        password: &[u8],
        salt: &[u8],
        memory: &mut Memory,
    ) -> Option<Zeroizing<[u8; HASH_LENGTH]>> {
        // One hash that needed more than others must not keep it for good, and one that needs less must not give it back.
        let blocks = argon2.params().block_count().max(self.argon2.params().block_count());
        memory.0.resize(blocks, Block::new());
        memory.0.shrink_to(blocks);
        let mut hash = Zeroizing::new([0; HASH_LENGTH]);
        argon2.hash_password_into_with_memory(password, salt, &mut *hash, &mut memory.0).ok()?;
        Some(hash)
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

/// What is left of today's work after a stored hash was computed; nothing where that is next to nothing.
fn rest(today: PasswordCost, stored: PasswordCost) -> Option<PasswordCost> {
    let work = |cost: PasswordCost| u64::from(cost.memory_kib) * u64::from(cost.iterations);
    let left = work(today).saturating_sub(work(stored));
    let iterations = left.div_ceil(u64::from(today.memory_kib)).max(1);
    let memory_kib = u32::try_from(left / iterations).ok()?;
    let cost = PasswordCost { memory_kib, iterations: u32::try_from(iterations).ok()?, parallelism: 1 };
    (memory_kib >= Params::MIN_M_COST).then_some(cost)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: PasswordCost = PasswordCost { memory_kib: MIN_MEMORY_KIB, iterations: MIN_ITERATIONS, parallelism: 1 };

    fn password(text: &str) -> Password {
        Password::from(text.to_owned())
    }

    fn verify(stored: &str) -> Verdict {
        PasswordHasher::new(CHEAP).unwrap().verify(
            &password("gravel otters sing"),
            Some(stored),
            &mut Memory::default(),
        )
    }

    #[test]
    fn a_hash_verifies_its_password_and_no_other() {
        let hasher = PasswordHasher::new(CHEAP).unwrap();
        let mut memory = Memory::default();
        let [one, other] = [(); 2].map(|()| hasher.hash(&password("gravel otters sing"), &mut memory).unwrap());
        assert!(one.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{one}");
        assert_ne!(one, other, "two hashes share a salt");
        for (text, expected) in [
            ("gravel otters sing", Verdict::Right { outdated: false }),
            ("Gravel otters sing", Verdict::Wrong),
            ("gravel otters sing ", Verdict::Wrong),
            ("", Verdict::Wrong),
        ] {
            assert_eq!(hasher.verify(&password(text), Some(&one), &mut memory), expected, "{text}");
        }
        assert_eq!(hasher.verify(&password("gravel otters sing"), None, &mut memory), Verdict::Wrong);
        // The second of two memories has blocks of the first in it.
        assert_eq!(memory.0.len(), 19_456);
        assert_eq!(verify(&one), Verdict::Right { outdated: false });
    }

    #[test]
    fn a_hash_of_another_cost_is_right_and_outdated() {
        for cost in [
            PasswordCost { memory_kib: 8, iterations: 1, parallelism: 1 },
            PasswordCost { memory_kib: 64, iterations: 3, parallelism: 4 },
            PasswordCost { memory_kib: 20 * 1_024, ..CHEAP },
        ] {
            let hasher = PasswordHasher { cost, argon2: argon2(cost).unwrap() };
            let stored = hasher.hash(&password("gravel otters sing"), &mut Memory::default()).unwrap();
            assert_eq!(verify(&stored), Verdict::Right { outdated: true }, "{cost:?}");
        }
    }

    #[test]
    fn the_reference_implementation_agrees() {
        // `echo -n password | argon2 somesalt -id -t 2 -m 16 -p 1 -l 32 -e`, from its documented test vectors.
        let stored = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        let hasher = PasswordHasher::new(CHEAP).unwrap();
        let verdict = hasher.verify(&password("password"), Some(stored), &mut Memory::default());
        assert_eq!(verdict, Verdict::Right { outdated: true });
    }

    #[test]
    fn a_corrupt_or_greedy_hash_is_unusable_and_never_computed() {
        let salt = "AAAAAAAAAAAAAAAAAAAAAA";
        let hash = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        for stored in [
            String::new(),
            "x".to_owned(),
            "$".to_owned(),
            "gravel otters sing".to_owned(),
            "$2b$12$abcdefghijklmnopqrstuuJ8s5h1N0ZfTqZ8bYk9rT7mXk0y3bD7e".to_owned(),
            format!("$argon2i$v=19$m=19456,t=2,p=1${salt}${hash}"),
            format!("$argon2d$v=19$m=19456,t=2,p=1${salt}${hash}"),
            format!("$scrypt$ln=16,r=8,p=1${salt}${hash}"),
            format!("$argon2id$v=16$m=19456,t=2,p=1${salt}${hash}"),
            format!("$argon2id$m=19456,t=2,p=1${salt}${hash}"),
            format!("$argon2id$v=19$m=4194304,t=2,p=1${salt}${hash}"),
            format!("$argon2id$v=19$m=4294967295,t=2,p=1${salt}${hash}"),
            format!("$argon2id$v=19$m=99999999999,t=2,p=1${salt}${hash}"),
            format!("$argon2id$v=19$m=19456,t=4294967295,p=1${salt}${hash}"),
            format!("$argon2id$v=19$m=19456,t=0,p=1${salt}${hash}"),
            format!("$argon2id$v=19$m=19456,t=2,p=0${salt}${hash}"),
            format!("$argon2id$v=19$m=19456,t=2,p=16777215${salt}${hash}"),
            format!("$argon2id$v=19$m=7,t=2,p=1${salt}${hash}"),
            format!("$argon2id$v=19$m=-1,t=2,p=1${salt}${hash}"),
            format!("$argon2id$v=19${salt}${hash}"),
            format!("$argon2id$v=19$m=19456,t=2${salt}${hash}"),
            format!("$argon2id$v=19$m=19456,t=2,p=1,keyid=AAAA${salt}${hash}"),
            format!("$argon2id$v=19$m=19456,t=2,p=1,data=AAAA${salt}${hash}"),
            format!("$argon2id$v=19$m=19456,t=2,p=1${salt}"),
            format!("$argon2id$v=19$m=19456,t=2,p=1$${hash}"),
            format!("$argon2id$v=19$m=19456,t=2,p=1$AAAA${hash}"),
            format!("$argon2id$v=19$m=19456,t=2,p=1${salt}${}", &hash[..22]),
            format!("$argon2id$v=19$m=19456,t=2,p=1${salt}${hash}AAAA"),
            format!("$argon2id$v=19$m=19456,t=2,p=1${salt}${}!", &hash[..42]),
            format!("$argon2id$v=19$m=19456,t=2,p=1${salt}${hash}$"),
        ] {
            let mut memory = Memory::default();
            let hasher = PasswordHasher::new(CHEAP).unwrap();
            assert_eq!(
                hasher.verify(&password("gravel otters sing"), Some(&stored), &mut memory),
                Verdict::Unusable,
                "{stored}"
            );
            // As much work as for any other, and no more.
            assert_eq!(memory.0.len(), 19_456, "{stored}");
        }
    }

    #[test]
    fn an_older_hash_and_what_is_left_are_as_much_work_as_a_hash_of_today() {
        let cost = |memory_kib, iterations| PasswordCost { memory_kib, iterations, parallelism: 1 };
        let work = |cost: PasswordCost| f64::from(cost.memory_kib) * f64::from(cost.iterations);
        for (today, stored) in [
            (cost(65_536, 3), cost(19_456, 2)),
            (cost(19_456, 4), cost(19_456, 2)),
            (cost(38_912, 2), cost(19_456, 2)),
            (cost(262_144, 16), cost(8, 1)),
            (cost(19_456, 2), cost(19_000, 2)),
        ] {
            let left = rest(today, stored).unwrap();
            assert!((work(stored) + work(left)) / work(today) > 0.999, "{today:?} {stored:?} {left:?}");
            assert!(work(stored) + work(left) <= work(today) && left.memory_kib <= today.memory_kib);
        }
        for stored in [cost(19_456, 2), cost(19_456, 3), cost(65_536, 1), cost(19_454, 2)] {
            assert_eq!(rest(cost(19_456, 2), stored), None, "{stored:?}");
        }
    }

    #[test]
    fn costs_below_the_least_or_above_the_most_are_refused() {
        for cost in [
            PasswordCost { memory_kib: MIN_MEMORY_KIB - 1, ..CHEAP },
            PasswordCost { memory_kib: MAX_MEMORY_KIB + 1, ..CHEAP },
            PasswordCost { iterations: 1, ..CHEAP },
            PasswordCost { iterations: 17, ..CHEAP },
            PasswordCost { parallelism: 0, ..CHEAP },
            PasswordCost { parallelism: 9, ..CHEAP },
        ] {
            assert!(PasswordHasher::new(cost).is_err(), "{cost:?}");
        }
    }

    #[test]
    fn a_password_that_is_too_long_is_not_hashed() {
        let hasher = PasswordHasher::new(CHEAP).unwrap();
        let (long, mut memory) = (password(&"a".repeat(1_025)), Memory::default());
        assert!(matches!(hasher.hash(&long, &mut memory), Err(HashError::TooLong)));
        assert_eq!(hasher.verify(&long, None, &mut memory), Verdict::Wrong);
        assert_eq!(memory.0.len(), 0);
    }
}
