//! What the checker finds: nothing in the protocol as it is, and the fault in each way to build it wrongly.

use std::io::Write as _;

use ephemint::clock::{Clock as _, SystemClock};
use stateright::{Checker as _, HasDiscoveries, Model as _};

use crate::rules::{NOTHING_BEHIND, NOTHING_HERE, NOTHING_LATE, Registry, Role, Rules, Variant};

/// The replica that follows. The revoke is served elsewhere and acknowledged with the commit, earlier than any replica could.
const FOLLOWING_ALONE: Rules = Rules {
    lease: 2,
    timeout: 2,
    max_age: None,
    ticks: 4,
    roles: [Role::Absent, Role::PollsAndExchanges],
    other_writer: false,
    losses: true,
    crash: false,
    registry: None,
    variant: None,
};

/// The replica that serves the revoke.
const SERVING_ALONE: Rules = Rules { ticks: 3, roles: [Role::PollsAndExchanges, Role::Absent], ..FOLLOWING_ALONE };

/// The shortest lengths at which something can be late.
const SHORT: Rules = Rules { lease: 1, timeout: 1, ticks: 2, losses: false, ..FOLLOWING_ALONE };

/// One serves the revoke and both follow.
const TOGETHER: Rules = Rules { roles: [Role::Polls, Role::PollsAndExchanges], ..SHORT };

/// Two transactions write to the log and commit in any order, or one of them does not.
const OUT_OF_ORDER: Rules = Rules { other_writer: true, ..SHORT };

/// The same, and the primary crashes.
const CRASH: Rules = Rules { crash: true, ..OUT_OF_ORDER };

/// Marks are forgotten when no reading can be older than they are.
const AGEING: Rules = Rules { lease: 1, timeout: 1, max_age: Some(2), losses: false, ..SERVING_ALONE };

/// The revoke waits for a replica that may start at any time.
const STARTING: Rules = Rules { registry: Some(Registry { counted_in: 9, silence: 9, starts: true }), ..SHORT };

/// The same with a replica that was there and whose heart may stop, so that its row is removed.
const STOPPING: Rules =
    Rules { registry: Some(Registry { counted_in: 1, silence: 2, starts: false }), ticks: 3, ..SHORT };

/// Past the test harness, which hides what tests that succeed have to say.
pub(crate) fn say(line: &str) {
    writeln!(std::io::stdout(), "{line}").unwrap();
}

/// Every reachable state is visited.
fn check(name: &str, rules: Rules) {
    let clock = SystemClock::new();
    let checker = rules.checker().spawn_bfs().join();
    let (states, depth, took) = (checker.unique_state_count(), checker.max_depth(), clock.monotonic());
    say(&format!("{name}: {states} states, up to {depth} steps, {took:.1?}"));
    checker.assert_properties();
}

/// The checker finds a way to a token that must not be.
fn refute(variant: Variant, rules: Rules, property: &'static str) {
    let rules = Rules { variant: Some(variant), ..rules };
    let checker = rules.checker().finish_when(HasDiscoveries::AnyOf([property].into())).spawn_bfs().join();
    let steps = checker.assert_any_discovery(property).into_actions();
    say(&format!("{variant:?}, refuted in {} steps: {steps:?}", steps.len()));
}

#[test]
fn the_replica_that_follows_hands_out_nothing_late() {
    check("following", FOLLOWING_ALONE);
}

#[test]
fn the_replica_that_serves_the_revoke_hands_out_nothing_after_it() {
    check("serving", SERVING_ALONE);
}

#[test]
fn two_replicas_hand_out_nothing_late() {
    check("two replicas", TOGETHER);
}

#[test]
fn neither_commits_out_of_order_nor_a_crash_of_the_primary_hide_anything() {
    check("out of order, and a crash", CRASH);
}

#[test]
fn marks_are_kept_for_as_long_as_they_are_needed() {
    check("ageing", AGEING);
}

#[test]
fn behind_a_barrier_nothing_is_handed_out_whoever_starts_meanwhile() {
    check("barrier, starting", STARTING);
}

#[test]
fn behind_a_barrier_nothing_is_handed_out_whoever_falls_silent() {
    check("barrier, stopping", STOPPING);
}

#[test]
#[ignore = "takes minutes without optimisation"]
fn the_same_with_longer_runs_and_everything_at_once() {
    check("following, longer", Rules { ticks: 6, ..FOLLOWING_ALONE });
    check("serving, longer", Rules { ticks: 5, ..SERVING_ALONE });
    check("two replicas with losses", Rules { losses: true, ..TOGETHER });
    check("serving, out of order", Rules { roles: SERVING_ALONE.roles, ..CRASH });
    check("crash with losses", Rules { losses: true, ..CRASH });
    check("ageing with losses", Rules { losses: true, ..AGEING });
    check("barrier, stopping, longer", Rules { ticks: 4, ..STOPPING });
    check("barrier, starting with losses", Rules { ticks: 2, losses: true, ..STARTING });
    check("barrier, starting out of order", Rules { other_writer: true, ..STARTING });
    check("ageing where it follows", Rules { max_age: Some(3), ticks: 4, ..SHORT });
}

