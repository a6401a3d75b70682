//! What a run of the model checks: lengths, who takes part, and which precaution is left out.

/// The replica that serves the revoke.
pub(crate) const SERVING: usize = 0;
/// The replica that only follows the log.
pub(crate) const FOLLOWING: usize = 1;

pub(crate) const NOTHING_LATE: &str = "no token later than the bound after the acknowledgement";
pub(crate) const NOTHING_HERE: &str = "no token from the serving replica after the acknowledgement";
pub(crate) const FROM_MEMORY: &str = "a live session is exchanged from memory";
pub(crate) const JOINED: &str = "a reading that had begun before serves an exchange";
pub(crate) const FROM_THE_PRIMARY: &str = "a live session is exchanged by a reading of its own";
pub(crate) const NOTHING_BEHIND: &str = "no token once everybody has been waited for";
pub(crate) const PASSED: &str = "everybody has passed the barrier, and one of them is there";
pub(crate) const ACKNOWLEDGED: &str = "the revocation is acknowledged";
pub(crate) const WITHIN_THE_BOUND: &str =
    "the other replica hands out a token within the bound after the acknowledgement";

/// A way to build the protocol wrongly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    /// Marks only evict: a reading that began before them is put into the cache and believed.
    NoFillGuard,
    /// The generation is noted after the reading instead of before.
    NotedAfterReading,
    /// The next poll begins after the highest id that was seen, whatever was running.
    SerialCursor,
    /// The next poll reads what began later, and not what was running.
    RunningForgotten,
    /// The lease is counted from when the answer was there.
    LeaseFromTheEnd,
    /// The lease is renewed first, and then whom it concerns is marked.
    MarkAfterRenewal,
    /// The first poll believes what was read before it.
    FirstPollMarksNobody,
    /// What is read after a crash of the server is compared with a cursor from before it.
    CursorOutlivesCrash,
    /// Marks are forgotten at the first ageing, not at the second.
    AgedTooEarly,
    /// A reading that was joined is believed without a lease.
    JoinedWithoutLease,
    /// Whether the session has been marked is not asked again before the token is handed out.
    NoLastLook,
    /// A token is handed out again without asking whether its session is still believed.
    TokenUnchecked,
    /// The revoke is answered as soon as it has committed.
    AnsweredBeforeCatchUp,
    /// A poll that had begun before the call is enough for `catch_up`.
    EarlierPollIsEnough,
    /// A `catch_up` that fails lets the lease lapse, and marks nobody.
    CatchUpOnlyDistrusts,
    /// Who is to be waited for is looked up once, before the revocation is committed.
    CountedOnceBefore,
    /// A barrier is passed when a poll ends, whatever that poll has read.
    PassesWhatItHasNotRead,
    /// A barrier is passed when it has been read, before anybody is marked.
    PassesBeforeMarks,
    /// A process answers before it has a row: so does the version that has none.
    AnswersWithoutRow,
    /// A replica whose row may be removed goes on answering.
    ForgottenAnswers,
    /// A poll renews the lease though the row may have been removed since it began.
    ForgottenLeases,
}

/// How long rows of the registry live, in ticks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Registry {
    /// After a heartbeat the replica answers for this long.
    pub(crate) counted_in: u8,
    /// Its row is removed after a longer silence than this.
    pub(crate) silence: u8,
    /// Whether the replica that follows starts in the middle.
    pub(crate) starts: bool,
}

/// What a replica does in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Absent,
    Polls,
    PollsAndExchanges,
}

/// What is checked: lengths in ticks, and which parts take part.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) lease: u8,
    pub(crate) timeout: u8,
    /// How long a reading may be used; without it longer than the run.
    pub(crate) max_age: Option<u8>,
    /// How many ticks the run has.
    pub(crate) ticks: u8,
    pub(crate) roles: [Role; 2],
    /// Whether a second transaction writes to the log.
    pub(crate) other_writer: bool,
    /// Whether polls and readings fail, clients leave before they are answered, and the cache lets go of what it keeps.
    pub(crate) losses: bool,
    /// Whether the primary may crash, once.
    pub(crate) crash: bool,
    /// Whether the revoke waits until all have passed a barrier.
    pub(crate) registry: Option<Registry>,
    pub(crate) variant: Option<Variant>,
}

impl Rules {
    pub(crate) fn is(&self, variant: Variant) -> bool {
        self.variant == Some(variant)
    }

    /// `SessionRules::revocation_bound`
    pub(crate) fn bound(&self) -> u8 {
        self.lease.max(self.timeout)
    }
}
