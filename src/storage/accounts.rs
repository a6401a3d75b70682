//! The queries of the account entity, and of what is known of an account's subject.

use time::OffsetDateTime;
use tokio_postgres::Row;

use super::{
    error::StorageError,
    queries,
    run::{Database, at_most_one_row, one_row},
};
use crate::domain::{
    subject::{Subject, SubjectEpoch},
    username::Username,
};

/// An account to be stored.
#[derive(Debug)]
pub struct NewAccount<'a> {
    /// Its canonical name.
    pub username: &'a Username,
    /// Its name as typed.
    pub display_name: &'a str,
    /// Whose sessions it starts.
    pub subject: &'a Subject,
    /// The hash of its password.
    pub password_hash: &'a str,
    /// When it is added.
    pub created_at: OffsetDateTime,
}

/// Why an account was not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// Its name.
    Username,
    /// Its subject.
    Subject,
}

/// What a sign-in attempt is checked against.
#[derive(Debug)]
pub struct FoundAccount {
    /// Its canonical name.
    pub username: String,
    /// Whose sessions it starts.
    pub subject: Subject,
    /// The hash of its password, as it is stored.
    pub password_hash: String,
    /// When its password was last set.
    pub password_changed_at: OffsetDateTime,
    /// Whether its subject may have no sessions.
    pub disabled: bool,
}

/// An account as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedAccount {
    /// Its canonical name.
    pub username: String,
    /// Its name as typed.
    pub display_name: String,
    /// Whose sessions it starts.
    pub subject: Subject,
    /// When it was added.
    pub created_at: OffsetDateTime,
    /// When its password was last set.
    pub password_changed_at: OffsetDateTime,
    /// Since when its subject may have no sessions.
    pub disabled_at: Option<OffsetDateTime>,
}

/// Owns the statements under `sql/account`, and those that disable and enable a subject.
#[derive(Debug, Clone)]
pub struct AccountStore {
    /// For sign-in attempts, which anybody may make.
    lookups: Database,
    /// For everything else.
    database: Database,
}

impl AccountStore {
    /// A store over two ways to one database: one for attempts to sign in, one for everything else.
    #[must_use]
    pub fn new(lookups: Database, database: Database) -> Self {
        Self { lookups, database }
    }

