//! The revocation protocol as a model: two replicas, one primary, one session, and time in ticks.

use stateright::{Model, Property};

use crate::{
    database::{Database, Row, Transaction},
    replica::{Replica, Source},
    rules::{
        ACKNOWLEDGED, FOLLOWING, FROM_MEMORY, FROM_THE_PRIMARY, JOINED, NOTHING_BEHIND, NOTHING_HERE, NOTHING_LATE,
        PASSED, Role, Rules, SERVING, Variant, WITHIN_THE_BOUND,
    },
    under_way::{Exchange, Poll, Reading},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Revoke {
    Requested,
    /// Committed; `RevocationFollower::catch_up` is under way.
    CatchingUp,
    Acknowledged {
        at: u8,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Fault {
    Late,
    OnTheServingReplica,
    BehindTheBarrier,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    now: u8,
    database: Database,
    crashed: bool,
    revoke: Revoke,
    replicas: [Replica; 2],
    /// Whether the replica that follows was there before the revocation, for the variant that asks only then.
    counted: bool,
    /// Whether everybody has been waited for.
    waited: bool,
    fault: Option<Fault>,
    /// What the last step handed out.
    handed_out: Option<Source>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    Tick,
    Begin(Row),
    Commit(Row),
    RollBack(Row),
    Crash,
    PollBegins(usize),
    PollIsAnswered(usize),
    PollFails(usize),
    PollAppliesHalf(usize),
    PollEnds(usize),
    ExchangeBegins(usize),
    ExchangeEnds(usize),
    ClientLeaves(usize),
    ReadingBegins(usize),
    ReadingIsAnswered(usize),
    ReadingFails(usize),
    ReadingEnds(usize),
    Evict(usize),
    /// `Services::prepare`: the replica that follows starts, with its first heartbeat.
    Start,
    /// `Registry::beat` of the replica that follows.
    Beat,
    /// `Registry::remove_the_dead` of another one.
    Remove,
    /// `Barrier::raise`
    Raise,
    /// `Registry::pass`
    Pass,
    /// The last look of `Barrier::passed_by_all`
    Look,
}

impl Action {
    fn is_a_loss(self) -> bool {
        matches!(self, Self::PollFails(_) | Self::ReadingFails(_) | Self::ClientLeaves(_) | Self::Evict(_))
    }
}

impl State {
    /// `Sessions::revoke`: the transaction has committed.
    fn catch_up(&mut self, rules: &Rules) {
        let serving = &mut self.replicas[SERVING];
        self.revoke = Revoke::CatchingUp;
        if rules.is(Variant::AnsweredBeforeCatchUp) {
            self.acknowledge();
        } else if !serving.follows {
            serving.mark_everyone(self.now, rules);
            self.acknowledge();
        }
    }

    fn acknowledge(&mut self) {
        self.revoke = Revoke::Acknowledged { at: self.now };
    }

    fn caught_up(&mut self, replica: usize, after_call: bool, rules: &Rules) {
        let enough = after_call || rules.is(Variant::EarlierPollIsEnough);
        if replica == SERVING && enough && self.revoke == Revoke::CatchingUp {
            self.acknowledge();
        }
    }

    fn poll_fails(&mut self, place: usize, rules: &Rules) {
        let replica = &mut self.replicas[place];
        let after_call = matches!(replica.poll, Poll::Asked { after_call: true, .. });
        replica.poll_fails();
        if place == SERVING && after_call && self.revoke == Revoke::CatchingUp {
            if rules.is(Variant::CatchUpOnlyDistrusts) {
                replica.trusted_until = 0;
            } else {
                replica.mark_everyone(self.now, rules);
            }
            self.acknowledge();
        }
    }

    fn hand_out(&mut self, replica: usize, token: Option<Source>, rules: &Rules) {
        self.handed_out = token;
        let (Some(_), Revoke::Acknowledged { at }) = (token, self.revoke) else { return };
        if self.waited {
            self.fault = Some(Fault::BehindTheBarrier);
        } else if replica == SERVING {
            self.fault = Some(Fault::OnTheServingReplica);
        } else if self.now - at > rules.bound() {
            self.fault = Some(Fault::Late);
        }
    }

    fn crash(&mut self, rules: &Rules) {
        self.crashed = true;
        self.database.crash();
        // The revoke that was under way has failed; it is asked for once more.
        if self.database.watched == Transaction::RolledBack {
            self.database.watched = Transaction::Absent;
        }
        for place in [SERVING, FOLLOWING] {
            let replica = &mut self.replicas[place];
            // Answers that are on their way may still arrive; everything else is cut.
            replica.connected = false;
            if matches!(replica.reading, Reading::Noted { .. }) {
                replica.reading_fails();
            }
            if matches!(replica.poll, Poll::Asked { .. }) {
                self.poll_fails(place, rules);
            }
        }
    }

    fn writer_actions(&self, rules: &Rules, actions: &mut Vec<Action>) {
        let rows = [(Row::Watched, self.database.watched, true), (Row::Other, self.database.other, rules.other_writer)];
        for (row, transaction, takes_part) in rows {
            match transaction {
                Transaction::Absent if takes_part => actions.push(Action::Begin(row)),
                Transaction::Running(_) => {
                    actions.push(Action::Commit(row));
                    if row == Row::Other {
                        actions.push(Action::RollBack(row));
                    }
                }
                _ => {}
            }
        }
        if rules.crash && !self.crashed {
            actions.push(Action::Crash);
        }
    }

    fn replica_actions(&self, place: usize, rules: &Rules, actions: &mut Vec<Action>) {
        let role = rules.roles[place];
        if role == Role::Absent {
            return;
        }
        let replica = &self.replicas[place];
        if !replica.started && !rules.is(Variant::AnswersWithoutRow) {
            return;
        }
        match replica.poll {
            Poll::None => actions.push(Action::PollBegins(place)),
            Poll::Asked { .. } => actions.extend([Action::PollIsAnswered(place), Action::PollFails(place)]),
            // An answer that never arrives is as if it had never been made.
            Poll::Answered { .. } => actions.push(Action::PollAppliesHalf(place)),
            Poll::Half { .. } => actions.push(Action::PollEnds(place)),
        }
        if role == Role::Polls {
            return;
        }
        match replica.reading {
            Reading::None
                if matches!(replica.exchange, Exchange::Wanting { .. }) && replica.counted_in(self.now, rules) =>
            {
                actions.push(Action::ReadingBegins(place));
            }
            Reading::None => {}
            Reading::Noted { .. } => actions.extend([Action::ReadingIsAnswered(place), Action::ReadingFails(place)]),
            Reading::Found { .. } => actions.push(Action::ReadingEnds(place)),
        }
        match replica.exchange {
            Exchange::Idle => actions.push(Action::ExchangeBegins(place)),
            Exchange::Decided { .. } => actions.push(Action::ExchangeEnds(place)),
            Exchange::Wanting { .. } | Exchange::Waiting { .. } => actions.push(Action::ClientLeaves(place)),
        }
        if replica.kept.is_some() {
            actions.push(Action::Evict(place));
        }
    }
}

impl State {
    fn registry_actions(&self, rules: &Rules, actions: &mut Vec<Action>) {
        let Some(registry) = rules.registry else { return };
        let follower = &self.replicas[FOLLOWING];
        if !follower.started {
            actions.push(Action::Start);
        } else if follower.beaten_at < self.now && !registry.starts {
            actions.push(Action::Beat);
        }
        if self.database.registered && self.now - follower.beaten_at > registry.silence {
            actions.push(Action::Remove);
        }
        if follower.passing {
            actions.push(Action::Pass);
        }
        if matches!(self.revoke, Revoke::Acknowledged { .. }) && !self.database.raised {
            actions.push(Action::Raise);
        }
        let waits_for = if rules.is(Variant::CountedOnceBefore) { self.counted } else { self.database.registered };
        if self.database.raised && !self.waited && (!waits_for || self.database.passed) {
            actions.push(Action::Look);
        }
    }

    /// The row of the replica that follows is made, or kept.
    fn beat(&mut self) {
        self.replicas[FOLLOWING].beaten_at = self.now;
        self.replicas[FOLLOWING].started = true;
        self.database.registered = true;
    }
}

impl Model for Rules {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let starts = self.registry.is_some_and(|registry| registry.starts);
        let mut database = Database::empty();
        database.registered = self.registry.is_some() && !starts;
        vec![State {
            now: 0,
            database,
            crashed: false,
            revoke: Revoke::Requested,
            replicas: [Replica::new(true), Replica::new(!starts)],
            counted: false,
            waited: false,
            fault: None,
            handed_out: None,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.fault.is_some() {
            return;
        }
        if state.now < self.ticks {
            actions.push(Action::Tick);
        }
        state.writer_actions(self, actions);
        state.registry_actions(self, actions);
        for place in [SERVING, FOLLOWING] {
            state.replica_actions(place, self, actions);
        }
        if !self.losses {
            actions.retain(|action| !action.is_a_loss());
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = State { handed_out: None, ..last.clone() };
        let now = state.now;
        let alive = !matches!(state.database.watched, Transaction::Committed(_));
        let seen = state.database.snapshot();
        match action {
            Action::Tick => {
                state.now += 1;
                state.replicas.iter_mut().for_each(|replica| replica.tick(state.now, self));
            }
            Action::Begin(row) => {
                state.database.begin(row);
                // Asked only in one variant.
                state.counted = self.is(Variant::CountedOnceBefore) && state.database.registered;
            }
            Action::Commit(row) => {
                state.database.commit(row);
                if row == Row::Watched {
                    state.catch_up(self);
                }
            }
            Action::RollBack(row) => *state.database.transaction(row) = Transaction::RolledBack,
            Action::Crash => state.crash(self),
            Action::PollBegins(place) => {
                let after_call = place == SERVING && state.revoke == Revoke::CatchingUp;
                state.replicas[place].poll_begins(now, after_call, self);
            }
            Action::PollIsAnswered(place) => {
                let replica = &mut state.replicas[place];
                replica.poll_is_answered(seen);
                replica.passing |= seen.registered && seen.raised && self.is(Variant::PassesBeforeMarks);
            }
            Action::PollFails(place) => state.poll_fails(place, self),
            Action::PollAppliesHalf(place) => state.replicas[place].poll_applies_half(now, self),
            Action::PollEnds(place) => {
                let raised = state.database.raised;
                let after_call = state.replicas[place].poll_ends(now, self, raised);
                state.caught_up(place, after_call, self);
            }
            Action::ExchangeBegins(place) => {
                let token = state.replicas[place].exchange_begins(now, self);
                state.hand_out(place, token, self);
            }
            Action::ExchangeEnds(place) => {
                let token = state.replicas[place].exchange_ends(now, self);
                state.hand_out(place, token, self);
            }
            Action::ClientLeaves(place) => state.replicas[place].exchange = Exchange::Idle,
            Action::ReadingBegins(place) => state.replicas[place].reading_begins(),
            Action::ReadingIsAnswered(place) => state.replicas[place].reading_is_answered(now, alive, self),
            Action::ReadingFails(place) => state.replicas[place].reading_fails(),
            Action::ReadingEnds(place) => state.replicas[place].reading_ends(now, self),
            Action::Evict(place) => state.replicas[place].kept = None,
            Action::Start | Action::Beat => state.beat(),
            Action::Remove => (state.database.registered, state.database.passed) = (false, false),
            Action::Raise => state.database.raised = true,
            Action::Pass => {
                state.database.passed = state.database.registered;
                state.replicas[FOLLOWING].passing = false;
            }
            Action::Look => state.waited = true,
        }
        state.replicas.iter_mut().for_each(|replica| replica.renumber(self));
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        fn from(state: &State, source: Source) -> bool {
            state.handed_out == Some(source)
        }
        let mut properties = vec![
            Property::always(NOTHING_LATE, |_, state: &State| state.fault != Some(Fault::Late)),
            Property::always(NOTHING_HERE, |_, state: &State| state.fault != Some(Fault::OnTheServingReplica)),
            Property::sometimes(FROM_MEMORY, |_, state| from(state, Source::Cache)),
            Property::sometimes(JOINED, |_, state| from(state, Source::Joined)),
            Property::sometimes(FROM_THE_PRIMARY, |_, state| from(state, Source::Database)),
            Property::sometimes(ACKNOWLEDGED, |_, state: &State| matches!(state.revoke, Revoke::Acknowledged { .. })),
        ];
        if self.roles[FOLLOWING] == Role::PollsAndExchanges {
            properties.push(Property::sometimes(WITHIN_THE_BOUND, |_, state: &State| {
                state.handed_out.is_some() && matches!(state.revoke, Revoke::Acknowledged { .. })
            }));
        }
        if self.registry.is_some() {
            properties.extend([
                Property::always(NOTHING_BEHIND, |_, state: &State| state.fault != Some(Fault::BehindTheBarrier)),
                Property::sometimes(PASSED, |_, state: &State| state.waited && state.database.registered),
            ]);
        }
        properties
    }
}
