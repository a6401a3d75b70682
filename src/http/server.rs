//! Listeners: sockets, workers and limits; not what is served on them.
//!
//! This does what `actix_web::HttpServer` does, but over [`GuardedStream`], so that every wait of a connection ends, and with
//! HTTP/1.1 only. Each server has worker threads of its own, each with a single-threaded runtime; several servers run side by
//! side under one `#[actix_web::main]` or `#[tokio::main]` runtime. Something spawned inside a handler lives on its worker.

use std::{
    fmt, io,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream as Socket},
    os::fd::OwnedFd,
    rc::Rc,
    time::Duration,
};

use actix_http::{HttpServiceBuilder, KeepAlive, Request, Response, body::MessageBody, error::DispatchError};
use actix_server::{Server, ServerHandle};
use actix_service::{
    IntoServiceFactory, Service, ServiceFactory, ServiceFactoryExt as _, apply, fn_service, map_config,
};
use actix_web::dev::AppConfig;
use tokio::net::{TcpSocket, TcpStream};

use super::{
    connection::{Deadlines, GuardedStream},
    drain::Drain,
    phase::ConnectionPhase,
};

/// Connections that the kernel may hold for us before they are accepted.
const BACKLOG: u32 = 1024;

/// How long a client has to end its side, after an answer that came before its request body was read.
const LINGER: Duration = Duration::from_secs(1);

/// The most worker threads that one actix server can have.
const MAX_WORKERS: usize = 512;

/// What the clients of one listener may take up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// How long a request head may take from its first byte on; a new connection's from its acceptance on.
    pub head_timeout: Duration,
    /// How long a connection may rest between two requests. Keep it above the gateways' own limit.
    pub keep_alive: Duration,
    /// How long a client may leave written bytes untaken. Taking a few of them wins no time.
    pub write_timeout: Duration,
    /// The most open connections; further ones wait in the kernel's queue. At least 1.
    ///
    /// The cap is shared out evenly among the workers and rounded down, so it may be missed by up to `workers - 1`, but is
    /// never exceeded.
    pub max_connections: usize,
    /// Worker threads, 1 to 512; never more than `max_connections`.
    pub workers: usize,
    /// How long a graceful stop waits for requests in flight; rounded up to whole seconds.
    pub shutdown_timeout: Duration,
}

impl ConnectionLimits {
    fn deadlines(&self) -> Deadlines {
        Deadlines { head: self.head_timeout, keep_alive: self.keep_alive, write: self.write_timeout }
    }

    fn workers(&self) -> usize {
        self.workers.min(self.max_connections).clamp(1, MAX_WORKERS)
    }

    fn connections_per_worker(&self) -> usize {
        (self.max_connections / self.workers()).max(1)
    }

    fn shutdown_seconds(&self) -> u64 {
        self.shutdown_timeout.as_secs() + u64::from(self.shutdown_timeout.subsec_nanos() > 0)
    }
}

/// Opens a listening socket with a queue of 1024 connections; the standard library's would hold 128.
///
/// Must be called within a runtime.
///
/// # Errors
///
/// When the address cannot be bound.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restart must not wait for the old process's connections in TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}

/// A way to refuse new connections while the open ones go on being served.
///
/// A stopping server drops what it has accepted but not yet read, and with it the request that the client has sent. Whoever
/// is refused instead has sent nothing and goes elsewhere. So close the door some time before the stop.
#[derive(Debug)]
pub struct Door(Socket);

impl Door {
    /// The door of a listener.
    ///
    /// # Errors
    /// When the listener cannot be referred to a second time.
    pub fn of(listener: &TcpListener) -> io::Result<Self> {
        // Only a stream's type has `shutdown`; to the system both are sockets.
        listener.try_clone().map(|listener| Self(OwnedFd::from(listener).into()))
    }

    /// Refuses new connections from now on; the server that accepted them is told to stop asking.
    ///
    /// # Errors
    /// When the system does not stop listening.
    pub async fn close(&self, server: &ServerHandle) -> io::Result<()> {
        let closed = self.0.shutdown(Shutdown::Read);
        server.pause().await;
        closed
    }
}

/// Serves an application on a listener; `app` is called once per worker.
///
/// The returned server runs while it is polled, handles no signals, and ends after [`stop`](actix_server::ServerHandle::stop).
/// A graceful stop closes idle connections at once and lets requests in flight finish; call [`Drain::begin`] some time
/// before it, so that gateways have left those connections. It must be polled within a tokio runtime. Starting the workers
/// blocks the first poll for a moment.
///
/// # Errors
///
/// When the listener cannot be read or switched to non-blocking mode.
pub fn start<F, I, S, B>(
    listener: TcpListener,
    name: &'static str,
    limits: ConnectionLimits,
    drain: Drain,
    app: F,
) -> io::Result<Server>
where
    F: Fn() -> I + Send + Clone + 'static,
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Error: Into<actix_web::Error> + 'static,
    S::InitError: fmt::Debug,
    S::Response: Into<Response<B>> + 'static,
    S::Service: 'static,
    <S::Service as Service<Request>>::Future: 'static,
    B: MessageBody + 'static,
{
    let address = listener.local_addr()?;
    let builder = Server::build()
        .workers(limits.workers())
        .max_concurrent_connections(limits.connections_per_worker())
        .shutdown_timeout(limits.shutdown_seconds())
        .disable_signals();
    let stopping = builder.graceful_shutdown_signal();

    let server = builder.listen(name, listener, move || {
        let stopping = stopping.clone();
        let deadlines = limits.deadlines();
        // `AppConfig` can't be made with an address of our own; it only names the host where a request names none.
        let app = map_config(app(), |()| AppConfig::default()).map(Into::into).map_init_err(move |error| {
            tracing::error!(listener = name, ?error, "cannot build the application");
        });
        let http = HttpServiceBuilder::default()
            // The guarded stream keeps these two times, for every request and to the millisecond.
            .client_request_timeout(Duration::ZERO)
            .keep_alive(KeepAlive::Os)
            .client_disconnect_timeout(LINGER)
            .local_addr(address)
            .on_connect_ext(|stream: &GuardedStream<TcpStream>, extensions| {
                extensions.insert(Rc::clone(stream.connection()));
            })
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            .h1(apply(ConnectionPhase::new(drain.clone()), app)
                .map_err(|error: actix_web::Error| error.error_response()));

        fn_service(move |stream: TcpStream| async move {
            // An answer is one write; waiting to fill a packet would only delay it.
            stream.set_nodelay(true).map_err(DispatchError::Io)?;
            let peer = stream.peer_addr().ok();
            Ok((GuardedStream::new(stream, deadlines), peer))
        })
        .and_then(http)
    })?;
    Ok(server.run())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(max_connections: usize, workers: usize) -> ConnectionLimits {
        let second = Duration::from_secs(1);
        ConnectionLimits {
            head_timeout: second,
            keep_alive: second,
            write_timeout: second,
            max_connections,
            workers,
            shutdown_timeout: Duration::from_millis(1_001),
        }
    }

    #[test]
    fn the_workers_share_never_exceeds_the_cap() {
        for (cap, workers) in [(1, 4), (3, 2), (100, 7), (20_000, 1_000)] {
            let limits = limits(cap, workers);
            assert!(limits.workers() * limits.connections_per_worker() <= cap, "{cap} over {workers}");
            assert!((1..=MAX_WORKERS).contains(&limits.workers()));
        }
    }

    #[test]
    fn a_shutdown_timeout_is_rounded_up() {
        assert_eq!(limits(1, 1).shutdown_seconds(), 2);
    }
}
