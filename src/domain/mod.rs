//! The nouns of the product and their rules: no I/O, no async, no framework.
//!
//! - [`session`]: the session.
//! - [`standing`]: the one rule that says whether it is alive.
//! - [`session_token`]: the secret in the cookie, and the digest that is stored.
//! - [`cookie_header`]: the exact parser that finds the token in a request.
//! - [`return_to`]: where a browser goes after signing in.
//! - [`subject`]: whom a session belongs to.
//! - [`audience`]: who a token is for, and what it may say there.
//! - [`unusual_activity`]: what it means that a session is used from elsewhere.
//! - [`access_token`]: the exact claim set of a token.
//! - [`claims_text`]: the same as text, put together of finished parts.
//! - [`signing_key`]: a key's states, decided by its dates.
//! - [`client`]: service credentials and their scopes.
//! - [`username`]: the name of a password account, in its one form.
//! - [`password`]: a password in memory, and the rules for a new one.
//! - [`login_throttle`]: what a sign-in attempt is counted under, and what that leads to.
//! - [`device`]: what a request tells of the device it comes from.
//! - [`ended_sessions`]: sessions that ended so recently that a token of theirs could still live.
//! - [`event`]: security events, and what is told of them.
//! - [`retry`]: when something that failed is tried again.
//! - [`instant`]: how an instant is written.
//! - [`strict_json`]: JSON in which nothing is ambiguous.
//! - [`urlencoded`]: forms in which nothing is ambiguous.

pub mod access_token;
pub mod audience;
pub mod claims_text;
pub mod client;
mod common_password;
pub mod cookie_header;
pub mod device;
pub mod ended_sessions;
pub mod event;
pub mod instant;
pub mod login_throttle;
pub mod password;
pub mod retry;
pub mod return_to;
pub mod session;
pub mod session_token;
pub mod signing_key;
pub mod standing;
pub mod strict_json;
pub mod subject;
pub mod unusual_activity;
pub mod urlencoded;
pub mod username;
