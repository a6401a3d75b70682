//! Posts a message to one receiver: one connection for each, everything within one time limit.
//!
//! Only the head of an answer is read, and only so much of it; its body says nothing that counts. A redirect is an answer like any
//! other: following it would send the message to a place that no operator has named.

use std::{io, sync::Arc, time::Duration};

use http_body_util::Full;
use hyper::{
    Request, Uri,
    body::Bytes,
    client::conn::http1,
    header::{CONNECTION, CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use crate::version;

/// Longest head of an answer that is read, in bytes.
const MAX_HEAD: usize = 16 * 1024;

/// Why a receiver cannot be posted to at all.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The URL cannot be asked for.
    #[error("the URL has no host, or a path that HTTP cannot carry")]
    Url,
    /// The operating system has no store of root certificates.
    #[error("the system has no root certificates; install them (ca-certificates)")]
    NoSystemRoots,
    /// The provider of the cryptography lacks what TLS needs.
    #[error("the cryptography for TLS is not available")]
    Tls(#[from] rustls::Error),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// The receiver's host is unknown or refuses.
    #[error("no connection to the receiver")]
    Connect(#[source] io::Error),
    /// The receiver did not prove who it is, or speaks no TLS.
    #[error("no secure connection to the receiver")]
    Handshake(#[source] io::Error),
    /// The exchange broke off, or the answer is none.
    #[error("no answer from the receiver")]
    Exchange(#[from] hyper::Error),
    /// The request could not be put together.
    #[error("the request cannot be written")]
    Request(#[from] hyper::http::Error),
    /// It took longer than the time limit.
    #[error("no answer within {}", humantime::format_duration(*.0))]
    TimedOut(Duration),
}

/// What a receiver says, as far as it counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// `Retry-After`, as it was written.
    pub retry_after: Option<String>,
}

/// The headers of a message (Standard Webhooks, "Webhook Headers").
#[derive(Debug, Clone, Copy)]
pub struct MessageHeaders<'a> {
    /// The message's id, the same at every attempt.
    pub id: &'a str,
    /// When it is sent, in whole seconds since 1970.
    pub timestamp: i64,
    /// One signature or more, with spaces between.
    pub signature: &'a str,
}

/// One receiver of messages.
pub struct Receiver {
    address: (String, u16),
    authority: HeaderValue,
    target: Uri,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    timeout: Duration,
}

impl std::fmt::Debug for Receiver {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without path and query, which may be a secret of the receiver's.
        formatter.debug_struct("Receiver").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Receiver {
    /// The receiver behind a URL of `https` or `http`. Over `https` it must prove its name to the system's root certificates, which
    /// are read now.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(url: &Url, timeout: Duration) -> Result<Self, SetupError> {
        let host = url.host().ok_or(SetupError::Url)?;
        let name = match &host {
            Host::Domain(name) => (*name).to_owned(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        };
        let tls = if url.scheme() == "https" {
            let server = ServerName::try_from(name.clone()).map_err(|_| SetupError::Url)?;
            Some((connector()?, server))
        } else {
            None
        };
        let port = url.port_or_known_default().ok_or(SetupError::Url)?;
        let authority = url.port().map_or_else(|| host.to_string(), |port| format!("{host}:{port}"));
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        Ok(Self {
            address: (name, port),
            authority: HeaderValue::try_from(authority).map_err(|_| SetupError::Url)?,
            target: Uri::try_from(format!("{}{query}", url.path())).map_err(|_| SetupError::Url)?,
            tls,
            timeout,
        })
    }

    /// How long one [`Self::post`] may take.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Posts a JSON message and waits for the head of the answer.
    ///
    /// # Errors
    /// [`PostError`] where there is none. The message may have arrived nevertheless.
    pub async fn post(&self, headers: MessageHeaders<'_>, body: String) -> Result<Answer, PostError> {
        tokio::time::timeout(self.timeout, self.exchange(headers, body))
            .await
            .unwrap_or(Err(PostError::TimedOut(self.timeout)))
    }

    async fn exchange(&self, headers: MessageHeaders<'_>, body: String) -> Result<Answer, PostError> {
        let request = Request::post(self.target.clone())
            .header(HOST, &self.authority)
            .header(CONNECTION, "close")
            .header(USER_AGENT, format!("ephemint/{}", version::VERSION))
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", headers.id)
            .header("webhook-timestamp", headers.timestamp)
            .header("webhook-signature", headers.signature)
            .body(Full::new(Bytes::from(body)))?;
        let stream = TcpStream::connect((self.address.0.as_str(), self.address.1)).await.map_err(PostError::Connect)?;
        match &self.tls {
            Some((connector, server)) => {
                let stream = connector.connect(server.clone(), stream).await.map_err(PostError::Handshake)?;
                send(stream, request).await
            }
            None => send(stream, request).await,
        }
    }
}

async fn send(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Full<Bytes>>,
) -> Result<Answer, PostError> {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(MAX_HEAD);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
    // Polled here and nowhere else: when this returns or is dropped, the connection is closed.
    let mut connection = Box::pin(connection);
    let mut answering = Box::pin(sender.send_request(request));
    let response = tokio::select! {
        response = &mut answering => response?,
        _ = &mut connection => {
            // It may have ended with the answer. What went wrong otherwise, the request is told as well.
            drop(connection);
            answering.await?
        }
    };
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
    Ok(Answer { status: response.status().as_u16(), retry_after })
}

fn connector() -> Result<TlsConnector, SetupError> {
    let mut roots = RootCertStore::empty();
    let (usable, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if usable == 0 {
        return Err(SetupError::NoSystemRoots);
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}
