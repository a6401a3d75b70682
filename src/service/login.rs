//! Sign in with a password: throttled, checked on threads of its own, and never telling what was wrong.

use std::net::IpAddr;

use super::{accounts::Accounts, login_throttle::Counted, password_pool::Slot};
use crate::{
    crypto::passwords::{HashError, Verdict},
    domain::{
        login_throttle::Network,
        password::Password,
        subject::{Subject, SubjectEpoch},
        username::Username,
    },
    storage::{accounts::FoundAccount, error::StorageError},
    telemetry::error_chain::ErrorChain,
};

/// Longest text in bytes that attempts of an impossible name are counted by.
const LONGEST_IMPOSSIBLE_NAME: usize = 1_024;

/// An attempt to sign in.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// The name as it was typed.
    pub username: &'a str,
    /// The password as it was typed.
    pub password: &'a Password,
    /// The client's address.
    pub address: IpAddr,
}

/// Who has proved to be the owner of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// Whose sessions the account starts.
    pub subject: Subject,
    /// The subject's revocation epoch while the password was the right one. A session must start under it or not at all: a
    /// password that is changed a moment later ends the sessions of this sign-in, too.
    pub epoch: SubjectEpoch,
}

/// Why nobody is signed in.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The name is unknown, the password is wrong, the account is disabled, or there were too many attempts: never told which.
    #[error("the name or the password is wrong, or there were too many attempts")]
    Refused,
    /// As many sign-ins as may wait are waiting; safe to try again in a moment.
    #[error("too many people are signing in")]
    Busy,
    /// It could not be decided.
    #[error("the account could not be looked up")]
    Unavailable(#[from] StorageError),
}

/// How an attempt ended: a label of metrics and a reason in the log, never told to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Success(SubjectEpoch),
    /// Unknown and wrong share one value.
    BadCredentials,
    Disabled,
    Throttled,
    /// The stored hash cannot be computed.
    UnusableHash,
    Busy,
    Unavailable,
}

/// Every name of an [`Outcome`].
pub(super) const OUTCOMES: [&str; 7] =
    ["success", "bad_credentials", "disabled", "throttled", "unusable_hash", "busy", "unavailable"];

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Success(_) => "success",
            Self::BadCredentials => "bad_credentials",
            Self::Disabled => "disabled",
            Self::Throttled => "throttled",
            Self::UnusableHash => "unusable_hash",
            Self::Busy => "busy",
            Self::Unavailable => "unavailable",
        }
    }
}

impl Accounts {
    /// Whose account it is that the name and the password belong to.
    ///
    /// Whatever is wrong, the same work is done: the attempt is counted, the name is looked up, and a hash is computed.
    ///
    /// # Errors
    /// [`LoginError`].
    pub async fn authenticate(&self, attempt: Attempt<'_>) -> Result<Proven, LoginError> {
        // No password is as long, and hashing costs by length: this says nothing about the account.
        if attempt.password.expose().is_none() {
            self.note(Outcome::BadCredentials, None, attempt.address);
            return Err(LoginError::Refused);
        }
        // Places of one network first: a flood from one source leaves room for everybody else.
        let place = self.crowd.enter(Network::of(attempt.address));
        let (Some(place), Some(slot)) = (place, self.pool.reserve()) else {
            self.note(Outcome::Busy, None, attempt.address);
            return Err(LoginError::Busy);
        };
        let now = self.clock.now();
        let username = Username::parse(attempt.username).ok();
        let account = username.as_ref().map_or(attempt.username, Username::as_str).as_bytes();
        let account = &account[..account.len().min(LONGEST_IMPOSSIBLE_NAME)];
        let counted = match self.throttle.count(account, attempt.address, now).await {
            Ok(counted) => counted,
            Err(error) => {
                self.note(Outcome::Unavailable, None, attempt.address);
                return Err(error.into());
            }
        };
        let decided = self.decide(attempt, username.as_ref(), slot, &counted).await;
        drop(place);
        match &decided {
            Ok(_) => self.throttle.forgive(&counted, now).await,
            Err(LoginError::Busy | LoginError::Unavailable(_)) => self.throttle.forget(&counted).await,
            Err(LoginError::Refused) => {}
        }
        self.throttle.delay(&counted).await;
        decided
    }

