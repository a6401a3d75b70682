//! Proof that a service client with a scope sent the request. A handler's signature is its access policy.

use std::{future::Future, marker::PhantomData, pin::Pin};

use actix_web::{FromRequest, HttpRequest, dev::Payload, http::header, web::Data};

use crate::{
    domain::client::{Client, Scope},
    http::{middleware::request::note, problem::Problem, state::AppState},
    telemetry::error_chain::ErrorChain,
};

/// A scope as a type.
pub trait Needs: 'static {
    /// The scope.
    const SCOPE: Scope;
}

macro_rules! scopes {
    ($($(#[doc = $doc:literal])+ $name:ident;)+) => {
        $(
            $(#[doc = $doc])+
            #[derive(Debug)]
            pub struct $name;

            impl Needs for $name {
                const SCOPE: Scope = Scope::$name;
            }
        )+
    };
}

scopes! {
    /// The scope `sessions:create`.
    SessionsCreate;
    /// The scope `sessions:read`.
    SessionsRead;
    /// The scope `sessions:revoke`.
    SessionsRevoke;
    /// The scope `keys:read`.
    KeysRead;
    /// The scope `keys:rotate`.
    KeysRotate;
}

/// A client that may do `S`. Extracting it fails with 401 or 403.
#[derive(Debug)]
pub struct Granted<S: Needs> {
    /// The client.
    pub client: Client,
    scope: PhantomData<S>,
}

impl<S: Needs> FromRequest for Granted<S> {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let state = request.app_data::<Data<AppState>>().ok_or(Problem::Internal)?;
            let secret = bearer(&request).ok_or(Problem::NoCredential)?;
            let client = state.clients.authenticate(secret).await.map_err(|error| {
                tracing::error!(error = %ErrorChain(&error), "a client credential could not be looked up");
                Problem::Unavailable
            })?;
            let client = client.ok_or(Problem::NoCredential)?;
            note(&request, |log| log.client_id = Some(client.client_id.clone()));
            if client.scopes.contains(&S::SCOPE) {
                Ok(Self { client, scope: PhantomData })
            } else {
                tracing::warn!(
                    target: "audit",
                    event = "scope_refused",
                    client.id = client.client_id,
                    scope = S::SCOPE.as_str(),
                    "client lacks a scope"
                );
                Err(Problem::InsufficientScope(S::SCOPE.as_str()))
            }
        })
    }
}

/// The token of the one `Authorization: Bearer` header (RFC 6750 §2.1); the scheme's case does not matter, nothing else bends.
fn bearer(request: &HttpRequest) -> Option<&[u8]> {
    let mut lines = request.headers().get_all(header::AUTHORIZATION);
    let line = lines.next()?.as_bytes();
    if lines.next().is_some() {
        return None;
    }
    let (scheme, token) = line.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
}