    /// Adds an account. Returns what is taken already where that is in its way.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn insert(&self, new: &NewAccount<'_>) -> Result<Option<Taken>, StorageError> {
        let query = &queries::ACCOUNT_INSERT;
        let result = self
            .database
            .execute(
                query,
                &[
                    /* username */ &new.username.as_str(),
                    /* display_name */ &new.display_name,
                    /* subject */ &new.subject.as_str(),
                    /* password_hash */ &new.password_hash,
                    /* created_at */ &new.created_at,
                ],
            )
            .await;
        match result {
            Ok(rows) => one_row(query, rows).map(|()| None),
            Err(error) => match error.unique_violation() {
                Some("account_pkey") => Ok(Some(Taken::Username)),
                Some("account_subject_key") => Ok(Some(Taken::Subject)),
                _ => Err(error),
            },
        }
    }

    /// The account of that name; nothing if there is none. Any text will do: one that cannot be a name finds nothing.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn find(&self, username: &str) -> Result<Option<FoundAccount>, StorageError> {
        let query = &queries::ACCOUNT_FIND;
        let row = self.lookups.row(query, &[/* username */ &username]).await?;
        row.map(|row| {
            Ok(FoundAccount {
                username: row.get("username"),
                subject: subject(query.name, &row)?,
                password_hash: row.get("password_hash"),
                password_changed_at: row.get("password_changed_at"),
                disabled: row.get("disabled"),
            })
        })
        .transpose()
    }

    /// The revocation epoch of the account's subject, if the account still has the password that it had when it was found and its
    /// subject may sign in; nothing otherwise.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn confirm(&self, found: &FoundAccount) -> Result<Option<SubjectEpoch>, StorageError> {
        let row = self
            .lookups
            .row(
                &queries::ACCOUNT_CONFIRM,
                &[
                    /* username */ &found.username,
                    /* subject */ &found.subject.as_str(),
                    /* password_changed_at */ &found.password_changed_at,
                ],
            )
            .await?;
        Ok(row.map(|row| SubjectEpoch::from_number(row.get("revocation_epoch"))))
    }

    /// At most `limit` accounts with names after `after`, by name.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn list(&self, after: &str, limit: u16) -> Result<Vec<ListedAccount>, StorageError> {
        let query = &queries::ACCOUNT_LIST;
        let rows = self.database.rows(query, &[/* after */ &after, /* limit */ &i64::from(limit)]).await?;
        rows.iter()
            .map(|row| {
                Ok(ListedAccount {
                    username: row.get("username"),
                    display_name: row.get("display_name"),
                    subject: subject(query.name, row)?,
                    created_at: row.get("created_at"),
                    password_changed_at: row.get("password_changed_at"),
                    disabled_at: row.get("disabled_at"),
                })
            })
            .collect()
    }

    /// Sets another password and ends every session of the account's subject, both or neither. Returns the subject; nothing if
    /// there is no such account.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer; both or neither may be done then.
    pub async fn set_password(
        &self,
        username: &Username,
        password_hash: &str,
        at: OffsetDateTime,
    ) -> Result<Option<Subject>, StorageError> {
        let query = &queries::ACCOUNT_SET_PASSWORD;
        let transaction = self.database.begin().await?;
        let rows = transaction
            .rows(
                query,
                &[
                    /* username */ &username.as_str(),
                    /* password_hash */ &password_hash,
                    /* password_changed_at */ &at,
                ],
            )
            .await?;
        let subject = rows.first().map(|row| subject(query.name, row)).transpose()?;
        if let Some(subject) = &subject {
            let raise = &queries::SUBJECT_RAISE_EPOCH;
            transaction.execute_one(raise, &[/* subject */ &subject.as_str(), /* revoked_at */ &at]).await?;
        }
        transaction.commit().await?;
        Ok(subject)
    }

    /// Keeps another hash of the same password. Returns whether this call did it.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn replace_password_hash(&self, found: &FoundAccount, new: &str) -> Result<bool, StorageError> {
        let query = &queries::ACCOUNT_REPLACE_PASSWORD_HASH;
        let rows = self
            .database
            .execute(
                query,
                &[
                    /* username */ &found.username,
                    /* old_hash */ &found.password_hash,
                    /* new_hash */ &new,
                ],
            )
            .await?;
        at_most_one_row(query, rows)
    }

    /// Lets an account's subject have no sessions and ends those it has. Returns the subject; nothing if there is no such account.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer; all or nothing may be done then.
    pub async fn disable(&self, username: &Username, at: OffsetDateTime) -> Result<Option<Subject>, StorageError> {
        let Some(subject) = self.find_subject(username).await? else { return Ok(None) };
        let query = &queries::SUBJECT_DISABLE;
        let rows = self.database.execute(query, &[/* subject */ &subject.as_str(), /* disabled_at */ &at]).await?;
        one_row(query, rows)?;
        Ok(Some(subject))
    }

    /// Lets an account's subject have sessions again. Returns the subject, and whether it was disabled; nothing if there is no
    /// such account.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn enable(&self, username: &Username) -> Result<Option<(Subject, bool)>, StorageError> {
        let Some(subject) = self.find_subject(username).await? else { return Ok(None) };
        let query = &queries::SUBJECT_ENABLE;
        let rows = self.database.execute(query, &[/* subject */ &subject.as_str()]).await?;
        Ok(Some((subject, at_most_one_row(query, rows)?)))
    }

    /// Removes an account and ends every session of its subject, both or neither. Returns the subject; nothing if there is no such
    /// account.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer; both or neither may be done then.
    pub async fn remove(&self, username: &Username, at: OffsetDateTime) -> Result<Option<Subject>, StorageError> {
        let query = &queries::ACCOUNT_REMOVE;
        let transaction = self.database.begin().await?;
        let rows = transaction.rows(query, &[/* username */ &username.as_str()]).await?;
        let subject = rows.first().map(|row| subject(query.name, row)).transpose()?;
        if let Some(subject) = &subject {
            let raise = &queries::SUBJECT_RAISE_EPOCH;
            transaction.execute_one(raise, &[/* subject */ &subject.as_str(), /* revoked_at */ &at]).await?;
        }
        transaction.commit().await?;
        Ok(subject)
    }

    /// The subject of the account of that name; nothing if there is none.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn find_subject(&self, username: &Username) -> Result<Option<Subject>, StorageError> {
        let query = &queries::ACCOUNT_FIND_SUBJECT;
        let row = self.database.row(query, &[/* username */ &username.as_str()]).await?;
        row.map(|row| subject(query.name, &row)).transpose()
    }
}

fn subject(query: &'static str, row: &Row) -> Result<Subject, StorageError> {
    Subject::parse(row.get::<_, String>("subject")).map_err(|_| StorageError::Corrupt { query, what: "subject" })
}
