//! `Freshness` from the inside: what threads see of each other's single steps while one asks whether a reading holds.

use stateright::{Checker as _, HasDiscoveries, Model, Property};

/// More marks than this are replaced by one for everyone.
const MAX_MARKS: u8 = 1;

const NOTHING_MISSED: &str = "no reading holds that began before a mark that is set";
const HOLDS: &str = "a reading holds";
const GIVEN_UP: &str = "marks are given up for one that concerns everyone";

/// A way to build it wrongly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Variant {
    /// The mark for everyone is looked at first.
    EveryoneFirst,
    /// Two threads mark at the same time.
    Unlocked,
    /// Marks are taken away before the one for everyone is set.
    ForgottenFirst,
}

struct Marks {
    variant: Option<Variant>,
}

/// An atomic step of a thread that marks. Steps below one line of code are one where a shard's lock makes them one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Step {
    /// `generation.fetch_add`
    Take,
    /// `marks.load() >= max_marks`
    Choose,
    /// `set_mark`: `marks.fetch_add`
    Count,
    /// `set_mark`: `young.insert`, and `marks.fetch_sub` where it was there
    Set,
    /// `everyone.fetch_max`
    Everyone,
    /// `forget_marks`: the shard is emptied
    Forget,
    /// `age`: what is young is old
    Age,
    /// `forget_marks` and `age`: `marks.fetch_sub`
    Uncount,
    /// The call returns.
    Return,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Thread {
    steps: Vec<Step>,
    /// The generation of the mark that it sets.
    generation: u8,
    forgotten: u8,
    /// Whether the mark that it sets concerns the reading, and began after the reading.
    concerns: bool,
    /// Whether it is inside a call.
    calling: bool,
    /// Calls that follow.
    later: Vec<Vec<Step>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Asking {
    NotYet,
    CountNext,
    MarkNext,
    EveryoneNext,
    Answered(bool),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    generation: u8,
    everyone: u8,
    count: u8,
    young: u8,
    old: u8,
    threads: [Thread; 2],
    /// The generation that the reading noted.
    noted: Option<u8>,
    asking: Asking,
    /// Whether a mark that the reading must not outlive was set before the question.
    must_fail: bool,
    set_since: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Action {
    Note,
    Ask,
    Step(usize),
}

impl State {
    /// Whether the lock, which a thread holds for the whole of a call, is another thread's.
    fn locked_out(&self, place: usize) -> bool {
        self.threads[1 - place].calling
    }

    fn step(&mut self, place: usize, variant: Option<Variant>) {
        let noted = self.noted.is_some();
        let thread = &mut self.threads[place];
        thread.calling = true;
        match thread.steps.remove(0) {
            Step::Take => {
                self.generation += 1;
                thread.generation = self.generation;
                // A call that has begun before the reading may have been seen by it.
                thread.concerns = noted;
            }
            Step::Choose if self.count >= MAX_MARKS => {
                let everyone_first = [Step::Everyone, Step::Forget, Step::Uncount, Step::Return];
                let forgotten_first = [Step::Forget, Step::Uncount, Step::Everyone, Step::Return];
                let steps = if variant == Some(Variant::ForgottenFirst) { forgotten_first } else { everyone_first };
                thread.steps = steps.to_vec();
            }
            Step::Choose => thread.steps = vec![Step::Count, Step::Set, Step::Return],
            Step::Count => self.count += 1,
            Step::Set => {
                self.count -= u8::from(self.young != 0);
                self.young = self.young.max(thread.generation);
            }
            Step::Everyone => self.everyone = self.everyone.max(thread.generation),
            Step::Forget => {
                thread.forgotten = u8::from(self.young != 0) + u8::from(self.old != 0);
                (self.young, self.old) = (0, 0);
            }
            Step::Age => {
                thread.forgotten = u8::from(self.old != 0);
                (self.old, self.young) = (self.young, 0);
            }
            Step::Uncount => self.count -= thread.forgotten,
            Step::Return => self.set_since |= thread.concerns,
        }
        if thread.steps.is_empty() {
            thread.calling = false;
            thread.steps = if thread.later.is_empty() { Vec::new() } else { thread.later.remove(0) };
        }
    }

    /// `Freshness::holds`
    fn ask(&mut self, variant: Option<Variant>) {
        let noted = self.noted.unwrap_or(0);
        let everyone_first = variant == Some(Variant::EveryoneFirst);
        self.asking = match self.asking {
            Asking::NotYet => {
                self.must_fail = self.set_since;
                if everyone_first && self.everyone > noted { Asking::Answered(false) } else { Asking::CountNext }
            }
            Asking::CountNext if self.count > 0 => Asking::MarkNext,
            Asking::CountNext => Asking::EveryoneNext,
            Asking::MarkNext => {
                let mark = if self.young == 0 { self.old } else { self.young };
                if mark > noted { Asking::Answered(false) } else { Asking::EveryoneNext }
            }
            Asking::EveryoneNext => Asking::Answered(everyone_first || self.everyone <= noted),
            Asking::Answered(answer) => Asking::Answered(answer),
        };
    }
}

impl Model for Marks {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let mark = vec![Step::Take, Step::Choose];
        let thread =
            |later| Thread { steps: mark.clone(), generation: 0, forgotten: 0, concerns: false, calling: false, later };
        // The first thread marks twice: the reading's session, and then somebody else, where there is no room for it left. (It
        // may set that mark as well; then it stands for one more mark of the session.)
        let threads = [thread(vec![mark.clone()]), thread(vec![vec![Step::Age, Step::Uncount]])];
        vec![State {
            generation: 1,
            everyone: 0,
            count: 0,
            young: 0,
            old: 0,
            threads,
            noted: None,
            asking: Asking::NotYet,
            must_fail: false,
            set_since: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        match (state.noted, &state.asking) {
            (None, _) => actions.push(Action::Note),
            (_, Asking::Answered(_)) => {}
            _ => actions.push(Action::Ask),
        }
        let free = |place: &usize| self.variant == Some(Variant::Unlocked) || !state.locked_out(*place);
        let busy = |place: &usize| !state.threads[*place].steps.is_empty();
        actions.extend([0, 1].into_iter().filter(busy).filter(free).map(Action::Step));
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Note => state.noted = Some(state.generation),
            Action::Ask => state.ask(self.variant),
            Action::Step(place) => state.step(place, self.variant),
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(NOTHING_MISSED, |_, state: &State| {
                !(state.must_fail && state.asking == Asking::Answered(true))
            }),
            Property::sometimes(HOLDS, |_, state: &State| state.asking == Asking::Answered(true)),
            Property::sometimes(GIVEN_UP, |_, state: &State| state.everyone != 0 && state.count == 0),
        ]
    }
}

#[test]
fn no_thread_misses_a_mark_that_is_set() {
    let checker = Marks { variant: None }.checker().spawn_bfs().join();
    crate::checked::say(&format!("marks: {} states", checker.unique_state_count()));
    checker.assert_properties();
}

#[test]
fn the_order_in_which_marks_are_looked_at_and_given_up_matters() {
    for variant in [Variant::EveryoneFirst, Variant::Unlocked, Variant::ForgottenFirst] {
        let finished = HasDiscoveries::AnyOf([NOTHING_MISSED].into());
        let checker = Marks { variant: Some(variant) }.checker().finish_when(finished).spawn_bfs().join();
        let steps = checker.assert_any_discovery(NOTHING_MISSED).into_actions();
        crate::checked::say(&format!("{variant:?}, refuted in {} steps", steps.len()));
    }
}