#[test]
fn without_the_fill_guard_a_late_reading_is_believed() {
    refute(Variant::NoFillGuard, SERVING_ALONE, NOTHING_HERE);
    refute(Variant::NoFillGuard, FOLLOWING_ALONE, NOTHING_LATE);
}

#[test]
fn a_generation_that_is_noted_after_the_reading_guards_nothing() {
    refute(Variant::NotedAfterReading, FOLLOWING_ALONE, NOTHING_LATE);
}

#[test]
fn a_cursor_by_serial_id_skips_what_commits_late() {
    refute(Variant::SerialCursor, OUT_OF_ORDER, NOTHING_LATE);
}

#[test]
fn a_snapshot_without_what_was_running_skips_it() {
    refute(Variant::RunningForgotten, FOLLOWING_ALONE, NOTHING_LATE);
}

#[test]
fn a_replica_that_starts_after_the_others_were_counted_is_missed() {
    refute(Variant::CountedOnceBefore, STARTING, NOTHING_BEHIND);
}

#[test]
fn a_replica_that_answers_without_a_row_is_missed() {
    refute(Variant::AnswersWithoutRow, STARTING, NOTHING_BEHIND);
}

#[test]
fn a_barrier_that_is_passed_by_a_poll_that_has_not_read_it_is_passed_too_early() {
    refute(Variant::PassesWhatItHasNotRead, STARTING, NOTHING_BEHIND);
}

#[test]
fn a_barrier_that_is_passed_before_the_marks_is_passed_too_early() {
    refute(Variant::PassesBeforeMarks, STARTING, NOTHING_BEHIND);
}

#[test]
fn a_replica_that_was_given_up_must_not_answer() {
    refute(Variant::ForgottenAnswers, STOPPING, NOTHING_BEHIND);
}

#[test]
fn a_row_that_is_made_anew_says_nothing_of_the_time_in_between() {
    refute(Variant::ForgottenLeases, STOPPING, NOTHING_BEHIND);
}

#[test]
fn a_lease_that_begins_with_the_answer_is_too_long() {
    refute(Variant::LeaseFromTheEnd, FOLLOWING_ALONE, NOTHING_LATE);
}

#[test]
fn a_lease_that_is_renewed_before_the_marks_covers_what_is_not_marked() {
    refute(Variant::MarkAfterRenewal, FOLLOWING_ALONE, NOTHING_LATE);
}

#[test]
fn a_first_poll_that_marks_nobody_believes_what_was_read_before_it() {
    refute(Variant::FirstPollMarksNobody, FOLLOWING_ALONE, NOTHING_LATE);
}

#[test]
fn a_cursor_from_before_a_crash_skips_ids_that_are_given_again() {
    refute(Variant::CursorOutlivesCrash, CRASH, NOTHING_LATE);
}

#[test]
fn marks_that_are_forgotten_at_the_first_ageing_are_missed() {
    refute(Variant::AgedTooEarly, AGEING, NOTHING_HERE);
}

#[test]
fn a_reading_that_was_joined_is_nothing_without_a_lease() {
    refute(Variant::JoinedWithoutLease, FOLLOWING_ALONE, NOTHING_LATE);
}

#[test]
fn without_a_last_look_a_decision_outlives_the_revoke() {
    refute(Variant::NoLastLook, SERVING_ALONE, NOTHING_HERE);
}

#[test]
fn a_token_that_is_handed_out_unasked_outlives_its_session() {
    refute(Variant::TokenUnchecked, SERVING_ALONE, NOTHING_HERE);
    refute(Variant::TokenUnchecked, FOLLOWING_ALONE, NOTHING_LATE);
}

#[test]
fn a_revoke_that_is_answered_before_the_replica_has_caught_up_is_answered_too_early() {
    refute(Variant::AnsweredBeforeCatchUp, SERVING_ALONE, NOTHING_HERE);
}

#[test]
fn a_poll_that_had_begun_before_the_revoke_has_not_seen_it() {
    refute(Variant::EarlierPollIsEnough, SERVING_ALONE, NOTHING_HERE);
}

#[test]
fn a_catch_up_that_fails_must_mark_everyone() {
    refute(Variant::CatchUpOnlyDistrusts, SERVING_ALONE, NOTHING_HERE);
}