    async fn decide(
        &self,
        attempt: Attempt<'_>,
        username: Option<&Username>,
        slot: Slot,
        counted: &Counted,
    ) -> Result<Proven, LoginError> {
        let (outcome, found, error) = match self.check(attempt, username, slot, counted).await {
            Ok((outcome, found)) => (outcome, found, None),
            Err(error) => (Outcome::Unavailable, None, Some(error)),
        };
        self.note(outcome, found.as_ref(), attempt.address);
        match (outcome, found, error) {
            (Outcome::Success(epoch), Some(found), _) => Ok(Proven { subject: found.subject, epoch }),
            (Outcome::Unavailable, _, Some(error)) => Err(LoginError::Unavailable(error)),
            (Outcome::Busy, ..) => Err(LoginError::Busy),
            _ => Err(LoginError::Refused),
        }
    }

    /// Looks the name up, computes a hash whatever was found, and only then looks at what is wrong.
    async fn check(
        &self,
        attempt: Attempt<'_>,
        username: Option<&Username>,
        slot: Slot,
        counted: &Counted,
    ) -> Result<(Outcome, Option<FoundAccount>), StorageError> {
        // No account has an empty name: the statement is run for an impossible name, too.
        let found = self.store.find(username.map_or("", Username::as_str)).await?;
        let password = attempt.password.clone();
        let stored = found.as_ref().map(|found| found.password_hash.clone());
        let may_sign_in = !counted.throttled.refused && found.as_ref().is_some_and(|found| !found.disabled);
        let hashed = self
            .pool
            .run(slot, move |hasher, memory| {
                let verdict = hasher.verify(&password, stored.as_deref(), memory);
                // Only where the attempt succeeds anyway: the time that this takes must tell nobody else anything.
                let outdated = may_sign_in && verdict == Verdict::Right { outdated: true };
                (verdict, outdated.then(|| hasher.hash(&password, memory)))
            })
            .await;
        let Some((verdict, renewed)) = hashed else { return Ok((Outcome::Busy, found)) };
        let outcome = match (&found, verdict) {
            _ if counted.throttled.refused => Outcome::Throttled,
            (Some(_), Verdict::Unusable) => Outcome::UnusableHash,
            (Some(found), Verdict::Right { .. }) if found.disabled => Outcome::Disabled,
            (Some(found), Verdict::Right { .. }) => {
                // Hashing took its time, and an operator may have changed the password or disabled the account meanwhile.
                self.store.confirm(found).await?.map_or(Outcome::BadCredentials, Outcome::Success)
            }
            (None, _) | (_, Verdict::Wrong) => Outcome::BadCredentials,
        };
        if let (Outcome::Success(_), Some(found), Some(renewed)) = (outcome, &found, renewed) {
            self.renew_hash(found, renewed).await;
        }
        Ok((outcome, found))
    }

    /// Keeps the hash that was made anew at today's cost. The sign-in succeeds without it, and the next one tries again.
    async fn renew_hash(&self, found: &FoundAccount, renewed: Result<String, HashError>) {
        let subject = &found.subject;
        let kept = match renewed {
            Ok(hash) => self.store.replace_password_hash(found, &hash).await,
            Err(error) => {
                tracing::warn!(subject = %subject, error = %ErrorChain(&error), "a password was not hashed anew");
                return;
            }
        };
        match kept {
            Ok(true) => tracing::info!(subject = %subject, "a password was hashed anew at today's cost"),
            // Another sign-in, or a new password, was faster.
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(subject = %subject, error = %ErrorChain(&error), "a password hashed anew was not stored");
            }
        }
    }

    /// Counts and logs how an attempt ended. The name is logged only where it is an account's: people type passwords into the
    /// wrong field.
    fn note(&self, outcome: Outcome, found: Option<&FoundAccount>, address: IpAddr) {
        let name = outcome.as_str();
        self.metrics.logins_total.with_label_values(&[name]).inc();
        let (account, subject) =
            found.map_or((None, None), |found| (Some(found.username.as_str()), Some(found.subject.as_str())));
        match outcome {
            Outcome::Success(_) => {
                tracing::info!(target: "audit", event = "login_succeeded", account, subject, client.address = %address, "signed in");
            }
            Outcome::UnusableHash => {
                tracing::error!(target: "audit", event = "login_failed", reason = name, account, subject, client.address = %address,
                    "an account's stored password hash cannot be used; set its password with `ephemint users set-password`");
            }
            _ => {
                tracing::info!(target: "audit", event = "login_failed", reason = name, account, subject, client.address = %address, "not signed in");
            }
        }
    }
}
