//! Password accounts: sign in with one, and manage them.

use std::{net::IpAddr, sync::Arc};

use super::{
    login_throttle::{Counted, LoginThrottle},
    password_pool::{PasswordPool, Slot},
};
use crate::{
    clock::Clock,
    crypto::{
        master_key::Vault,
        passwords::{HashError, Verdict},
    },
    domain::{
        login_throttle::ThrottleRules,
        password::{Password, PasswordError},
        subject::Subject,
        username::{Username, UsernameError},
    },
    storage::{
        accounts::{AccountStore, FoundAccount, ListedAccount, NewAccount, Taken},
        error::StorageError,
        login_throttle::LoginThrottleStore,
    },
    telemetry::{error_chain::ErrorChain, metrics::Metrics},
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

/// Why an account was not added or changed.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The name breaks a rule.
    #[error(transparent)]
    Username(#[from] UsernameError),
    /// The password breaks a rule.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// Another account has the name.
    #[error(
        "an account of that name exists already; choose another name, or set its password with `ephemint users set-password`"
    )]
    NameTaken,
    /// Another account has the subject.
    #[error("another account has that subject; choose another with --subject")]
    SubjectTaken,
    /// No account has the name.
    #[error("there is no account of that name; `ephemint users list` shows all")]
    Unknown,
    /// The password could not be hashed.
    #[error("the password could not be hashed")]
    Hash(#[from] HashError),
    /// As many hashes as may wait are waiting.
    #[error("too many passwords are being hashed; try again in a moment")]
    Busy,
    /// The database does not answer.
    #[error("the account could not be stored")]
    Unavailable(#[from] StorageError),
}

/// How an attempt ended: a label of metrics and a reason in the log, never told to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Success,
    /// Unknown and wrong share one value.
    BadCredentials,
    Disabled,
    Throttled,
    /// The stored hash cannot be computed.
    UnusableHash,
    Busy,
    Unavailable,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::BadCredentials => "bad_credentials",
            Self::Disabled => "disabled",
            Self::Throttled => "throttled",
            Self::UnusableHash => "unusable_hash",
            Self::Busy => "busy",
            Self::Unavailable => "unavailable",
        }
    }
}

/// What the accounts are made of.
#[derive(Debug)]
pub struct AccountParts {
    /// The accounts at rest.
    pub store: AccountStore,
    /// The counts of attempts at rest.
    pub throttle_store: LoginThrottleStore,
    /// How attempts are throttled.
    pub throttle_rules: ThrottleRules,
    /// How many answers are delayed at once.
    pub most_delayed: usize,
    /// Hashes passwords.
    pub pool: PasswordPool,
    /// Digests what is counted.
    pub vault: Arc<Vault>,
    /// The service's own names, which make poor passwords.
    pub words: Vec<String>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Counts.
    pub metrics: Metrics,
}

/// The password accounts.
#[derive(Debug)]
pub struct Accounts {
    store: AccountStore,
    throttle: LoginThrottle,
    pool: PasswordPool,
    words: Vec<String>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
}

impl Accounts {
    /// Wires the service.
    #[must_use]
    pub fn new(parts: AccountParts) -> Self {
        let AccountParts { store, throttle_store, throttle_rules, most_delayed, pool, vault, words, clock, metrics } =
            parts;
        let throttle = LoginThrottle::new(throttle_store, vault, throttle_rules, most_delayed);
        Self { store, throttle, pool, words, clock, metrics }
    }

    /// The subject of the account that the name and the password belong to.
    ///
    /// Whatever is wrong, the same work is done: the attempt is counted, the name is looked up, and a hash is computed.
    ///
    /// # Errors
    /// [`LoginError`].
    pub async fn authenticate(&self, attempt: Attempt<'_>) -> Result<Subject, LoginError> {
        // No password is as long, and hashing costs by length: this says nothing about the account.
        if attempt.password.expose().is_none() {
            self.note(Outcome::BadCredentials, None, attempt.address);
            return Err(LoginError::Refused);
        }
        let Some(slot) = self.pool.reserve() else {
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
        match &decided {
            Ok(_) => self.throttle.forgive(&counted, now).await,
            Err(LoginError::Busy | LoginError::Unavailable(_)) => self.throttle.forget(&counted).await,
            Err(LoginError::Refused) => {}
        }
        self.throttle.delay(&counted).await;
        decided
    }

    /// Adds an account. Its subject is its canonical name where none is given.
    ///
    /// # Errors
    /// [`AccountError`]; nothing is stored then.
    pub async fn add(
        &self,
        name: &str,
        subject: Option<Subject>,
        password: Password,
    ) -> Result<ListedAccount, AccountError> {
        let username = Username::parse(name)?;
        let subject = subject.or_else(|| username.to_subject()).ok_or(UsernameError::Character)?;
        let password_hash = self.hash_new(&username, password).await?;
        let now = self.clock.now();
        let new = NewAccount {
            username: &username,
            display_name: name,
            subject: &subject,
            password_hash: &password_hash,
            created_at: now,
        };
        match self.store.insert(&new).await? {
            None => {}
            Some(Taken::Username) => return Err(AccountError::NameTaken),
            Some(Taken::Subject) => return Err(AccountError::SubjectTaken),
        }
        tracing::info!(target: "audit", event = "account_added", account = %username, subject = %subject, "account added");
        Ok(ListedAccount {
            username: username.as_str().to_owned(),
            display_name: name.to_owned(),
            subject,
            created_at: now,
            password_changed_at: now,
            disabled_at: None,
        })
    }

    /// At most `limit` accounts with canonical names after `after`, by name; an empty `after` begins at the first.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn list(&self, after: &str, limit: u16) -> Result<Vec<ListedAccount>, StorageError> {
        self.store.list(after, limit).await
    }

