//! The revocation protocol in a model checker, and the real code under schedules that nobody would think of.
//! `docs/model.md` says what is modelled and what is not.
#![expect(clippy::unwrap_used, clippy::unchecked_time_subtraction, reason = "a test ends at its first surprise")]
#![expect(clippy::explicit_write, reason = "`println!` is hidden by the test harness")]
#![expect(clippy::mut_mut, reason = "a schedule picks among running changes")]

mod checked;
mod database;
mod marks;
mod protocol;
mod replica;
mod rules;
mod schedules;
mod stored;
mod threads;
mod under_way;
mod world;
