//! The only room that draws random bytes, always from the operating system's generator.
//!
//! There is no seedable generator in the program, so none can be switched on by mistake.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};

/// The system generator gave no bytes; nothing secret may be made until it does.
#[derive(Debug, thiserror::Error)]
#[error("the system's random generator failed")]
pub struct RandomFailed;

/// `N` bytes fit for secrets (NIST SP 800-90A, by way of AWS-LC).
///
/// # Errors
/// [`RandomFailed`] when the generator cannot be read. Callers refuse the work; they never fall back.
#[expect(clippy::disallowed_methods, reason = "this is the room that draws random bytes")]
pub fn bytes<const N: usize>() -> Result<[u8; N], RandomFailed> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| RandomFailed)?;
    Ok(bytes)
}
