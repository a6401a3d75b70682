//! What schedules act upon: the real code of each replica, between a log, a clock and transactions of the test's own, which knows
//! what was ended when.

use std::time::Duration;

use ephemint::{
    clock::{Clock as _, ManualClock},
    domain::{
        session::{Session, SessionId},
        session_token::SessionTokenDigest,
    },
    service::{
        freshness::{Freshness, Generation},
        live_sessions::{Live, Source},
        log_position::LogPosition,
        session_cache::{CachedSession, SessionCache},
    },
    storage::revocation_feed::{Concerned, Horizon, LogEntry, Reading},
};
use proptest::{prop_assert, test_runner::TestCaseError};
use time::OffsetDateTime;

use crate::{schedules::Step, stored::stored};

const BOUND: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = BOUND;
/// Short, so that marks are aged within a schedule.
const MAX_AGE: Duration = Duration::from_secs(6);
/// Few, so that they are given up within a schedule.
const MAX_MARKS: u64 = 3;
pub(crate) const SESSIONS: usize = 3;
pub(crate) const REPLICAS: usize = 2;

/// A transaction that ends sessions.
struct Transaction {
    id: u64,
    concerned: Concerned,
    committed: bool,
}

/// What the test knows of a session.
struct Truth {
    session: Session,
    /// Since when its end is acknowledged, and the replicas that said so.
    acknowledged: Option<(Duration, [bool; REPLICAS])>,
}

struct Poll {
    began: Duration,
    /// How many sessions were being caught up with when it began.
    calls: usize,
    reading: Option<Reading>,
}

struct Lookup {
    generation: Generation,
    read_at: Duration,
    found: Option<Session>,
}

struct Exchange {
    began: Duration,
    joined: bool,
    /// Found; nothing while a reading is waited for.
    live: Option<Live>,
}

struct Replica {
    freshness: Freshness,
    position: LogPosition,
    cache: SessionCache,
    /// What the last reading over the connection could not see: the ids that were not given, and those that were running.
    connected: Option<(u64, Vec<u64>)>,
    poll: Option<Poll>,
    /// Whether a poll has ever begun.
    follows: bool,
    /// Sessions whose end it has committed and not yet acknowledged.
    catching_up: Vec<usize>,
    readings: [Option<Lookup>; SESSIONS],
    exchanges: [Option<Exchange>; SESSIONS],
}

pub(crate) struct World {
    clock: ManualClock,
    next_id: u64,
    log: Vec<Transaction>,
    truths: Vec<Truth>,
    replicas: Vec<Replica>,
    pub(crate) seen: Seen,
}

/// How often something happened, so that nobody believes in schedules in which nothing does.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) from_memory: usize,
    pub(crate) joined: usize,
    pub(crate) within_the_bound: usize,
    pub(crate) acknowledged: usize,
}

fn digest(session: usize) -> SessionTokenDigest {
    SessionTokenDigest::new([u8::try_from(session).unwrap(); 32])
}

impl World {
    pub(crate) fn new() -> Self {
        let start = OffsetDateTime::UNIX_EPOCH;
        let session = |place: usize| {
            // Two of them belong to one subject.
            stored(SessionId::generate(start).unwrap(), if place == 0 { "alice" } else { "bob" }, start)
        };
        let replica = || Replica {
            freshness: Freshness::new(BOUND, MAX_AGE).with_max_marks(MAX_MARKS),
            position: LogPosition::default(),
            cache: SessionCache::new(1 << 20),
            connected: None,
            poll: None,
            follows: false,
            catching_up: Vec::new(),
            readings: [const { None }; SESSIONS],
            exchanges: [const { None }; SESSIONS],
        };
        Self {
            clock: ManualClock::at(start),
            next_id: 10,
            log: Vec::new(),
            truths: (0..SESSIONS).map(|place| Truth { session: session(place), acknowledged: None }).collect(),
            replicas: (0..REPLICAS).map(|_| replica()).collect(),
            seen: Seen::default(),
        }
    }

    /// Whether a change ends a session.
    fn ends(&self, concerned: &Concerned, session: usize) -> bool {
        let session = &self.truths[session].session;
        match concerned {
            Concerned::Session(id) => *id == session.id,
            Concerned::Subject(subject) => *subject == session.subject,
            Concerned::Everyone => true,
        }
    }

    /// What a reading of the row finds now.
    fn row(&self, session: usize) -> Session {
        let mut row = self.truths[session].session.clone();
        let ended = self.log.iter().any(|change| change.committed && self.ends(&change.concerned, session));
        row.revoked_at = ended.then_some(row.created_at);
        row
    }

