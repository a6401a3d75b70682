//! The wish to leave: told once, seen by every connection.
//!
//! The way out has two steps. First [`Drain::begin`]: each answer asks its client to close, while idle connections stay open,
//! so that a gateway which has just picked one for its next request is still answered. After the drain period the server is
//! stopped; only then are idle connections closed, and requests in flight finish within the shutdown timeout.

use tokio::sync::watch;

/// A switch that is turned once and never back; clones share it.
#[derive(Debug, Clone)]
pub struct Drain {
    begun: watch::Sender<()>,
    // Never marked as seen, so a change of version means that draining has begun. Reading it takes no lock.
    unseen: watch::Receiver<()>,
}

impl Drain {
    /// A switch that has not been turned.
    #[must_use]
    pub fn new() -> Self {
        let (begun, unseen) = watch::channel(());
        Self { begun, unseen }
    }

    /// Begins to drain; further calls change nothing.
    pub fn begin(&self) {
        self.begun.send_replace(());
    }

    /// Whether draining has begun.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        // The sender is a field of this very value, so the channel cannot be closed.
        self.unseen.has_changed().unwrap_or(true)
    }

    /// Returns once draining has begun; at once if it has already.
    pub async fn wait(&self) {
        let mut unseen = self.unseen.clone();
        if unseen.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn every_clone_sees_that_draining_has_begun() {
        let drain = Drain::new();
        let clone = drain.clone();
        assert!(!clone.is_draining());
        assert_eq!(clone.wait().now_or_never(), None);
        drain.begin();
        drain.begin();
        assert!(clone.is_draining());
        assert!(clone.clone().is_draining());
        assert_eq!(clone.wait().now_or_never(), Some(()));
    }

    #[tokio::test]
    async fn a_waiter_is_woken_when_draining_begins() {
        let drain = Drain::new();
        let waiter = tokio::spawn({
            let drain = drain.clone();
            async move { drain.wait().await }
        });
        tokio::task::yield_now().await;
        drain.begin();
        waiter.await.unwrap();
    }
}
