//! What is sealed, digested, signed and verified: the only room that names the JOSE library and the cryptographic one.
//!
//! - [`master_key`]: the master keys, and the [`Vault`](master_key::Vault) of keys derived from them.
//! - [`sealed`]: private signing keys at rest.
//! - [`signing_key`]: a signing key in memory; signs access tokens.
//! - [`token_frame`]: the access token, and what many of them have in common.
//! - [`verifier`]: the one place where a presented access token is read.
//! - [`token_refused`]: why it was refused.
//! - [`fingerprint`]: digests of what is public.
//! - [`passwords`]: Argon2id, the only form in which a password is kept.
//! - [`webhook_key`]: signs what is posted to others.
//! - [`error`]: everything else that can fail here.
//!
//! The digests of session tokens and client secrets are methods of the vault. josekit writes headers and takes
//! tokens apart; the signatures themselves come from AWS-LC, behind josekit's own traits.

mod claims;
mod digest;
pub mod error;
pub mod fingerprint;
mod header;
mod jwk;
mod low_s;
pub mod master_key;
pub mod passwords;
mod rsa_public_der;
pub mod sealed;
mod signer;
pub mod signing_key;
pub mod token_frame;
pub mod token_refused;
pub mod verifier;
mod verifying_key;
pub mod webhook_key;

#[cfg(test)]
mod tests;
