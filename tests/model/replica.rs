//! What one replica does, step by step. Each step says which code it stands for; between two steps anything else may happen,
//! and any number of ticks may pass: that is how delays, pauses and lost answers come in.

use crate::{
    database::{Row, Snapshot},
    rules::{Rules, Variant},
    under_way::{Exchange, Kept, News, Poll, Reading, Seen},
};

pub(crate) use crate::under_way::Source;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "a state of the model is made of single facts")]
pub(crate) struct Replica {
    // `Freshness`
    pub(crate) trusted_until: u8,
    generation: u8,
    everyone: u8,
    young: u8,
    old: u8,
    aged_at: u8,
    // `LogPosition`, `RevocationFeed`, `RevocationFollower::follows`
    seen: Option<Seen>,
    known: [Option<u8>; 2],
    pub(crate) connected: bool,
    pub(crate) follows: bool,
    pub(crate) poll: Poll,
    // `Registry`
    /// Whether the process runs at all.
    pub(crate) started: bool,
    pub(crate) beaten_at: u8,
    /// Whether it was counted in when its last poll began.
    polls_counted: bool,
    /// `registry.pass()` is on its way.
    pub(crate) passing: bool,
    // `SessionLoader`, `SessionCache`, `TokenCache`
    pub(crate) reading: Reading,
    pub(crate) kept: Option<Kept>,
    pub(crate) exchange: Exchange,
}

impl Replica {
    /// A process that has just started, or is about to.
    pub(crate) fn new(started: bool) -> Self {
        Self {
            trusted_until: 0,
            generation: 1,
            everyone: 0,
            young: 0,
            old: 0,
            aged_at: 0,
            seen: None,
            known: [None; 2],
            connected: false,
            follows: false,
            poll: Poll::None,
            started,
            beaten_at: 0,
            polls_counted: true,
            passing: false,
            reading: Reading::None,
            kept: None,
            exchange: Exchange::Idle,
        }
    }

    /// `Freshness::trusted`.
    fn trusted(&self, now: u8) -> bool {
        now < self.trusted_until
    }

    /// `Freshness::holds`.
    fn holds(&self, found: Kept, now: u8, rules: &Rules) -> bool {
        let young_enough = rules.max_age.is_none_or(|max_age| now - found.read_at < max_age);
        let unmarked = self.young.max(self.old) <= found.generation && self.everyone <= found.generation;
        young_enough && (unmarked || rules.is(Variant::NoFillGuard))
    }

    /// `Live::stands`.
    fn stands(&self, source: Source, found: Kept, now: u8, rules: &Rules) -> bool {
        let leased = match source {
            Source::Database => true,
            Source::Joined if rules.is(Variant::JoinedWithoutLease) => true,
            Source::Cache | Source::Joined => self.trusted(now),
        };
        leased && self.counted_in(now, rules) && self.holds(found, now, rules)
    }

    /// `Freshness::counted_in`.
    pub(crate) fn counted_in(&self, now: u8, rules: &Rules) -> bool {
        let Some(registry) = rules.registry else { return true };
        now - self.beaten_at < registry.counted_in || rules.is(Variant::ForgottenAnswers)
    }

    /// `Freshness::mark`.
    fn mark(&mut self, row: Row, at: u8, rules: &Rules) {
        self.generation += 1;
        self.age(at, rules);
        if row == Row::Watched {
            self.young = self.generation;
            if rules.is(Variant::NoFillGuard) {
                self.kept = None;
            }
        }
    }

    /// `Freshness::mark_everyone`.
    pub(crate) fn mark_everyone(&mut self, at: u8, rules: &Rules) {
        self.generation += 1;
        self.age(at, rules);
        self.everyone = self.generation;
        if rules.is(Variant::NoFillGuard) {
            self.kept = None;
        }
    }

    /// `Freshness::age`.
    fn age(&mut self, at: u8, rules: &Rules) {
        let Some(max_age) = rules.max_age else { return };
        if at.saturating_sub(self.aged_at) >= max_age {
            self.aged_at = at;
            self.old = if rules.is(Variant::AgedTooEarly) { 0 } else { self.young };
            self.young = 0;
        }
    }

    /// `Freshness::renew`.
    fn renew(&mut self, began: u8, now: u8, rules: &Rules) {
        let from = if rules.is(Variant::LeaseFromTheEnd) { now } else { began };
        self.trusted_until = self.trusted_until.max(from + rules.lease);
    }

    /// `RevocationFollower::poll` and the beginning of `poll_locked`.
    pub(crate) fn poll_begins(&mut self, now: u8, after_call: bool, rules: &Rules) {
        self.follows = true;
        self.polls_counted = self.counted_in(now, rules) || rules.is(Variant::ForgottenLeases);
        self.poll = Poll::Asked { began: now, after_call };
    }

