//! Requests written byte by byte on a connection that stays open, and their answers taken apart.

use std::{net::SocketAddr, time::Duration};

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::raw::status;

/// How long the other side may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends one request on a connection of its own and reads one answer.
pub(crate) async fn request(address: SocketAddr, request: &[u8]) -> Answer {
    let mut connection = Connection::open(address).await;
    connection.send(request).await;
    connection.answer(request.starts_with(b"HEAD ")).await.expect("an answer")
}

/// One answer as it came over the wire.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

/// A connection that stays open between requests.
pub(crate) struct Connection {
    stream: TcpStream,
}

impl Connection {
    /// Connects.
    pub(crate) async fn open(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap() }
    }

    /// Writes bytes; what the other side no longer wants is lost silently, as its answer says why.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// Says that nothing more will be sent.
    pub(crate) async fn end_sending(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// The next answer; nothing if the other side closes without one.
    pub(crate) async fn answer(&mut self, to_head: bool) -> Option<Answer> {
        tokio::time::timeout(PATIENCE, self.read(to_head)).await.expect("an answer or an end within 10 s")
    }

    /// Whether the other side closes without another word.
    pub(crate) async fn is_closed(&mut self) -> bool {
        let end = tokio::time::timeout(PATIENCE, self.stream.read_u8()).await;
        matches!(end, Ok(Err(_)))
    }

    async fn read(&mut self, to_head: bool) -> Option<Answer> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.stream.read_u8().await.ok()?);
        }
        let head = String::from_utf8(head).expect("an answer's head in ASCII");
        let mut headers = HeaderMap::new();
        for line in head.lines().skip(1).filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(": ").expect("a header line");
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        let status = status(&head);
        let length = headers.get("content-length").map_or(0, |length| length.to_str().unwrap().parse().unwrap());
        let mut body = vec![0; if to_head || status == 204 || status == 304 { 0 } else { length }];
        self.stream.read_exact(&mut body).await.expect("the whole body");
        Some(Answer { status, headers, body: String::from_utf8(body).unwrap() })
    }
}
