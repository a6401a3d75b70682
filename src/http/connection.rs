//! A socket that closes itself when its client takes too long.
//!
//! actix limits the time of the first request head only, and of no write. [`GuardedStream`] therefore owns the socket and
//! its deadlines. A connection is *serving* while a request is in flight, and then nothing here limits reads: the body's
//! deadline belongs to whoever reads the body. Otherwise it is *idle*: it may rest for the keep-alive time, and from the
//! first byte of a head on it has the head timeout. Each further byte moves no deadline.
//!
//! Bytes of a next head that arrive while serving cannot be told from a body here. The connection then counts as idle when
//! the last answer is out, and the next byte arms the head deadline; so such a client gains no more than an idle one has.

use std::{
    cell::Cell,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

/// What a client is told whose request head did not arrive in time (RFC 9110 §15.5.9).
const REQUEST_TIMEOUT: &[u8] = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// How long each wait of a connection may last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// From the first byte of a request head to its last; for the first request from the accepted connection on.
    pub head: Duration,
    /// How long a connection may rest between two requests.
    pub keep_alive: Duration,
    /// From the first write that the client did not take until all that was ready to be written is taken.
    pub write: Duration,
}

/// What a socket and the requests on it know of each other: how many are being answered.
///
/// One connection lives on one worker thread, so this is no synchronised state.
#[derive(Debug, Default)]
pub struct Connection {
    in_flight: Cell<usize>,
    /// A request has begun since the stream last looked.
    begun: Cell<bool>,
}

impl Connection {
    /// Notes that a request head is complete; the connection is serving until the returned guard is dropped.
    #[must_use]
    pub fn serving(self: &Rc<Self>) -> InFlight {
        self.in_flight.set(self.in_flight.get() + 1);
        self.begun.set(true);
        InFlight(Rc::clone(self))
    }

    fn is_idle(&self) -> bool {
        self.in_flight.get() == 0
    }
}

/// One request in flight; dropping it says that its answer has been handed over, or that its client is gone.
#[derive(Debug)]
pub struct InFlight(Rc<Connection>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.set(self.0.in_flight.get() - 1);
    }
}

/// A socket with deadlines.
///
/// The deadline of the current wait is settled in `poll_flush`, because the HTTP/1 dispatcher ends every round with it, when
/// it has read, parsed, answered and written what it could: only then is it known what the connection waits for. A round in
/// which a whole request came and was answered thus touches no timer.
#[derive(Debug)]
pub struct GuardedStream<S> {
    io: S,
    connection: Rc<Connection>,
    deadlines: Deadlines,
    /// While idle, the end of this wait; `None` until it is settled.
    read_until: Option<Instant>,
    /// While idle, whether a part of a request head has arrived.
    head_begun: bool,
    /// Whether this connection still owes its first request.
    is_new: bool,
    /// The end of the wait for a client that does not take what is written.
    write_until: Option<Instant>,
    alarm: Alarm,
}

impl<S> GuardedStream<S> {
    /// Guards a socket that has just been accepted: its first request head is due within `deadlines.head`.
    pub fn new(io: S, deadlines: Deadlines) -> Self {
        Self {
            io,
            connection: Rc::default(),
            deadlines,
            read_until: Some(now() + deadlines.head),
            head_begun: false,
            is_new: true,
            write_until: None,
            alarm: Alarm::default(),
        }
    }

    /// The state that this socket shares with the requests on it.
    #[must_use]
    pub fn connection(&self) -> &Rc<Connection> {
        &self.connection
    }

    /// Forgets the past wait once a request has ended it.
    fn follow_phase(&mut self) {
        if self.connection.begun.take() || !self.connection.is_idle() {
            self.is_new = false;
            self.head_begun = false;
            self.read_until = None;
        }
    }

    /// The end of the current idle wait.
    fn settle_read_deadline(&mut self) -> Instant {
        let Deadlines { head, keep_alive, .. } = self.deadlines;
        let wait = if self.head_begun { head } else { keep_alive };
        *self.read_until.get_or_insert_with(|| now() + wait)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for GuardedStream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let filled_before = buf.filled().len();
        ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;

        this.follow_phase();
        if buf.filled().len() > filled_before && this.connection.is_idle() && !this.head_begun {
            this.head_begun = true;
            if !this.is_new {
                this.read_until = None;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for GuardedStream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let poll = Pin::new(&mut this.io).poll_write(cx, buf);
        if poll.is_pending() {
            // Kept until everything is flushed: a client that takes a byte now and then must not win time with it.
            let until = *this.write_until.get_or_insert_with(|| now() + this.deadlines.write);
            if this.alarm.has_passed(until, cx) {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        poll
    }

    /// Flushes the socket and, as everything has been written now, checks how long the client may still be silent.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.io).poll_flush(cx))?;
        this.write_until = None;

        this.follow_phase();
        if this.connection.is_idle() {
            let until = this.settle_read_deadline();
            if this.alarm.has_passed(until, cx) {
                if this.head_begun {
                    // All answers are out, so this one cannot end up inside another; whether it arrives does not matter.
                    let _ = Pin::new(&mut this.io).poll_write(cx, REQUEST_TIMEOUT);
                }
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

/// The one timer of a connection, made when first needed.
///
/// It may ring too early but never too late: a deadline that moves away is noticed when the timer rings, so deadlines that
/// only grow, as those of a busy connection do, cost nothing.
#[derive(Debug, Default)]
struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Whether `deadline` has passed; if not, the task is woken when it has.
    fn has_passed(&mut self, deadline: Instant, cx: &mut Context<'_>) -> bool {
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if sleep.deadline() >= deadline {
                return true;
            }
            sleep.as_mut().reset(deadline);
        }
        false
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "deadlines of sockets are timers of the runtime, which has its own clock"
)]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const SHORT: Duration = Duration::from_millis(100);
    const LONG: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn a_client_that_takes_a_byte_now_and_then_wins_no_time() {
        let (near, mut far) = duplex(1);
        let mut stream = GuardedStream::new(near, Deadlines { head: LONG, keep_alive: LONG, write: SHORT });
        let sip = async {
            loop {
                tokio::time::sleep(SHORT / 10).await;
                far.read_u8().await.unwrap();
            }
        };
        let error = tokio::select! {
            written = stream.write_all(&[0; 1_000]) => written.unwrap_err(),
            () = sip => unreachable!("a sip never ends"),
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_connection_is_idle_when_its_last_request_is_dropped() {
        let connection = Rc::new(Connection::default());
        let first = connection.serving();
        let second = connection.serving();
        drop(first);
        assert!(!connection.is_idle());
        drop(second);
        assert!(connection.is_idle());
    }

    #[tokio::test]
    async fn an_early_ring_of_the_alarm_is_not_a_passed_deadline() {
        let mut alarm = Alarm::default();
        let first = now() + SHORT / 10;
        std::future::poll_fn(|cx| if alarm.has_passed(first, cx) { Poll::Ready(()) } else { Poll::Pending }).await;
        std::future::poll_fn(|cx| {
            assert!(!alarm.has_passed(first + LONG, cx), "rang for a deadline that had moved away");
            assert!(alarm.has_passed(first, cx), "missed a deadline that came nearer");
            Poll::Ready(())
        })
        .await;
    }
}
