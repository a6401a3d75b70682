//! The middleware that tells a connection when it is serving, and a client when to close.
//!
//! It wraps the whole application, outside of all other middleware, so no route can escape it.

use std::{
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use actix_http::{
    ConnectionType, Request, Response,
    body::{BodySize, BoxBody, EitherBody, MessageBody},
};
use actix_service::{Service, Transform, forward_ready};
use actix_web::web::Bytes;
use futures_util::future::{Ready, ready as ready_now};
use pin_project_lite::pin_project;

use super::{
    connection::{Connection, InFlight},
    drain::Drain,
};

/// Marks a connection as serving from a complete request head until the answer's body is handed over or dropped.
///
/// While the server drains, every answer carries `Connection: close` (RFC 9112 §9.6). So does the answer to a request that
/// asks for an upgrade: we offer none, and actix would echo `Connection: upgrade`.
#[derive(Debug, Clone)]
pub struct ConnectionPhase {
    drain: Drain,
}

impl ConnectionPhase {
    /// A middleware that follows `drain`.
    #[must_use]
    pub fn new(drain: Drain) -> Self {
        Self { drain }
    }
}

impl<S, B> Transform<S, Request> for ConnectionPhase
where
    S: Service<Request, Response = Response<B>>,
    S::Error: Into<actix_web::Error>,
    B: MessageBody + 'static,
{
    type Response = Response<PhaseBody<B>>;
    type Error = actix_web::Error;
    type InitError = ();
    type Transform = PhaseService<S>;
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        ready_now(Ok(PhaseService { service, drain: Rc::new(self.drain.clone()) }))
    }
}

/// The service that [`ConnectionPhase`] makes.
#[derive(Debug)]
pub struct PhaseService<S> {
    service: S,
    drain: Rc<Drain>,
}

impl<S, B> Service<Request> for PhaseService<S>
where
    S: Service<Request, Response = Response<B>>,
    S::Error: Into<actix_web::Error>,
    B: MessageBody + 'static,
{
    type Response = Response<PhaseBody<B>>;
    type Error = actix_web::Error;
    type Future = PhaseFuture<S::Future>;

    forward_ready!(service);

    fn call(&self, request: Request) -> Self::Future {
        PhaseFuture {
            in_flight: request.conn_data::<Rc<Connection>>().map(Connection::serving),
            wants_upgrade: request.head().connection_type() == ConnectionType::Upgrade,
            drain: Rc::clone(&self.drain),
            future: self.service.call(request),
        }
    }
}

pin_project! {
    /// An answer in the making.
    pub struct PhaseFuture<F> {
        // Fields are dropped in this order: what the handler holds goes before the connection counts as idle.
        #[pin]
        future: F,
        in_flight: Option<InFlight>,
        wants_upgrade: bool,
        drain: Rc<Drain>,
    }
}

impl<F, B, E> Future for PhaseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: Into<actix_web::Error>,
    B: MessageBody + 'static,
{
    type Output = Result<Response<PhaseBody<B>>, actix_web::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = match ready!(this.future.poll(cx)) {
            Ok(response) => response.map_body(|_, body| EitherBody::left(body)),
            // Rendered here and not by the dispatcher, so that a failure's body counts as in flight too.
            Err(error) => {
                Response::<BoxBody>::from(error.into().error_response()).map_body(|_, body| EitherBody::right(body))
            }
        };
        if *this.wants_upgrade || this.drain.is_draining() {
            response.head_mut().set_connection_type(ConnectionType::Close);
        }
        let in_flight = this.in_flight.take();
        Poll::Ready(Ok(response.map_body(|_, body| PhaseBody { body, in_flight })))
    }
}

pin_project! {
    /// A response body that keeps its connection serving for as long as it lives.
    pub struct PhaseBody<B> {
        #[pin]
        body: EitherBody<B>,
        in_flight: Option<InFlight>,
    }
}

impl<B: MessageBody + 'static> MessageBody for PhaseBody<B> {
    type Error = <EitherBody<B> as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        self.project().body.poll_next(cx)
    }

    fn try_into_bytes(self) -> Result<Bytes, Self> {
        let Self { body, in_flight } = self;
        body.try_into_bytes().map_err(|body| Self { body, in_flight })
    }
}
