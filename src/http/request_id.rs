//! Names for one request: its id, and its place in a distributed trace (W3C Trace Context).

use actix_web::http::header::HeaderMap;
use time::OffsetDateTime;
use uuid::{Builder, Uuid};

use crate::random;

/// The name of one request, for logs and support.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(String);

impl RequestId {
    /// Takes the `X-Request-Id` of a trusted peer where it is 8 to 64 characters of A-Z, a-z, 0-9, `-` and `_`; else makes one.
    #[must_use]
    pub fn accept_or_make(headers: &HeaderMap, trusted: bool, now: OffsetDateTime) -> Self {
        let given = headers.get("x-request-id").filter(|_| trusted).and_then(|value| value.to_str().ok());
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        match given {
            Some(given) if (8..=64).contains(&given.len()) && given.bytes().all(allowed) => Self(given.to_owned()),
            // The same shape as session ids; without randomness a request is still served, only not named.
            _ => Self(random::name().map(|bytes| uuid_text(now, &bytes)).unwrap_or_default()),
        }
    }

    /// The id's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The trace that a request belongs to, and our own span in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    trace: String,
    parent: Option<String>,
    span: String,
}

impl TraceContext {
    /// Goes on with the `traceparent` of a trusted peer where it is valid (W3C Trace Context §3.2); else begins a trace.
    #[must_use]
    pub fn accept_or_make(headers: &HeaderMap, trusted: bool) -> Self {
        let span = hex(&random::name::<8>().unwrap_or_default());
        let given = headers.get("traceparent").filter(|_| trusted).and_then(|value| value.to_str().ok());
        match given.and_then(parse) {
            Some((trace, parent)) => Self { trace, parent: Some(parent), span },
            None => Self { trace: hex(&random::name::<16>().unwrap_or_default()), parent: None, span },
        }
    }

    /// The trace's id: 32 hexadecimal digits.
    #[must_use]
    pub fn trace_id(&self) -> &str {
        &self.trace
    }

    /// The caller's span, where the trace was carried on.
    #[must_use]
    pub fn parent_id(&self) -> Option<&str> {
        self.parent.as_deref()
    }

    /// Our own span: 16 hexadecimal digits.
    #[must_use]
    pub fn span_id(&self) -> &str {
        &self.span
    }
}

fn parse(header: &str) -> Option<(String, String)> {
    let mut parts = header.split('-');
    let (version, trace_id, parent_id, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    // Version 00 has exactly four parts; later ones may have more.
    let extra = parts.next().is_some();
    let is_hex = |text: &str, length| {
        text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let is_zero = |text: &str| text.bytes().all(|byte| byte == b'0');
    let valid = is_hex(version, 2)
        && version != "ff"
        && !(version == "00" && extra)
        && is_hex(trace_id, 32)
        && !is_zero(trace_id)
        && is_hex(parent_id, 16)
        && !is_zero(parent_id)
        && is_hex(flags, 2);
    valid.then(|| (trace_id.to_owned(), parent_id.to_owned()))
}

/// A UUID of version 7 (RFC 9562 §5.7).
fn uuid_text(now: OffsetDateTime, random: &[u8; 10]) -> String {
    let milliseconds = u64::try_from(now.unix_timestamp_nanos() / 1_000_000).unwrap_or_default();
    let id = Builder::from_unix_timestamp_millis(milliseconds, random).into_uuid();
    id.hyphenated().encode_lower(&mut Uuid::encode_buffer()).to_owned()
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(DIGITS[usize::from(byte >> 4)]);
        text.push(DIGITS[usize::from(byte & 15)]);
    }
    text
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        headers
    }

    #[test]
    fn a_trusted_peer_may_name_the_request_and_nobody_else() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let headers = headers("x-request-id", "abcd-1234_EF");
        assert_eq!(RequestId::accept_or_make(&headers, true, now).as_str(), "abcd-1234_EF");
        assert_ne!(RequestId::accept_or_make(&headers, false, now).as_str(), "abcd-1234_EF");
    }

    #[test]
    fn a_name_of_another_shape_is_replaced() {
        for given in ["short", "has space in it", "semi;colon;id", &"x".repeat(65)] {
            let id = RequestId::accept_or_make(&headers("x-request-id", given), true, OffsetDateTime::UNIX_EPOCH);
            assert_ne!(id.as_str(), given);
            assert_eq!(id.as_str().len(), 36);
        }
    }

    #[test]
    fn a_valid_trace_goes_on_under_a_new_span() {
        let trace = TraceContext::accept_or_make(&headers("traceparent", TRACEPARENT), true);
        assert_eq!(trace.trace_id(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(trace.parent_id(), Some("b7ad6b7169203331"));
        assert_ne!(trace.span_id(), "b7ad6b7169203331");
    }

    #[test]
    fn an_invalid_trace_is_begun_anew() {
        for given in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            &format!("{TRACEPARENT}-extra"),
        ] {
            let trace = TraceContext::accept_or_make(&headers("traceparent", given), true);
            assert_eq!(trace.parent_id(), None, "{given}");
            assert_eq!(trace.trace_id().len(), 32);
        }
    }
}
