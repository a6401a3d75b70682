//! Password accounts: add, change and remove them. Signing in with one lives in `login`.

use std::sync::Arc;

pub use super::login::{Attempt, LoginError, Proven};
use super::{
    events::Events,
    login::OUTCOMES,
    login_crowd::LoginCrowd,
    login_throttle::LoginThrottle,
    password_pool::PasswordPool,
    sessions::{RevokeReason, Revoked, Sessions},
};
use crate::{
    clock::Clock,
    crypto::{master_key::Vault, passwords::HashError},
    domain::{
        event::Event,
        login_throttle::ThrottleRules,
        password::{Password, PasswordError},
        subject::Subject,
        username::{Username, UsernameError},
    },
    storage::{
        accounts::{AccountStore, ListedAccount, NewAccount, Taken},
        error::StorageError,
        login_throttle::LoginThrottleStore,
    },
    telemetry::metrics::Metrics,
};

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

/// An account's sessions have ended with a change of the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Whose they were.
    pub subject: Subject,
    /// How many, and by when everywhere.
    pub revoked: Revoked,
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
    /// How many attempts of one network may be under way at once; absent: half of those of everybody.
    pub most_at_once: Option<usize>,
    /// Hashes passwords.
    pub pool: PasswordPool,
    /// Digests what is counted.
    pub vault: Arc<Vault>,
    /// The service's own names, which make poor passwords.
    pub words: Vec<String>,
    /// Where changes of accounts are told.
    pub events: Arc<Events>,
    /// The sessions, which end with some changes.
    pub sessions: Arc<Sessions>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Counts.
    pub metrics: Metrics,
}

/// The password accounts.
#[derive(Debug)]
pub struct Accounts {
    pub(super) store: AccountStore,
    pub(super) throttle: LoginThrottle,
    pub(super) crowd: LoginCrowd,
    pub(super) pool: PasswordPool,
    words: Vec<String>,
    events: Arc<Events>,
    sessions: Arc<Sessions>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Metrics,
}

impl Accounts {
    /// Wires the service.
    #[must_use]
    pub fn new(parts: AccountParts) -> Self {
        let AccountParts {
            store,
            throttle_store,
            throttle_rules,
            most_delayed,
            most_at_once,
            pool,
            vault,
            words,
            events,
            sessions,
            clock,
            metrics,
        } = parts;
        let throttle = LoginThrottle::new(throttle_store, vault, throttle_rules, most_delayed);
        // Each is there from the start, so that the first one shows as an increase.
        for outcome in OUTCOMES {
            drop(metrics.logins_total.with_label_values(&[outcome]));
        }
        let crowd = LoginCrowd::new(most_at_once.unwrap_or(pool.places() / 2).max(1));
        Self { store, throttle, crowd, pool, words, events, sessions, clock, metrics }
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
        let event = Event::AccountAdded { at: now, subject: subject.clone(), account: username.clone() };
        self.events.record(&event).await;
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

    /// Sets another password; every session of the account's subject ends in the same transaction. Returns the subject, and how many
    /// ended and by when.
    ///
    /// # Errors
    /// [`AccountError`]; nothing is changed then, unless the database's answer was lost.
    pub async fn set_password(&self, name: &str, password: Password) -> Result<Ended, AccountError> {
        let username = Username::parse(name)?;
        let hash = self.hash_new(&username, password).await?;
        let live = self.count_live(&username).await?;
        let now = self.clock.now();
        let subject = self.store.set_password(&username, &hash, now).await?.ok_or(AccountError::Unknown)?;
        let revoked = self.sessions.all_revoked(Some(&subject), live, RevokeReason::PasswordChanged).await;
        let event = Event::PasswordChanged { at: now, subject: subject.clone(), account: username };
        self.events.record(&event).await;
        Ok(Ended { subject, revoked })
    }

    /// Lets the account's subject have no sessions, by whatever way it signs in; those it has end in the same transaction.
    /// Returns the subject, and how many ended and by when.
    ///
    /// # Errors
    /// [`AccountError`]; nothing is changed then, unless the database's answer was lost.
    pub async fn disable(&self, name: &str) -> Result<Ended, AccountError> {
        let username = Username::parse(name)?;
        let live = self.count_live(&username).await?;
        let now = self.clock.now();
        let subject = self.store.disable(&username, now).await?.ok_or(AccountError::Unknown)?;
        let revoked = self.sessions.all_revoked(Some(&subject), live, RevokeReason::AccountDisabled).await;
        let event = Event::AccountDisabled { at: now, subject: subject.clone(), account: username };
        self.events.record(&event).await;
        Ok(Ended { subject, revoked })
    }

    /// Lets the account's subject have sessions again; those it had stay ended.
    ///
    /// # Errors
    /// [`AccountError`]; nothing is changed then, unless the database's answer was lost.
    pub async fn enable(&self, name: &str) -> Result<Subject, AccountError> {
        let username = Username::parse(name)?;
        let now = self.clock.now();
        let (subject, changed) = self.store.enable(&username).await?.ok_or(AccountError::Unknown)?;
        if changed {
            let event = Event::AccountEnabled { at: now, subject: subject.clone(), account: username };
            self.events.record(&event).await;
        }
        Ok(subject)
    }

    /// Removes the account; every session of its subject ends in the same transaction. Returns the subject, and how many ended and by
    /// when.
    ///
    /// # Errors
    /// [`AccountError`]; nothing is changed then, unless the database's answer was lost.
    pub async fn remove(&self, name: &str) -> Result<Ended, AccountError> {
        let username = Username::parse(name)?;
        let live = self.count_live(&username).await?;
        let now = self.clock.now();
        let subject = self.store.remove(&username, now).await?.ok_or(AccountError::Unknown)?;
        let revoked = self.sessions.all_revoked(Some(&subject), live, RevokeReason::AccountDeleted).await;
        let event = Event::AccountDeleted { at: now, subject: subject.clone(), account: username };
        self.events.record(&event).await;
        Ok(Ended { subject, revoked })
    }

    /// Removes at most `most` counts of attempts that make no difference any more. Returns how many.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn sweep(&self, most: u32) -> Result<u64, StorageError> {
        self.throttle.sweep(self.clock.now(), most).await
    }

    /// How many sessions the account's subject has, as far as that can be counted in time.
    async fn count_live(&self, username: &Username) -> Result<Option<u64>, AccountError> {
        let subject = self.store.find_subject(username).await?.ok_or(AccountError::Unknown)?;
        Ok(self.sessions.count_live(Some(&subject)).await)
    }

    async fn hash_new(&self, username: &Username, password: Password) -> Result<String, AccountError> {
        let words: Vec<&str> =
            self.words.iter().map(String::as_str).chain(std::iter::once(username.as_str())).collect();
        password.check(&words)?;
        let slot = self.pool.reserve().ok_or(AccountError::Busy)?;
        let hashed = self.pool.run(slot, move |hasher, memory| hasher.hash(&password, memory)).await;
        Ok(hashed.ok_or(AccountError::Busy)??)
    }
}
