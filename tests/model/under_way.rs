//! What a replica is in the middle of: a poll, a reading, an exchange.

use crate::database::Snapshot;

/// `service/live_sessions.rs`: `Source`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    Cache,
    Joined,
    Database,
}

/// A poll: `RevocationFollower::poll_locked`. The lock of the follower's state lets one run at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Poll {
    None,
    /// `began` has been noted; `feed.read` is under way.
    Asked {
        began: u8,
        after_call: bool,
    },
    /// The statement has taken its snapshot; its answer travels, or waits in a socket of a process that does not run.
    Answered {
        began: u8,
        after_call: bool,
        reconnected: bool,
        seen: Snapshot,
    },
    /// One half of `LogPosition::apply` is done: what it found is marked (or, in one variant, the lease is renewed).
    Half {
        began: u8,
        after_call: bool,
        unmarked: Option<News>,
        raised: bool,
        registered: bool,
    },
}

/// What is kept of the last reading of the log, together with its connection (`RevocationFeed`) and after it (`LogPosition`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Seen {
    pub(crate) horizon: u8,
    pub(crate) next_id: u8,
    pub(crate) running: [Option<u8>; 2],
}

impl Seen {
    /// Whether a reading after that one asks for the rows of this transaction.
    pub(crate) fn asks_for(self, id: u8) -> bool {
        id >= self.next_id || self.running.contains(&Some(id))
    }
}

/// What a poll found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct News {
    pub(crate) everyone: bool,
    pub(crate) watched: bool,
    pub(crate) other: bool,
}

/// A reading of the watched session: `Lane::read_round`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Reading {
    None,
    /// The generation has been noted.
    Noted {
        generation: u8,
    },
    /// The statement has taken its snapshot.
    Found {
        generation: u8,
        read_at: u8,
        alive: bool,
    },
}

/// `session_cache::CachedSession`, alive. One that is not alive is no hit, so it is not kept in the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Kept {
    pub(crate) generation: u8,
    pub(crate) read_at: u8,
}

/// One exchange: `Exchange::exchange` around `LiveSessions::authenticate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Exchange {
    Idle,
    /// Only a reading that begins from now on will do.
    Wanting {
        began: u8,
    },
    /// A reading is under way for it: its own, or one that had begun before.
    Waiting {
        began: u8,
        joined: bool,
    },
    /// The session was found alive. A token is signed, or one of the same state of the session is taken from `TokenCache`: the
    /// model need not tell which, since a kept token is looked for only where the session has been found like this.
    Decided {
        began: u8,
        source: Source,
        found: Kept,
    },
}
