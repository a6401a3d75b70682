//! A pooled connection while a statement runs on it, and what becomes of it afterwards.
//!
//! A caller may leave in the middle of a statement: its client hung up, or its own time ran out. The statement goes on then,
//! and the connection must not serve anyone else until it has been answered.

use std::time::Duration;

use tokio::{runtime::Handle, time::timeout};

use super::{
    error::StorageError,
    pool::{Pool, PoolError, PooledConnection},
};

/// One connection for one statement.
pub(super) struct Loan {
    connection: Option<PooledConnection>,
    pool: Pool,
    query_timeout: Duration,
    state: State,
}

/// What the connection is good for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// A statement may be under way.
    Busy,
    /// Every statement has been answered.
    Idle,
    /// Never to be used again.
    Broken,
}

impl Loan {
    /// Takes a connection over for a statement that the server gives up after `query_timeout`.
    pub(super) fn new(connection: PooledConnection, pool: Pool, query_timeout: Duration) -> Self {
        Self { connection: Some(connection), pool, query_timeout, state: State::Busy }
    }

    /// The connection, present as long as the loan lasts.
    pub(super) fn connection(&self) -> Result<&PooledConnection, StorageError> {
        self.connection.as_ref().ok_or(StorageError::Unavailable(PoolError::Closed))
    }

    /// Ends the loan with the outcome of its statement.
    pub(super) fn end<T>(mut self, outcome: &Result<T, StorageError>) {
        self.state = State::Idle;
        if let Err(error) = outcome {
            if matches!(error, StorageError::TimedOut { .. }) {
                self.fell_silent();
            } else if error.broke_connection() || error.read_only_server() {
                // The others are most likely just as dead, without having noticed yet; or another server is the primary by
                // now, and revocations are made there. Either way every connection is to be made anew.
                self.state = State::Broken;
                self.pool.close_idle(Duration::ZERO);
            }
        }
    }

    /// No answer came in time. Connections that have rested meanwhile may be just as dead: a firewall forgets all of them.
    fn fell_silent(&mut self) {
        self.state = State::Broken;
        self.pool.close_idle(self.query_timeout);
    }

    /// Waits for the answer that nobody waits for any more, so that the connection can be used again.
    async fn settle(mut self) {
        let Some(connection) = &self.connection else { return };
        // Answers come in order, so the one to this empty statement comes after it.
        match timeout(self.query_timeout, connection.simple_query("")).await {
            Ok(Ok(_)) => self.state = State::Idle,
            Ok(Err(_)) => {}
            Err(_) => self.fell_silent(),
        }
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        match (self.state, Handle::try_current()) {
            (State::Idle, _) => drop(connection),
            // Its slot stays taken until then, so those who leave early cannot make connections pile up at the server.
            (State::Busy, Ok(runtime)) => {
                // Dropped before it is settled, with its runtime, it is of no use; and it must not come back here.
                let state = State::Broken;
                let (pool, query_timeout) = (self.pool.clone(), self.query_timeout);
                drop(runtime.spawn(Self { connection: Some(connection), pool, query_timeout, state }.settle()));
            }
            (State::Broken, _) | (State::Busy, Err(_)) => drop(PooledConnection::take(connection)),
        }
    }
}
