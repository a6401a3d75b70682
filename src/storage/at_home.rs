//! Keeps connections on the runtime that outlives the listeners, whoever asks for them first.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use tokio::runtime::Handle;

pin_project! {
    /// A future whose sockets, timers and tasks belong to another runtime than the one that polls it.
    ///
    /// Each listener's worker has a runtime of its own, which ends with it. A pooled connection that was made there would end
    /// with it too, under whoever holds it then.
    pub(super) struct AtHome<F> {
        home: Handle,
        #[pin]
        future: F,
    }
}

impl<F> AtHome<F> {
    pub(super) fn new(home: Handle, future: F) -> Self {
        Self { home, future }
    }
}

impl<F: Future> Future for AtHome<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _entered = this.home.enter();
        this.future.poll(cx)
    }
}
