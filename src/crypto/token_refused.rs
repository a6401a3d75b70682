//! Why a presented access token was refused, one reason per rule.
//!
//! The reasons are for logs, metrics and tests. They repeat nothing from the token, and callers never send them.

/// The rule that a presented token broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefused {
    /// It is longer than [`MAX_LENGTH`](super::verifier::MAX_LENGTH) bytes; nothing else was looked at.
    #[error("the token is too long")]
    TooLong,
    /// It is not a compact JWS: header, payload and signature between two dots (RFC 7515 §7.1).
    #[error("the token does not have three segments")]
    NotThreeSegments,
    /// A segment is not base64url, has padding, or has stray bits at its end (RFC 7515 §2).
    #[error("a segment is not canonical base64url")]
    NotBase64Url,
    /// The header or the payload is not one JSON object.
    #[error("the header or the payload is not a JSON object")]
    NotJsonObject,
    /// A name occurs twice in the header or in the payload.
    #[error("a name occurs twice")]
    DuplicateMember,
    /// A header member that would bring a key, a URL, an extension or an encoding of the sender's choice.
    #[error("the header has {0}")]
    ForbiddenHeader(&'static str),
    /// A header member that our tokens do not have.
    #[error("the header has an unknown member")]
    UnknownHeader,
    /// `alg` is absent, not text, or not one of ours; `none` and HMAC among them (RFC 8725 §3.1).
    #[error("the algorithm is not allowed")]
    AlgorithmNotAllowed,
    /// `kid` is absent or not text.
    #[error("the key id is missing")]
    KeyIdMissing,
    /// `typ` is absent or not text.
    #[error("the token type is missing")]
    TypeMissing,
    /// `typ` is neither `JWT` nor `at+jwt` (RFC 8725 §3.11).
    #[error("the token type is not allowed")]
    TypeNotAllowed,
    /// No key of ours has that `kid`.
    #[error("the key is unknown")]
    KeyUnknown,
    /// The key with that `kid` signs with another algorithm.
    #[error("the algorithm is not that of the key")]
    AlgorithmNotOfKey,
    /// The signature does not verify, or is a second spelling of one that would.
    #[error("the signature is wrong")]
    WrongSignature,
    /// A required claim is absent.
    #[error("the claim {0} is missing")]
    ClaimMissing(&'static str),
    /// A claim has the wrong JSON type or an impossible value. Times are integers from zero.
    #[error("the claim {0} is malformed")]
    ClaimMalformed(&'static str),
    /// `iss` is not exactly the expected issuer.
    #[error("the issuer is another")]
    WrongIssuer,
    /// `aud` is not exactly the expected audience.
    #[error("the audience is another")]
    WrongAudience,
    /// `exp` has passed.
    #[error("the token has expired")]
    Expired,
    /// `iat` is in the future.
    #[error("the token is from the future")]
    IssuedInFuture,
    /// `nbf` is in the future.
    #[error("the token is not valid yet")]
    NotYetValid,
}
