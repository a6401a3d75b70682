//! What a run prints: one row for each kind of work and one for each goal, for people as tables and for programs as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::rounds::{Measured, PLAIN, Slice};

/// One figure and what it should be.
#[derive(Debug, Clone)]
pub(crate) struct Goal {
    pub(crate) what: String,
    pub(crate) measured: f64,
    pub(crate) unit: &'static str,
    pub(crate) wanted: Wanted,
}

/// What a figure should be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wanted {
    AtLeast(f64),
    AtMost(f64),
    /// Nothing is promised; it is shown to be known.
    Nothing,
}

impl Goal {
    pub(crate) fn new(what: impl Into<String>, measured: f64, unit: &'static str, wanted: Wanted) -> Self {
        Self { what: what.into(), measured, unit, wanted }
    }

    fn met(&self) -> Option<bool> {
        match self.wanted {
            Wanted::AtLeast(limit) => Some(self.measured >= limit),
            Wanted::AtMost(limit) => Some(self.measured <= limit),
            Wanted::Nothing => None,
        }
    }

    fn wanted(&self) -> String {
        match self.wanted {
            Wanted::AtLeast(limit) => format!("≥ {limit}{}", self.unit),
            Wanted::AtMost(limit) => format!("≤ {limit}{}", self.unit),
            Wanted::Nothing => String::new(),
        }
    }
}

/// The kinds of work, in the order in which they are shown.
pub(crate) fn work_table(measured: &Measured, names: &[(&'static str, &'static str)]) -> String {
    let mut table = String::from(
        "| work | req/s | × plain | CPU µs | × plain | database µs | p50 ms | p99 ms |\n|---|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for (name, title) in names {
        let of = |what: fn(&Slice) -> f64| measured.of(name, what).unwrap_or(f64::NAN);
        let (throughput, cpu) =
            if *name == PLAIN { (1.0, 1.0) } else { measured.against_plain(name).unwrap_or_default() };
        let _ = writeln!(
            table,
            "| {title} | {:.0} | {throughput:.2} | {:.1} | {cpu:.2} | {:.1} | {:.2} | {:.2} |",
            of(|slice| slice.answers.per_second()),
            of(|slice| slice.cpu),
            of(|slice| slice.database_cpu),
            of(|slice| slice.answers.p50_ms),
            of(|slice| slice.answers.p99_ms),
        );
    }
    table
}

/// The goals, each with what was measured.
pub(crate) fn goal_table(goals: &[Goal]) -> String {
    let mut table = String::from("| figure | measured | goal | |\n|---|--:|--:|---|\n");
    for goal in goals {
        let verdict = goal.met().map_or("", |met| if met { "met" } else { "MISSED" });
        let measured = significant(goal.measured);
        let _ = writeln!(table, "| {} | {measured}{} | {} | {verdict} |", goal.what, goal.unit, goal.wanted());
    }
    table
}

/// Everything, for programs.
pub(crate) fn document(measured: &Measured, goals: &[Goal], about: &Value) -> Value {
    let slices = |slices: &Vec<Slice>| -> Vec<Value> {
        let shown = |slice: &Slice| {
            json!({
                "requests_per_second": slice.answers.per_second(),
                "cpu_microseconds": slice.cpu,
                "database_cpu_microseconds": slice.database_cpu,
                "p50_milliseconds": slice.answers.p50_ms,
                "p99_milliseconds": slice.answers.p99_ms,
                "lost": slice.answers.lost,
                "share_of_machine_used_by_others": slice.elsewhere,
            })
        };
        slices.iter().map(shown).collect()
    };
    let work: serde_json::Map<_, _> =
        measured.slices.iter().map(|(name, taken)| ((*name).to_owned(), json!(slices(taken)))).collect();
    let goals: Vec<_> = goals
        .iter()
        .map(|goal| {
            json!({ "figure": goal.what, "measured": goal.measured, "unit": goal.unit.trim(), "goal": goal.wanted(), "met": goal.met() })
        })
        .collect();
    json!({ "about": about, "slices": work, "goals": goals })
}

/// A figure with about three digits that say something.
fn significant(figure: f64) -> String {
    match figure.abs() {
        size if size >= 100.0 => format!("{figure:.0}"),
        size if size >= 10.0 => format!("{figure:.1}"),
        size if size >= 0.095 || size == 0.0 => format!("{figure:.2}"),
        _ => format!("{figure:.5}"),
    }
}
