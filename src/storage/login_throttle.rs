//! The queries of the login throttle entity.

use time::OffsetDateTime;

use super::{error::StorageError, queries, run::Database};
use crate::domain::login_throttle::{ThrottleCount, ThrottleKey, ThrottleKind, ThrottleRules};

/// Owns the statements under `sql/login_throttle`.
#[derive(Debug, Clone)]
pub struct LoginThrottleStore {
    database: Database,
}

impl LoginThrottleStore {
    /// A store over the database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { database }
    }

    /// Counts one attempt under its keys, unless one of them is refused, and returns the counts.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn count(
        &self,
        keys: &[(ThrottleKind, ThrottleKey)],
        rules: &ThrottleRules,
        now: OffsetDateTime,
    ) -> Result<Vec<ThrottleCount>, StorageError> {
        let query = &queries::LOGIN_THROTTLE_COUNT;
        let limits: Vec<_> = keys.iter().map(|(kind, _)| rules.limit(*kind)).collect();
        let digests: Vec<&[u8]> = keys.iter().map(|(_, key)| key.as_ref()).collect();
        let kinds: Vec<&str> = keys.iter().map(|(kind, _)| kind.as_str()).collect();
        let free: Vec<f64> = limits.iter().map(|limit| f64::from(limit.free)).collect();
        let half_lives: Vec<f64> = limits.iter().map(|limit| limit.half_life.as_secs_f64()).collect();
        let longest_refusals: Vec<f64> = limits.iter().map(|limit| limit.longest_refusal.as_secs_f64()).collect();
        let rows = self
            .database
            .rows(
                query,
                &[
                    /* key_digests */ &digests,
                    /* kinds */ &kinds,
                    /* free */ &free,
                    /* half_lives */ &half_lives,
                    /* longest_refusals */ &longest_refusals,
                    /* counted_at */ &now,
                ],
            )
            .await?;
        let corrupt = |what| StorageError::Corrupt { query: query.name, what };
        rows.iter()
            .map(|row| {
                let digest: &[u8] = row.get("key_digest");
                Ok(ThrottleCount {
                    key: ThrottleKey::new(digest.try_into().map_err(|_| corrupt("key_digest"))?),
                    kind: ThrottleKind::from_name(row.get("kind")).ok_or(corrupt("kind"))?,
                    counted: row.get("counted"),
                    failures: row.get("failures"),
                    refused_until: row.get("refused_until"),
                    known_until: row.get("known_until"),
                })
            })
            .collect()
    }

    /// Takes a counted attempt off again. `known_until`: it was right, and its network is a known one of the account until then.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn take_back(
        &self,
        counts: &[ThrottleCount],
        known_until: Option<OffsetDateTime>,
    ) -> Result<(), StorageError> {
        let counted: Vec<_> = counts.iter().filter(|count| count.counted).collect();
        let digests: Vec<&[u8]> = counted.iter().map(|count| count.key.as_ref()).collect();
        let refused_until: Vec<Option<OffsetDateTime>> = counted.iter().map(|count| count.refused_until).collect();
        self.database
            .execute(
                &queries::LOGIN_THROTTLE_TAKE_BACK,
                &[
                    /* key_digests */ &digests,
                    /* refused_until */ &refused_until,
                    /* known_until */ &known_until,
                ],
            )
            .await?;
        Ok(())
    }

    /// Removes at most `most` counts that make no difference any more. Returns how many.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn sweep(&self, now: OffsetDateTime, most: u32) -> Result<u64, StorageError> {
        let most = i64::from(most);
        let query = &queries::LOGIN_THROTTLE_SWEEP;
        let row = self.database.row(query, &[/* swept_at */ &now, /* most */ &most]).await?;
        Ok(row.map_or(0, |row| row.get::<_, i64>("swept").unsigned_abs()))
    }
}
