//! File descriptors: as many as the system grants, and never more connections than that.
//!
//! Running out of them would stop every listener at once, the admin listener included.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Descriptors for everything that is no client's connection: database, sockets, log, runtime.
const RESERVE: u64 = 64;

/// Raises the limit of open files as far as it goes, and returns how many connections each of `listeners` may have.
///
/// That is `wanted` where there is room for it beside `database` connections; a lower number is logged. Where the system does not
/// tell its limit, `wanted` stands.
pub(super) fn connections_per_listener(wanted: usize, listeners: usize, database: usize) -> usize {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return wanted };
    let granted = if soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() { hard } else { soft };
    let share = share(granted, wanted, listeners, database);
    if share < wanted {
        tracing::warn!(
            open_files = granted,
            wanted,
            connections = share,
            "the limit of open files leaves each listener fewer connections than http.max_connections; raise it, or lower the setting"
        );
    }
    share
}

fn share(granted: u64, wanted: usize, listeners: usize, database: usize) -> usize {
    let database = u64::try_from(database).unwrap_or(u64::MAX);
    let room = granted.saturating_sub(RESERVE).saturating_sub(database);
    let share = room / u64::try_from(listeners).unwrap_or(1).max(1);
    usize::try_from(share).unwrap_or(usize::MAX).clamp(1, wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_listeners_share_what_is_left_and_never_get_more_than_they_want() {
        assert_eq!(share(1_024, 10_000, 3, 20), 313);
        assert_eq!(share(1_000_000, 10_000, 3, 20), 10_000);
        assert_eq!(share(64, 10_000, 3, 20), 1);
        assert_eq!(share(u64::MAX, 10_000, 3, 20), 10_000);
    }
}
