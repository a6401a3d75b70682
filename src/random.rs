//! The only room that draws random bytes, always from the operating system's generator.
//!
//! There is no seedable generator in the program, so none can be switched on by mistake.

use std::cell::RefCell;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};

/// The system generator gave no bytes; nothing secret may be made until it does.
#[derive(Debug, thiserror::Error)]
#[error("the system's random generator failed")]
pub struct RandomFailed;

/// `N` bytes fit for secrets (NIST SP 800-90A, by way of AWS-LC).
///
/// # Errors
/// [`RandomFailed`] when the generator cannot be read. Callers refuse the work; they never fall back.
pub fn bytes<const N: usize>() -> Result<[u8; N], RandomFailed> {
    let mut bytes = [0; N];
    fill(&mut bytes)?;
    Ok(bytes)
}

/// `N` bytes for a name that must be nobody else's but is no secret, such as a request's id.
///
/// Drawn from the same generator, many at a time: one call of it costs more than the bytes do. Some wait in memory for their
/// use, which is why secrets are not made of them.
///
/// # Errors
/// [`RandomFailed`] when the generator cannot be read.
pub fn name<const N: usize>() -> Result<[u8; N], RandomFailed> {
    const { assert!(N <= DRAWN) };
    NAMES.with_borrow_mut(|(drawn, left)| {
        if *left < N {
            *left = 0;
            fill(drawn)?;
            *left = DRAWN;
        }
        let mut bytes = [0; N];
        bytes.copy_from_slice(&drawn[*left - N..*left]);
        *left -= N;
        Ok(bytes)
    })
}

/// How many bytes for names are drawn at a time.
const DRAWN: usize = 1_024;

thread_local! {
    /// Bytes for names, and how many of them have not been used.
    static NAMES: RefCell<([u8; DRAWN], usize)> = const { RefCell::new(([0; DRAWN], 0)) };
}

#[expect(clippy::disallowed_methods, reason = "this is the room that draws random bytes")]
fn fill(bytes: &mut [u8]) -> Result<(), RandomFailed> {
    SystemRandom::new().fill(bytes).map_err(|_| RandomFailed)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_name_is_given_twice() {
        let names: HashSet<[u8; 10]> = (0..1_000).map(|_| name().unwrap()).collect();
        assert_eq!(names.len(), 1_000);
        assert!(!names.contains(&[0; 10]));
    }
}
