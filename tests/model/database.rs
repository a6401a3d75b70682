//! What Postgres contributes to the model: transactions that take their id early and commit late, snapshots, and a crash.

/// A transaction that writes one row of the revocation log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Transaction {
    /// Not begun.
    Absent,
    /// Has taken this id and written its row, which nobody sees yet.
    Running(u8),
    /// Everybody sees its row.
    Committed(u8),
    /// Nobody ever sees its row.
    RolledBack,
}

/// Whom the rows of the log concern: the session that the model watches, and another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Row {
    Watched,
    Other,
}

/// The primary.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Database {
    /// Revokes the watched session.
    pub(crate) watched: Transaction,
    /// Revokes another one.
    pub(crate) other: Transaction,
    /// Whether the barrier has been raised: `revocation_barrier`.
    pub(crate) raised: bool,
    /// The row of the replica that only follows: `replica`.
    pub(crate) registered: bool,
    pub(crate) passed: bool,
    next_id: u8,
}

/// What one statement sees (`sql/revocation/poll.sql`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Snapshot {
    /// The oldest transaction that was running: `pg_snapshot_xmin`.
    pub(crate) horizon: u8,
    /// The first id that had not been given: `pg_snapshot_xmax`.
    pub(crate) next_id: u8,
    /// The ids of the transactions that were running: `pg_snapshot_xip`.
    pub(crate) running: [Option<u8>; 2],
    pub(crate) raised: bool,
    pub(crate) registered: bool,
    /// The ids of the transactions whose rows are seen.
    pub(crate) watched: Option<u8>,
    pub(crate) other: Option<u8>,
}

impl Snapshot {
    /// The row's transaction, where the row is seen.
    pub(crate) fn of(self, row: Row) -> Option<u8> {
        match row {
            Row::Watched => self.watched,
            Row::Other => self.other,
        }
    }
}

impl Transaction {
    fn running(self) -> Option<u8> {
        if let Self::Running(id) = self { Some(id) } else { None }
    }

    fn committed(self) -> Option<u8> {
        if let Self::Committed(id) = self { Some(id) } else { None }
    }
}

impl Database {
    pub(crate) fn empty() -> Self {
        let (watched, other) = (Transaction::Absent, Transaction::Absent);
        Self { watched, other, raised: false, registered: false, passed: false, next_id: 1 }
    }

    pub(crate) fn transaction(&mut self, row: Row) -> &mut Transaction {
        match row {
            Row::Watched => &mut self.watched,
            Row::Other => &mut self.other,
        }
    }

    /// `pg_current_xact_id()` in the trigger of `V7__revocation_log.sql`.
    pub(crate) fn begin(&mut self, row: Row) {
        *self.transaction(row) = Transaction::Running(self.next_id);
        self.next_id += 1;
    }

    pub(crate) fn commit(&mut self, row: Row) {
        let transaction = self.transaction(row);
        *transaction = Transaction::Committed(transaction.running().unwrap());
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let running = [self.watched.running(), self.other.running()];
        let horizon = running.into_iter().flatten().min().unwrap_or(self.next_id);
        Snapshot {
            horizon,
            next_id: self.next_id,
            running,
            raised: self.raised,
            registered: self.registered,
            watched: self.watched.committed(),
            other: self.other.committed(),
        }
    }

    /// What has not committed is lost, and so is the memory of the ids that it had: they are given again.
    pub(crate) fn crash(&mut self) {
        for transaction in [&mut self.watched, &mut self.other] {
            if transaction.running().is_some() {
                *transaction = Transaction::RolledBack;
            }
        }
        let committed = [self.watched.committed(), self.other.committed()];
        self.next_id = committed.into_iter().flatten().max().unwrap_or(0) + 1;
    }
}
