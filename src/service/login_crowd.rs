//! How many attempts to sign in of one network are under way, so that no network takes every place there is.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::domain::login_throttle::Network;

/// The networks that somebody signs in from right now.
#[derive(Debug)]
pub(super) struct LoginCrowd {
    most: usize,
    under_way: Mutex<HashMap<Network, usize>>,
}

/// One attempt that is under way. It is over when this is dropped.
#[derive(Debug)]
pub(super) struct Place<'a> {
    crowd: &'a LoginCrowd,
    network: Network,
}

impl LoginCrowd {
    /// Nobody signs in yet; `most` attempts of one network may be under way at once.
    pub(super) fn new(most: usize) -> Self {
        Self { most, under_way: Mutex::default() }
    }

    /// A place for one more attempt of a network; nothing where as many as may be are under way.
    pub(super) fn enter(&self, network: Network) -> Option<Place<'_>> {
        let mut under_way = self.under_way();
        let count = under_way.get(&network).copied().unwrap_or(0);
        if count >= self.most {
            return None;
        }
        under_way.insert(network, count + 1);
        Some(Place { crowd: self, network })
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<Network, usize>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut under_way = self.crowd.under_way();
        match under_way.get_mut(&self.network) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(under_way.remove(&self.network)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(address: &str) -> Network {
        Network::of(address.parse().unwrap())
    }

    #[test]
    fn one_network_has_so_many_places_and_no_more() {
        let crowd = LoginCrowd::new(2);
        let first = crowd.enter(network("2001:db8:1:2::1")).unwrap();
        let second = crowd.enter(network("2001:db8:1:2:ffff::2")).unwrap();
        assert!(crowd.enter(network("2001:db8:1:2::3")).is_none());
        let other = crowd.enter(network("203.0.113.9")).unwrap();
        drop(first);
        let third = crowd.enter(network("2001:db8:1:2::3")).unwrap();
        assert!(crowd.enter(network("2001:db8:1:2::4")).is_none());
        drop((second, third, other));
        assert!(crowd.under_way().is_empty(), "nothing is kept of those who have gone");
    }
}