    /// `RevocationFeed::read`: the statement is executed.
    pub(crate) fn poll_is_answered(&mut self, seen: Snapshot) {
        let Poll::Asked { began, after_call } = self.poll else { return };
        self.poll = Poll::Answered { began, after_call, reconnected: !self.connected, seen };
        self.connected = true;
    }

    /// `RevocationFeed::read` fails, or is given up: the connection is let go.
    pub(crate) fn poll_fails(&mut self) {
        self.poll = Poll::None;
        self.connected = false;
    }

    /// `LogPosition::apply`, except that it is cut in two: the marks, and the renewal of the lease.
    pub(crate) fn poll_applies_half(&mut self, now: u8, rules: &Rules) {
        let Poll::Answered { began, after_call, reconnected, seen } = self.poll else { return };
        let serial = rules.is(Variant::SerialCursor);
        // `LogPosition::starts_over`
        let first = self.seen.is_none() && !rules.is(Variant::FirstPollMarksNobody);
        let another = reconnected && self.seen.is_some() && !rules.is(Variant::CursorOutlivesCrash);
        let backwards = self.seen.is_some_and(|last| seen.horizon < last.horizon);
        let everyone = first || another || (backwards && !serial && !rules.is(Variant::CursorOutlivesCrash));
        // Over a new connection no rows are asked for.
        let asks_for = |id: u8| !another && self.seen.is_some_and(|last| last.asks_for(id));
        let rows = [Row::Watched, Row::Other].map(|row| seen.of(row).filter(|id| asks_for(*id)));
        let new = |place: usize| rows[place].is_some() && rows[place] != self.known[place];
        let news = News { everyone, watched: new(0), other: new(1) };
        self.known = rows.map(|id| id.filter(|id| *id >= seen.horizon));
        let highest = seen.watched.max(seen.other).map_or(0, |id| id + 1).max(self.seen.map_or(0, |last| last.next_id));
        self.seen = Some(Seen {
            horizon: seen.horizon,
            next_id: if serial { highest } else { seen.next_id },
            running: if serial || rules.is(Variant::RunningForgotten) { [None; 2] } else { seen.running },
        });
        let mut unmarked = None;
        if rules.is(Variant::MarkAfterRenewal) {
            self.renew(began, now, rules);
            unmarked = Some(news);
        } else {
            self.mark_all(news, began, rules);
        }
        let Snapshot { raised, registered, .. } = seen;
        self.poll = Poll::Half { began, after_call, unmarked, raised, registered };
    }

    fn mark_all(&mut self, news: News, began: u8, rules: &Rules) {
        if news.everyone {
            return self.mark_everyone(began, rules);
        }
        for (row, new) in [(Row::Watched, news.watched), (Row::Other, news.other)] {
            if new {
                self.mark(row, began, rules);
            }
        }
    }

    /// The other half. Returns whether the poll had begun after a call of `RevocationFollower::catch_up`.
    pub(crate) fn poll_ends(&mut self, now: u8, rules: &Rules, raised_now: bool) -> bool {
        let Poll::Half { began, after_call, unmarked, raised, registered } = self.poll else { return false };
        let leased = rules.registry.is_none() || (registered && self.polls_counted);
        // A row that is there and has not passed what this reading saw.
        self.passing |= registered && (raised || (raised_now && rules.is(Variant::PassesWhatItHasNotRead)));
        if let Some(news) = unmarked {
            self.mark_all(news, began, rules);
        } else {
            self.age(began, rules);
            if leased {
                self.renew(began, now, rules);
            }
        }
        self.poll = Poll::None;
        after_call
    }

    /// `Exchange::exchange` begins: `LiveSessions::authenticate` up to `SessionLoader::load`.
    /// Only in one variant there is a token at once.
    pub(crate) fn exchange_begins(&mut self, now: u8, rules: &Rules) -> Option<Source> {
        let memory = self.trusted(now);
        if memory && self.kept.is_some() && rules.is(Variant::TokenUnchecked) {
            return Some(Source::Cache);
        }
        self.exchange = match self.kept {
            Some(found) if memory && self.stands(Source::Cache, found, now, rules) => {
                Exchange::Decided { began: now, source: Source::Cache, found }
            }
            _ if memory && self.reading != Reading::None => Exchange::Waiting { began: now, joined: true },
            _ => Exchange::Wanting { began: now },
        };
        None
    }

    /// A lane takes what is wanted: `freshness.generation()`.
    pub(crate) fn reading_begins(&mut self) {
        if let Exchange::Wanting { began } = self.exchange {
            self.exchange = Exchange::Waiting { began, joined: false };
            self.reading = Reading::Noted { generation: self.generation };
        }
    }

