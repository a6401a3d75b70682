//! Bytes on a socket, for requests that no client library would send.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// How long the other side may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends bytes and returns everything that comes back until the other side closes, or until 10 s have passed.
pub(crate) async fn send(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    // A reset after the answer is an end like any other.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// Sends bytes and returns the first answer's head as soon as it is complete, though the connection may stay open.
///
/// # Panics
/// When there is none within 3 s.
pub(crate) async fn first_head(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let head = async {
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(stream.read_u8().await.unwrap());
        }
        String::from_utf8(answer).unwrap()
    };
    tokio::time::timeout(Duration::from_secs(3), head).await.expect("a head within 3 s")
}

/// A request's bytes: the connection is to be closed after it, and header lines are written as they are given.
pub(crate) fn request(method: &str, target: &str, lines: &[&[u8]], body: &[u8]) -> Vec<u8> {
    let mut request =
        format!("{method} {target} HTTP/1.1\r\nHost: gateway.internal\r\nConnection: close\r\n").into_bytes();
    for line in lines {
        request.extend_from_slice(line);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    request.extend_from_slice(body);
    request
}

/// Sends a request without a body.
pub(crate) async fn ask(address: SocketAddr, method: &str, target: &str, lines: &[&[u8]]) -> Answer {
    Answer::parse(&send(address, &request(method, target, lines, b"")).await)
}

/// A whole answer without what differs between any two: its date and the request's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The header lines, sorted, since their order means nothing.
    pub(crate) lines: Vec<String>,
    pub(crate) body: String,
}

impl Answer {
    /// Takes a raw answer apart. An interim `100 Continue` before it is no part of it (RFC 9110 §15.2).
    pub(crate) fn parse(answer: &str) -> Self {
        let answer = answer.strip_prefix("HTTP/1.1 100 Continue\r\n\r\n").unwrap_or(answer);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
        let mut lines: Vec<String> = head.split("\r\n").skip(1).map(str::to_owned).collect();
        lines.retain(|line| !line.starts_with("date: ") && !line.starts_with("x-request-id: "));
        lines.sort_unstable();
        Self { status: status(answer), lines, body: body.to_owned() }
    }

    /// The one value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.lines.iter().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let value = values.next();
        assert!(values.next().is_none(), "more than one {name}");
        value
    }
}

/// The status of a raw answer; 0 where the other side closed without one.
pub(crate) fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}
