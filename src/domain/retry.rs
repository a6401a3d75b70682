//! When something that failed is tried again: delays that grow, with an element of chance.

use std::time::Duration;

/// Before the second attempt.
pub const FIRST_DELAY: Duration = Duration::from_secs(5);
/// No delay is longer.
pub const LONGEST_DELAY: Duration = Duration::from_hours(6);
/// Each delay is so many times the one before.
const GROWTH: u32 = 4;

/// How long to wait after the attempt of that number (from 1) has failed.
///
/// `chance` shortens the delay by up to a quarter, so that what failed together is not tried again together; what the other side
/// asks for (RFC 9110 §10.2.3) lengthens it, up to [`LONGEST_DELAY`].
#[must_use]
pub fn delay(attempt: u32, chance: u8, asked_for: Option<Duration>) -> Duration {
    let growth = GROWTH.saturating_pow(attempt.saturating_sub(1));
    let full = FIRST_DELAY.saturating_mul(growth).min(LONGEST_DELAY);
    let shortened = full.saturating_sub(full / 4 * u32::from(chance) / u32::from(u8::MAX));
    shortened.max(asked_for.unwrap_or_default()).min(LONGEST_DELAY)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_delays_are_those_of_the_documentation() {
        let full: Vec<_> = (1..=9).map(|attempt| delay(attempt, 0, None).as_secs()).collect();
        assert_eq!(full, [5, 20, 80, 320, 1_280, 5_120, 20_480, 21_600, 21_600]);
        assert_eq!(delay(1, u8::MAX, None), Duration::from_millis(3_750));
    }

    proptest! {
        #[test]
        fn delays_are_bounded_and_grow(attempt: u32, chance: u8, later: u8, asked: Option<u64>) {
            let asked = asked.map(Duration::from_secs);
            let this = delay(attempt, chance, None);
            prop_assert!(this >= FIRST_DELAY * 3 / 4 && this <= LONGEST_DELAY);
            let next = delay(attempt.saturating_add(1), later, None);
            // Until the longest is reached, whatever chance does.
            prop_assert!(next > this || next >= LONGEST_DELAY * 3 / 4, "{this:?} {next:?}");
            let told = delay(attempt, chance, asked);
            prop_assert!(told >= this && told <= LONGEST_DELAY);
            prop_assert!(told >= asked.unwrap_or_default().min(LONGEST_DELAY));
        }

        #[test]
        fn chance_takes_a_quarter_at_most(attempt: u32, chance: u8) {
            let (full, this) = (delay(attempt, 0, None), delay(attempt, chance, None));
            prop_assert!(this <= full && this >= full * 3 / 4);
        }
    }
}
