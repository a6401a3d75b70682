//! The claims of access tokens as JSON text, put together of parts that were written before: once for an audience, once for a
//! session. What it says is [`AccessTokenClaims`], member for member; a test compares the two.
//!
//! [`AccessTokenClaims`]: super::access_token::AccessTokenClaims

use std::fmt::Write as _;

use serde::Serialize;

use super::{
    access_token::{MAX_TOKEN_LENGTH, RESERVED_CLAIMS, Times, encoded_length},
    audience::{Algorithm, AudiencePolicy},
    session::{Session, SessionId},
};

/// What all tokens of one audience say, written once.
#[derive(Debug)]
pub struct AudienceText {
    /// `{"iss":…,"aud":…` and, where there are scopes, `,"scope":…`.
    opening: String,
    /// The names of the custom claims that it takes, as JSON.
    claims: Vec<String>,
    algorithm: Algorithm,
}

impl AudienceText {
    /// Writes what tokens of an audience have in common. A custom claim with a reserved name is never taken.
    #[must_use]
    pub fn new(audience: &AudiencePolicy, issuer: &str) -> Self {
        let mut opening = String::from("{\"iss\":");
        push_json(&mut opening, issuer);
        opening.push_str(",\"aud\":");
        push_json(&mut opening, audience.name.as_str());
        if !audience.scopes.is_empty() {
            opening.push_str(",\"scope\":");
            push_json(&mut opening, &audience.scopes.join(" "));
        }
        let taken = audience.claims.iter().filter(|name| !RESERVED_CLAIMS.contains(&name.as_str()));
        Self { opening, claims: taken.map(json).collect(), algorithm: audience.algorithm }
    }

    /// The beginning of every payload.
    #[must_use]
    pub fn opening(&self) -> &str {
        &self.opening
    }

    fn takes(&self, member: &str) -> bool {
        self.claims.iter().any(|name| member.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with(':')))
    }
}

/// What tokens say of one session, in as little room as it takes.
///
/// Lines: the subject as it is, the methods and the class as JSON or empty, and one `"name":value` for each custom claim, sorted.
/// JSON without white space holds no line feed, and neither does a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionText(Box<str>);

impl SessionText {
    /// Writes what tokens can say of a session.
    #[must_use]
    pub fn of(session: &Session) -> Self {
        let mut text = session.subject.as_str().to_owned();
        text.push('\n');
        if !session.amr.is_empty() {
            push_json(&mut text, &session.amr);
        }
        text.push('\n');
        if let Some(acr) = &session.acr {
            push_json(&mut text, acr);
        }
        for (name, value) in &session.claims {
            text.push('\n');
            push_json(&mut text, name);
            text.push(':');
            push_json(&mut text, value);
        }
        // Copied to its size: cut off in place, it would leave a hole behind it that hardly anything fits into.
        Self(text.as_str().into())
    }

    /// Whom the session belongs to.
    #[must_use]
    pub fn subject(&self) -> &str {
        self.0.split('\n').next().unwrap_or_default()
    }

    /// Whether the subject has authenticated with all of these methods.
    #[must_use]
    pub fn has_methods(&self, required: &[String]) -> bool {
        if required.is_empty() {
            return true;
        }
        let shown: Vec<String> =
            self.0.split('\n').nth(1).and_then(|methods| serde_json::from_str(methods).ok()).unwrap_or_default();
        required.iter().all(|method| shown.contains(method))
    }

    /// How many bytes it takes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it takes none, which no session's does.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What one token says beside what its audience and its session say.
#[derive(Debug, Clone, Copy)]
pub struct TokenText<'parts> {
    /// Whom it is for.
    pub audience: &'parts AudienceText,
    /// The session it stands for.
    pub session: &'parts SessionText,
    /// That session's id.
    pub session_id: SessionId,
    /// When the subject authenticated, in seconds since 1970.
    pub auth_time: i64,
    /// When it begins and ends.
    pub times: Times,
    /// Its own id, in base64url.
    pub jti: &'parts str,
}

impl TokenText<'_> {
    /// Appends what follows the audience's opening, up to the end of the payload.
    ///
    /// Custom claims are left out, the longest first, until the token fits; returns the names of those left out.
    pub fn push_rest(&self, rest: &mut String) -> Vec<String> {
        let before = rest.len();
        let mut lines = self.session.0.split('\n');
        let [subject, methods, class] = std::array::from_fn(|_| lines.next().unwrap_or_default());
        rest.push_str(",\"sub\":");
        push_text(rest, subject);
        let Times { iat, exp } = self.times;
        // Writing to a String cannot fail.
        let _ = write!(rest, ",\"iat\":{iat},\"exp\":{exp},\"jti\":\"");
        rest.push_str(self.jti);
        rest.push_str("\",\"sid\":\"");
        rest.push_str(self.session_id.as_uuid().as_hyphenated().encode_lower(&mut [0; 36]));
        let _ = write!(rest, "\",\"auth_time\":{}", self.auth_time);
        for (name, value) in [(",\"amr\":", methods), (",\"acr\":", class)] {
            if !value.is_empty() {
                rest.push_str(name);
                rest.push_str(value);
            }
        }
        let fixed = self.audience.opening.len() + rest.len() - before + "}".len();
        let custom = lines.filter(|member| self.audience.takes(member));
        let length = |members: usize| encoded_length(fixed + members, self.audience.algorithm);
        let left_out = if length(custom.clone().map(room).sum()) <= MAX_TOKEN_LENGTH {
            custom.for_each(|member| push_member(rest, member));
            Vec::new()
        } else {
            let mut kept: Vec<&str> = custom.collect();
            let mut left_out = Vec::new();
            // Without custom claims it fits: policies for which it might not are refused at the start.
            while length(kept.iter().copied().map(room).sum()) > MAX_TOKEN_LENGTH
                && let Some(longest) = (0..kept.len()).max_by_key(|&place| halves(kept[place]).1.len())
            {
                left_out.push(serde_json::from_str(halves(kept.remove(longest)).0).unwrap_or_default());
            }
            kept.into_iter().for_each(|member| push_member(rest, member));
            left_out
        };
        rest.push('}');
        left_out
    }
}

/// The bytes that a member takes, its comma included.
fn room(member: &str) -> usize {
    member.len() + 1
}

fn push_member(text: &mut String, member: &str) {
    text.push(',');
    text.push_str(member);
}

/// A member's name and value. A quotation mark within the name has a backslash before it, which itself has none that counts.
fn halves(member: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = member.bytes().skip(1).position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    let name = end.map_or(member.len(), |end| end + 2);
    (&member[..name], member.get(name + 1..).unwrap_or_default())
}

fn json(value: &(impl Serialize + ?Sized)) -> String {
    let mut text = String::new();
    push_json(&mut text, value);
    text
}

/// Appends a text, which seldom has anything to escape.
fn push_text(into: &mut String, text: &str) {
    if text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        into.push('"');
        into.push_str(text);
        into.push('"');
    } else {
        push_json(into, text);
    }
}

/// Appends a text, a list of texts, or a JSON value. None of them can fail to be written.
fn push_json(text: &mut String, value: &(impl Serialize + ?Sized)) {
    match serde_json::to_string(value) {
        Ok(json) => text.push_str(&json),
        Err(_) => text.push_str("null"),
    }
}

#[cfg(test)]
mod tests;
