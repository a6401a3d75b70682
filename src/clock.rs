//! The only room that reads a clock.
//!
//! Below `service` the present is an argument named `now`; above it comes from a [`Clock`], read once per operation. A lint
//! refuses every other reading, so tests that move time move all of it.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use time::OffsetDateTime;

/// A source of the present: wall time for dates that are stored or signed, monotonic time for deadlines.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The wall clock in UTC, cut to whole microseconds so that a stored instant reads back equal.
    fn now(&self) -> OffsetDateTime;

    /// Time since an arbitrary fixed point; never goes back, is not moved by wall clock changes, and on Linux goes on while the
    /// machine sleeps: what was to be trusted for two seconds is not trusted any more when it wakes up.
    fn monotonic(&self) -> Duration;
}

/// The operating system's clocks.
#[derive(Debug)]
pub struct SystemClock {
    started: Duration,
}

impl SystemClock {
    /// A clock whose monotonic time counts from this call.
    #[must_use]
    pub fn new() -> Self {
        Self { started: unmoved() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the room that reads the clock")]
    fn now(&self) -> OffsetDateTime {
        whole_microseconds(OffsetDateTime::now_utc())
    }

    fn monotonic(&self) -> Duration {
        unmoved().saturating_sub(self.started)
    }
}

/// Monotonic time as one number that an atomic can hold: enough for five centuries.
#[must_use]
pub fn nanoseconds(monotonic: Duration) -> u64 {
    u64::try_from(monotonic.as_nanos()).unwrap_or(u64::MAX)
}

/// Time since the machine was started, its sleep included (`CLOCK_BOOTTIME`, clock_gettime(2)).
#[cfg(target_os = "linux")]
#[expect(clippy::disallowed_methods, reason = "this is the room that reads the clock")]
fn unmoved() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    // Neither is ever negative, and there are fewer than 10^9 nanoseconds.
    Duration::new(u64::try_from(now.tv_sec).unwrap_or_default(), u32::try_from(now.tv_nsec).unwrap_or_default())
}

/// Time since the first call.
#[cfg(not(target_os = "linux"))]
#[expect(clippy::disallowed_methods, reason = "this is the room that reads the clock")]
fn unmoved() -> Duration {
    static FIRST: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    FIRST.get_or_init(std::time::Instant::now).elapsed()
}

/// A clock that stands still until it is moved; for tests and simulations.
#[derive(Debug)]
pub struct ManualClock {
    hands: Mutex<(OffsetDateTime, Duration)>,
}

impl ManualClock {
    /// A clock that shows `now`, with monotonic time at zero.
    #[must_use]
    pub fn at(now: OffsetDateTime) -> Self {
        Self { hands: Mutex::new((whole_microseconds(now), Duration::ZERO)) }
    }

    /// Moves wall and monotonic time forward together.
    pub fn advance(&self, by: Duration) {
        let mut hands = self.hands.lock().unwrap_or_else(PoisonError::into_inner);
        *hands = (hands.0 + by, hands.1 + by);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> OffsetDateTime {
        self.hands.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    fn monotonic(&self) -> Duration {
        self.hands.lock().unwrap_or_else(PoisonError::into_inner).1
    }
}

fn whole_microseconds(instant: OffsetDateTime) -> OffsetDateTime {
    let rest = instant.nanosecond() % 1_000;
    instant - Duration::from_nanos(u64::from(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = ManualClock::at(OffsetDateTime::UNIX_EPOCH);
        assert_eq!(clock.now(), clock.now());
        clock.advance(Duration::from_secs(61));
        assert_eq!(clock.now(), OffsetDateTime::UNIX_EPOCH + Duration::from_secs(61));
        assert_eq!(clock.monotonic(), Duration::from_secs(61));
    }

    #[test]
    fn monotonic_time_goes_on() {
        let clock = SystemClock::new();
        let first = clock.monotonic();
        assert!(first < Duration::from_secs(60), "counts from its making");
        while clock.monotonic() == first {}
        assert!(clock.monotonic() > first);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn sleep_counts() {
        // Seconds since boot, the sleep included (proc_uptime(5)); fewer in some containers.
        let text = std::fs::read_to_string("/proc/uptime").unwrap();
        let uptime = Duration::from_secs_f64(text.split(' ').next().unwrap().parse().unwrap());
        let now = unmoved();
        assert!(uptime <= now, "{uptime:?} {now:?}");
    }

    #[test]
    fn the_wall_clock_has_no_nanoseconds_that_postgres_would_drop() {
        assert_eq!(SystemClock::new().now().nanosecond() % 1_000, 0);
    }
}