    /// `clock.monotonic()`, then the statement is executed.
    pub(crate) fn reading_is_answered(&mut self, now: u8, alive: bool, rules: &Rules) {
        let Reading::Noted { generation } = self.reading else { return };
        let read_at = if rules.max_age.is_some() { now } else { 0 };
        self.reading = Reading::Found { generation, read_at, alive };
    }

    /// `Lane::read_round` fails: everybody who waits has 503.
    pub(crate) fn reading_fails(&mut self) {
        self.reading = Reading::None;
        if matches!(self.exchange, Exchange::Waiting { .. }) {
            self.exchange = Exchange::Idle;
        }
    }

    /// `SessionCache::take` or `confirm`, and whoever waits is answered.
    pub(crate) fn reading_ends(&mut self, now: u8, rules: &Rules) {
        let Reading::Found { generation, read_at, alive } = self.reading else { return };
        self.reading = Reading::None;
        let generation = if rules.is(Variant::NotedAfterReading) { self.generation } else { generation };
        let mut found = Kept { generation, read_at };
        if alive {
            // `CachedSession::confirmed_by`: what was found before is the same session, and is as good as the later reading.
            let confirm = |known: &mut Kept| {
                known.generation = known.generation.max(generation);
                known.read_at = known.read_at.max(read_at);
            };
            if let Some(known) = &mut self.kept {
                confirm(known);
                found = *known;
            }
            self.kept = Some(found);
            if let Exchange::Decided { found, .. } = &mut self.exchange {
                confirm(found);
            }
        } else {
            self.kept = None;
        }
        if let Exchange::Waiting { began, joined } = self.exchange {
            let source = if joined { Source::Joined } else { Source::Database };
            self.exchange = match (alive, joined) {
                (true, false) => Exchange::Decided { began, source, found },
                (true, true) if self.stands(source, found, now, rules) => Exchange::Decided { began, source, found },
                (_, true) => Exchange::Wanting { began },
                (false, false) => Exchange::Idle,
            };
        }
    }

    /// The end of `Exchange::exchange`.
    pub(crate) fn exchange_ends(&mut self, now: u8, rules: &Rules) -> Option<Source> {
        let Exchange::Decided { began, source, found } = self.exchange else { return None };
        let stands = match source {
            _ if !rules.is(Variant::NoLastLook) => self.stands(source, found, now, rules),
            Source::Cache => self.trusted(now),
            Source::Joined | Source::Database => true,
        };
        if !stands {
            // Once more in the code; here as often as it likes.
            self.exchange = Exchange::Wanting { began };
            return None;
        }
        self.exchange = Exchange::Idle;
        Some(source)
    }

    /// Time has passed. An exchange that takes too long ends without a token: it is given up, or, where the process did not run,
    /// it looks at the clock before it hands one out (`Exchange::exchange`).
    ///
    /// Instants that nothing depends on any more are forgotten, so that states that differ in them alone are one.
    pub(crate) fn tick(&mut self, now: u8, rules: &Rules) {
        if let Exchange::Wanting { began } | Exchange::Waiting { began, .. } | Exchange::Decided { began, .. } =
            self.exchange
            && now - began > rules.timeout
        {
            self.exchange = Exchange::Idle;
        }
        if self.trusted_until <= now {
            self.trusted_until = 0;
        }
        if let Poll::Asked { began, .. } | Poll::Answered { began, .. } | Poll::Half { began, .. } = &mut self.poll
            && *began + rules.lease <= now
            && rules.max_age.is_none()
        {
            *began = 0;
        }
    }

    /// Numbers the generations anew, in the same order: only their order is ever asked for.
    pub(crate) fn renumber(&mut self, rules: &Rules) {
        let latest = self.everyone.max(self.young).max(self.old);
        let mut numbers = vec![&mut self.generation];
        if rules.max_age.is_some() {
            numbers.extend([&mut self.everyone, &mut self.young, &mut self.old]);
        } else {
            // Where no mark is ever forgotten, the latest one alone counts, whomever it names.
            (self.everyone, self.young, self.old) = (latest, 0, 0);
            numbers.push(&mut self.everyone);
        }
        numbers.extend(self.kept.as_mut().map(|kept| &mut kept.generation));
        match &mut self.reading {
            Reading::Noted { generation } | Reading::Found { generation, .. } => numbers.push(generation),
            Reading::None => {}
        }
        if let Exchange::Decided { found, .. } = &mut self.exchange {
            numbers.push(&mut found.generation);
        }
        if rules.max_age.is_none() {
            // And so do those who came before it, and those who came after it.
            for number in numbers {
                *number = if *number >= latest { 2 } else { 1 };
            }
            return;
        }
        let mut order: Vec<u8> = numbers.iter().map(|number| **number).chain([0]).collect();
        order.sort_unstable();
        order.dedup();
        for number in numbers {
            *number = u8::try_from(order.binary_search(number).unwrap()).unwrap();
        }
    }
}