    fn begin(&mut self, concerned: usize) {
        let concerned = match concerned {
            0..SESSIONS => Concerned::Session(self.truths[concerned].session.id),
            3 => Concerned::Subject(self.truths[1].session.subject.clone()),
            // Concerns nobody here.
            4 => Concerned::Session(SessionId::generate(OffsetDateTime::UNIX_EPOCH).unwrap()),
            _ => Concerned::Everyone,
        };
        // Everyone is rare, or there would be nobody left.
        if concerned != Concerned::Everyone || self.log.len() >= 5 {
            self.log.push(Transaction { id: self.next_id, concerned, committed: false });
            self.next_id += 1;
        }
    }

    fn commit(&mut self, transaction: usize, served_by: Option<usize>) {
        let mut running: Vec<_> = self.log.iter_mut().filter(|transaction| !transaction.committed).collect();
        let count = running.len();
        if count == 0 {
            return;
        }
        let change = &mut running[transaction % count];
        change.committed = true;
        let concerned = change.concerned.clone();
        let ended: Vec<_> = (0..SESSIONS).filter(|session| self.ends(&concerned, *session)).collect();
        let now = self.clock.monotonic();
        match served_by {
            None => self.acknowledge(&ended, None),
            Some(replica) if self.replicas[replica].follows => self.replicas[replica].catching_up.extend(ended),
            Some(replica) => {
                self.replicas[replica].freshness.mark_everyone(now);
                self.acknowledge(&ended, Some(replica));
            }
        }
    }

    fn acknowledge(&mut self, ended: &[usize], by: Option<usize>) {
        let now = self.clock.monotonic();
        for session in ended {
            let (_, said) = self.truths[*session].acknowledged.get_or_insert((now, [false; REPLICAS]));
            if let Some(replica) = by {
                said[replica] = true;
            }
            self.seen.acknowledged += 1;
        }
    }

    fn crash(&mut self) {
        self.log.retain(|transaction| transaction.committed);
        self.next_id = self.log.iter().map(|transaction| transaction.id).max().unwrap_or(9) + 1;
        for place in 0..REPLICAS {
            self.poll_fails(place);
            self.replicas[place].connected = None;
        }
    }

    fn poll_begins(&mut self, place: usize) {
        let began = self.clock.monotonic();
        let replica = &mut self.replicas[place];
        if replica.poll.is_none() {
            replica.follows = true;
            replica.poll = Some(Poll { began, calls: replica.catching_up.len(), reading: None });
        }
    }

    fn poll_is_answered(&mut self, place: usize) {
        let replica = &mut self.replicas[place];
        let Some(poll) = &mut replica.poll else { return };
        if poll.reading.is_some() {
            return;
        }
        let running = self.log.iter().filter(|transaction| !transaction.committed).map(|transaction| transaction.id);
        let running: Vec<_> = running.collect();
        let horizon = Horizon::of_transaction(running.iter().copied().min().unwrap_or(self.next_id));
        let reconnected = replica.connected.is_none();
        let last = replica.connected.replace((self.next_id, running));
        let seen = self.log.iter().filter(|transaction| transaction.committed);
        let entry = |transaction: &Transaction| LogEntry {
            written_by: Horizon::of_transaction(transaction.id),
            concerned: transaction.concerned.clone(),
        };
        let new = |transaction: &&Transaction| {
            last.as_ref().is_some_and(|(next, running)| transaction.id >= *next || running.contains(&transaction.id))
        };
        let entries = seen.filter(new).map(entry).collect();
        let server = "one".into();
        poll.reading = Some(Reading { horizon, server, reconnected, registered: true, barrier: None, entries });
    }

    fn poll_ends(&mut self, place: usize) {
        let replica = &mut self.replicas[place];
        if let Some(Poll { began, calls, reading: Some(reading) }) = replica.poll.take_if(|poll| poll.reading.is_some())
        {
            replica.position.apply(&reading, began, &replica.freshness);
            self.caught_up(place, calls);
        }
    }

    fn poll_fails(&mut self, place: usize) {
        let now = self.clock.monotonic();
        let replica = &mut self.replicas[place];
        // Only an answer that has not been made can fail: the other one is as good as here.
        if let Some(poll) = replica.poll.take_if(|poll| poll.reading.is_none()) {
            replica.connected = None;
            if poll.calls > 0 {
                replica.freshness.mark_everyone(now);
            }
            self.caught_up(place, poll.calls);
        }
    }

    /// A poll has ended that began after the first so many calls.
    fn caught_up(&mut self, place: usize, calls: usize) {
        let ended: Vec<_> = self.replicas[place].catching_up.drain(..calls).collect();
        self.acknowledge(&ended, Some(place));
    }

