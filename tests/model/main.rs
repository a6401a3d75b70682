//! The revocation protocol in a model checker, and the real code under schedules that nobody would think of.
//! `docs/model.md` says what is modelled and what is not.

mod checked;
mod database;
mod marks;
mod protocol;
mod replica;
mod schedules;
mod threads;
