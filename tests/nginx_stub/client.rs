//! A client that sends exactly what it is given, on one connection.

use std::{
    io::{BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::Value;

use crate::stub::{read_headers, read_line};

/// Longer than any wait of the gateway that is tested, shorter than nginx's usual ones.
const PATIENCE: Duration = Duration::from_secs(20);

/// An answer of the gateway.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Response {
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let found = self.headers.iter().filter(|(found, _)| found.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str()).collect()
    }

    /// Checks that this is a refusal by the gateway itself.
    pub(crate) fn assert_problem(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{self:#?}");
        assert_eq!(self.all("content-type"), ["application/problem+json"]);
        assert_eq!(self.all("cache-control"), ["no-store"]);
        assert_eq!(self.all("server"), ["nginx"], "no version");
        assert_eq!(self.all("x-request-id").len(), 1);
        let problem: Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!((&problem["status"], &problem["code"]), (&Value::from(status), &Value::from(code)));
        assert!(problem["title"].is_string() && problem["type"].is_string(), "{problem}");
    }
}

/// A connection to the gateway.
pub(crate) struct Client(BufReader<TcpStream>);

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(BufReader::new(stream))
    }

    /// Sends `start` (method and target), a Host, these header lines, and a body as it is.
    pub(crate) fn send(&mut self, start: &str, headers: &[&str], body: &str) -> Response {
        let mut text = format!("{start} HTTP/1.1\r\nHost: app.test\r\n");
        for line in headers {
            text.extend([line, "\r\n"]);
        }
        text.extend(["\r\n", body]);
        self.write(text.as_bytes());
        let has_body = !start.starts_with("HEAD ");
        self.response(has_body)
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    /// Reads as many bytes as `expected` has, and compares them.
    pub(crate) fn expect(&mut self, expected: &[u8]) {
        let mut bytes = vec![0; expected.len()];
        self.0.read_exact(&mut bytes).unwrap();
        assert_eq!(bytes, expected);
    }

    fn response(&mut self, has_body: bool) -> Response {
        let line = read_line(&mut self.0).unwrap();
        let status = line.split(' ').nth(1).unwrap_or_else(|| panic!("no status in {line:?}")).parse().unwrap();
        let headers = read_headers(&mut self.0).unwrap();
        let mut response = Response { status, headers, body: String::new() };
        if has_body && !matches!(status, 101 | 204) {
            let length = response.all("content-length").first().expect("a length").parse().unwrap();
            let mut body = vec![0; length];
            self.0.read_exact(&mut body).unwrap();
            response.body = String::from_utf8(body).unwrap();
        }
        response
    }
}
