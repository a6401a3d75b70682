//! What can fail in this room, other than a presented token (see [`super::token_refused`]).

use crate::{
    domain::{audience::Algorithm, signing_key::KeyId},
    random::RandomFailed,
};

use super::master_key::MasterKeyId;

/// A cryptographic operation that failed. No variant carries key material or a token.
#[derive(Debug, thiserror::Error)]
pub enum CryptoError {
    /// No key could be derived from a master key.
    #[error("a key could not be derived from a master key")]
    Derivation,
    /// The system gave no random bytes.
    #[error("no random bytes for a nonce")]
    Random(#[from] RandomFailed),
    /// A private key could not be encrypted.
    #[error("signing key {0} could not be sealed")]
    Sealing(KeyId),
    /// A sealed private key belongs to a master key that is neither the current one nor a previous one.
    #[error(
        "signing key {kid} is sealed under master key {sealed_under}, which is not configured; the current one is {current}"
    )]
    UnknownMasterKey {
        /// The signing key.
        kid: KeyId,
        /// The master key it was sealed under.
        sealed_under: MasterKeyId,
        /// The master key that is configured as current.
        current: MasterKeyId,
    },
    /// A sealed private key starts with a version that this program does not know.
    #[error("signing key {kid} is sealed in format {version}, which this version does not know")]
    UnknownSealFormat {
        /// The signing key.
        kid: KeyId,
        /// The first sealed byte.
        version: u8,
    },
    /// A sealed private key was changed, cut, or moved here from another key.
    #[error("the sealed bytes of signing key {0} are corrupted or belong to another key")]
    Corrupted(KeyId),
    /// No new signing key could be made.
    #[error("a new {0} key could not be generated")]
    Generation(Algorithm),
    /// The bytes are not a private key of that algorithm.
    #[error("the private key is not a usable {0} key")]
    PrivateKeyRejected(Algorithm),
    /// A public JWK is not one of ours; the text says which part is wrong.
    #[error("the public JWK is not usable: {0}")]
    PublicJwkRejected(&'static str),
    /// A custom claim has the name of a claim that Ephemint alone decides.
    #[error("a custom claim must not be named {0:?}")]
    ReservedClaim(String),
    /// The claims have no JSON form.
    #[error("the claims could not be written as JSON")]
    Claims(#[source] serde_json::Error),
    /// What a token was to begin with names another key.
    #[error("the beginning of the token belongs to another key")]
    FrameOfAnotherKey,
    /// The signature could not be made.
    #[error("the token could not be signed")]
    Signing(#[source] josekit::JoseError),
}