    /// Sets another password; every session of the account's subject ends in the same transaction.
    ///
    /// # Errors
    /// [`AccountError`]; nothing is changed then, unless the database's answer was lost.
    pub async fn set_password(&self, name: &str, password: Password) -> Result<Subject, AccountError> {
        let username = Username::parse(name)?;
        let hash = self.hash_new(&username, password).await?;
        let now = self.clock.now();
        let subject = self.store.set_password(&username, &hash, now).await?.ok_or(AccountError::Unknown)?;
        tracing::info!(target: "audit", event = "password_set", account = %username, subject = %subject, "password set; sessions ended");
        Ok(subject)
    }

    /// Lets the account's subject have no sessions, by whatever way it signs in; those it has end in the same transaction.
    ///
    /// # Errors
    /// [`AccountError`]; nothing is changed then, unless the database's answer was lost.
    pub async fn disable(&self, name: &str) -> Result<Subject, AccountError> {
        let username = Username::parse(name)?;
        let subject = self.store.disable(&username, self.clock.now()).await?.ok_or(AccountError::Unknown)?;
        tracing::info!(target: "audit", event = "account_disabled", account = %username, subject = %subject, "account disabled; sessions ended");
        Ok(subject)
    }

    /// Lets the account's subject have sessions again; those it had stay ended.
    ///
    /// # Errors
    /// [`AccountError`]; nothing is changed then, unless the database's answer was lost.
    pub async fn enable(&self, name: &str) -> Result<Subject, AccountError> {
        let username = Username::parse(name)?;
        let (subject, changed) = self.store.enable(&username).await?.ok_or(AccountError::Unknown)?;
        if changed {
            tracing::info!(target: "audit", event = "account_enabled", account = %username, subject = %subject, "account enabled");
        }
        Ok(subject)
    }

    /// Removes the account; every session of its subject ends in the same transaction.
    ///
    /// # Errors
    /// [`AccountError`]; nothing is changed then, unless the database's answer was lost.
    pub async fn remove(&self, name: &str) -> Result<Subject, AccountError> {
        let username = Username::parse(name)?;
        let subject = self.store.remove(&username, self.clock.now()).await?.ok_or(AccountError::Unknown)?;
        tracing::info!(target: "audit", event = "account_removed", account = %username, subject = %subject, "account removed; sessions ended");
        Ok(subject)
    }

    /// Removes counts of attempts that make no difference any more.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn sweep(&self) -> Result<(), StorageError> {
        self.throttle.sweep(self.clock.now()).await
    }

    async fn decide(
        &self,
        attempt: Attempt<'_>,
        username: Option<&Username>,
        slot: Slot,
        counted: &Counted,
    ) -> Result<Subject, LoginError> {
        let (outcome, found, error) = match self.check(attempt, username, slot, counted).await {
            Ok((outcome, found)) => (outcome, found, None),
            Err(error) => (Outcome::Unavailable, None, Some(error)),
        };
        self.note(outcome, found.as_ref(), attempt.address);
        match (outcome, found, error) {
            (Outcome::Success, Some(found), _) => Ok(found.subject),
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
                if self.store.confirm(found).await? { Outcome::Success } else { Outcome::BadCredentials }
            }
            (None, _) | (_, Verdict::Wrong) => Outcome::BadCredentials,
        };
        if let (Outcome::Success, Some(found), Some(renewed)) = (outcome, &found, renewed) {
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

    async fn hash_new(&self, username: &Username, password: Password) -> Result<String, AccountError> {
        let words: Vec<&str> =
            self.words.iter().map(String::as_str).chain(std::iter::once(username.as_str())).collect();
        password.check(&words)?;
        let slot = self.pool.reserve().ok_or(AccountError::Busy)?;
        let hashed = self.pool.run(slot, move |hasher, memory| hasher.hash(&password, memory)).await;
        Ok(hashed.ok_or(AccountError::Busy)??)
    }

    /// Counts and logs how an attempt ended. The name is logged only where it is an account's: people type passwords into the
    /// wrong field.
    fn note(&self, outcome: Outcome, found: Option<&FoundAccount>, address: IpAddr) {
        let name = outcome.as_str();
        self.metrics.logins_total.with_label_values(&[name]).inc();
        let (account, subject) =
            found.map_or((None, None), |found| (Some(found.username.as_str()), Some(found.subject.as_str())));
        match outcome {
            Outcome::Success => {
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