    fn exchange_begins(&mut self, place: usize, session: usize) {
        let began = self.clock.monotonic();
        let replica = &mut self.replicas[place];
        if replica.exchanges[session].is_some() {
            return;
        }
        let memory = replica.freshness.trusted(began);
        let cached = replica.cache.get(&digest(session)).filter(|cached| !cached.standing().is_revoked());
        let live = cached.map(|session| Live { session, source: Source::Cache });
        let live = live.filter(|live| memory && live.stands(&replica.freshness, began));
        let joined = memory && replica.readings[session].is_some();
        let waits = live.is_none() && !joined;
        if waits && replica.readings[session].is_some() {
            // It would wait for its turn.
            return;
        }
        if waits {
            replica.readings[session] =
                Some(Lookup { generation: replica.freshness.generation(), read_at: began, found: None });
        }
        replica.exchanges[session] = Some(Exchange { began, joined, live });
    }

    fn reading_is_answered(&mut self, place: usize, session: usize) {
        let row = self.row(session);
        if let Some(lookup) = &mut self.replicas[place].readings[session] {
            lookup.found.get_or_insert(row);
        }
    }

    fn reading_ends(&mut self, place: usize, session: usize) {
        let now = self.clock.monotonic();
        let replica = &mut self.replicas[place];
        let Some(lookup) = replica.readings[session].take_if(|lookup| lookup.found.is_some()) else { return };
        let Lookup { generation, read_at, found: Some(found) } = lookup else { return };
        let alive = found.revoked_at.is_none();
        let cached = replica.cache.take(digest(session), CachedSession::new(found, generation, read_at));
        if let Some(exchange) = replica.exchanges[session].take_if(|exchange| exchange.live.is_none()) {
            let source = if exchange.joined { Source::Joined } else { Source::Database };
            let live = Live { session: cached, source };
            if alive && (!exchange.joined || live.stands(&replica.freshness, now)) {
                replica.exchanges[session] = Some(Exchange { live: Some(live), ..exchange });
            }
        }
    }

    /// Hands a token out, and looks whether it should have.
    fn exchange_ends(&mut self, place: usize, session: usize) -> Result<(), TestCaseError> {
        let now = self.clock.monotonic();
        let replica = &mut self.replicas[place];
        let Some(exchange) = replica.exchanges[session].take_if(|exchange| exchange.live.is_some()) else {
            return Ok(());
        };
        let Some(live) = exchange.live.filter(|live| live.stands(&replica.freshness, now)) else { return Ok(()) };
        if now - exchange.began > TIMEOUT {
            return Ok(());
        }
        self.seen.from_memory += usize::from(live.source == Source::Cache);
        self.seen.joined += usize::from(live.source == Source::Joined);
        if let Some((at, by)) = self.truths[session].acknowledged {
            self.seen.within_the_bound += 1;
            prop_assert!(!by[place], "session {session} on the replica {place} that has acknowledged its end");
            prop_assert!(now - at <= BOUND, "session {session} on replica {place}, {:?} after its end", now - at);
        }
        Ok(())
    }

    pub(crate) fn take(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Pass { milliseconds } => self.clock.advance(Duration::from_millis(milliseconds)),
            Step::Begin { concerned } => self.begin(concerned),
            Step::Commit { transaction, served_by } => self.commit(transaction, served_by),
            Step::Crash => self.crash(),
            Step::PollBegins(replica) => self.poll_begins(replica),
            Step::PollIsAnswered(replica) => self.poll_is_answered(replica),
            Step::PollEnds(replica) => self.poll_ends(replica),
            Step::PollFails(replica) => self.poll_fails(replica),
            Step::WholePoll(replica) => {
                self.poll_begins(replica);
                self.poll_is_answered(replica);
                self.poll_ends(replica);
            }
            Step::ExchangeBegins(replica, session) => self.exchange_begins(replica, session),
            Step::ClientLeaves(replica, session) => self.replicas[replica].exchanges[session] = None,
            Step::ReadingIsAnswered(replica, session) => self.reading_is_answered(replica, session),
            Step::ReadingEnds(replica, session) => self.reading_ends(replica, session),
            Step::ExchangeEnds(replica, session) => return self.exchange_ends(replica, session),
            Step::WholeExchange(replica, session) => {
                self.exchange_begins(replica, session);
                self.reading_is_answered(replica, session);
                self.reading_ends(replica, session);
                return self.exchange_ends(replica, session);
            }
        }
        Ok(())
    }
}
