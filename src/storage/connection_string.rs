//! The two spellings of a connection string, URL and `key=value`, read into one list of parameters.
//!
//! What a parameter means is not decided here. No error repeats any of the text: a slip in quoting can put a piece of the
//! password anywhere, even where a parameter's name belongs.

use zeroize::Zeroizing;

use super::url::DatabaseUrlError;

/// Parameters that are understood. Only names from this list and the next are ever repeated in an error.
const SUPPORTED: [&str; 23] = [
    "application_name",
    "channel_binding",
    "connect_timeout",
    "dbname",
    "host",
    "hostaddr",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "load_balance_hosts",
    "options",
    "password",
    "port",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslnegotiation",
    "sslrootcert",
    "target_session_attrs",
    "tcp_user_timeout",
    "user",
];

/// Parameters of libpq without a counterpart here; ignoring one could ignore a wish for security.
const UNSUPPORTED: [&str; 25] = [
    "client_encoding",
    "fallback_application_name",
    "gssdelegation",
    "gssencmode",
    "gsslib",
    "krbsrvname",
    "max_protocol_version",
    "min_protocol_version",
    "passfile",
    "replication",
    "require_auth",
    "requirepeer",
    "requiressl",
    "scram_client_key",
    "scram_server_key",
    "service",
    "ssl",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "sslcertmode",
    "sslcompression",
    "sslcrl",
    "sslcrldir",
    "sslpassword",
    "sslsni",
];

/// The parameters of one connection string, each at most once; values are wiped when dropped.
#[derive(Default)]
pub(super) struct Parameters(Vec<(&'static str, Zeroizing<String>)>);

impl Parameters {
    /// Reads either spelling, as libpq does (PostgreSQL manual, "Connection Strings"), but without its guesses.
    pub(super) fn parse(text: &str) -> Result<Self, DatabaseUrlError> {
        let mut parameters = Self::default();
        match ["postgresql://", "postgres://"].iter().find_map(|scheme| text.strip_prefix(scheme)) {
            Some(rest) => parameters.read_url(rest)?,
            None => parameters.read_pairs(text)?,
        }
        Ok(parameters)
    }

    /// Removes a parameter and returns its value.
    pub(super) fn take(&mut self, name: &str) -> Option<Zeroizing<String>> {
        let position = self.0.iter().position(|(present, _)| *present == name)?;
        Some(self.0.swap_remove(position).1)
    }

    /// Whether a parameter is given.
    pub(super) fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|(present, _)| *present == name)
    }

    /// Every parameter that was not taken.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(name, value)| (*name, value.as_str()))
    }

    /// Adds a parameter by its name.
    pub(super) fn add(&mut self, name: &str, value: Zeroizing<String>) -> Result<(), DatabaseUrlError> {
        if let Some(&unsupported) = UNSUPPORTED.iter().find(|known| **known == name) {
            return Err(DatabaseUrlError::UnsupportedParameter(unsupported));
        }
        let &name = SUPPORTED.iter().find(|known| **known == name).ok_or(DatabaseUrlError::UnknownParameter)?;
        if self.contains(name) {
            return Err(DatabaseUrlError::RepeatedParameter(name));
        }
        self.0.push((name, value));
        Ok(())
    }

    fn read_url(&mut self, rest: &str) -> Result<(), DatabaseUrlError> {
        let end_of_authority = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end_of_authority);
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        // A second `@`, or one behind the authority, is most likely a password that was not escaped. Guessing where it ends
        // would print its tail as a host or a database.
        let (credentials, hosts) = authority.split_once('@').unwrap_or(("", authority));
        if [hosts, path, query].iter().any(|part| part.contains('@')) {
            return Err(DatabaseUrlError::Malformed("an `@` that does not end the credentials is written `%40`"));
        }

        let (user, password) =
            credentials.split_once(':').map_or((credentials, None), |(user, pass)| (user, Some(pass)));
        if !user.is_empty() {
            self.add("user", percent_decoded(user)?)?;
        }
        if let Some(password) = password {
            self.add("password", percent_decoded(password)?)?;
        }
        self.read_hosts(hosts)?;
        if let Some(database) = path.strip_prefix('/').filter(|database| !database.is_empty()) {
            self.add("dbname", percent_decoded(database)?)?;
        }
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or(DatabaseUrlError::Malformed("a parameter has no `=`"))?;
            self.add(&percent_decoded(name)?, percent_decoded(value)?)?;
        }
        Ok(())
    }

    fn read_hosts(&mut self, hosts: &str) -> Result<(), DatabaseUrlError> {
        if hosts.is_empty() {
            return Ok(());
        }
        let (mut names, mut ports) = (Vec::new(), Vec::new());
        for host in hosts.split(',') {
            let (name, port) = match host.strip_prefix('[') {
                Some(host) => host.split_once(']').ok_or(DatabaseUrlError::InvalidValue("host"))?,
                None => host.split_at(host.find(':').unwrap_or(host.len())),
            };
            if !port.is_empty() && !port.starts_with(':') {
                return Err(DatabaseUrlError::InvalidValue("host"));
            }
            names.push(percent_decoded(name)?.to_string());
            ports.push(percent_decoded(port.strip_prefix(':').unwrap_or_default())?.to_string());
        }
        self.add("host", names.join(",").into())?;
        if ports.iter().any(|port| !port.is_empty()) {
            self.add("port", ports.join(",").into())?;
        }
        Ok(())
    }

    fn read_pairs(&mut self, text: &str) -> Result<(), DatabaseUrlError> {
        let mut rest = text.trim_ascii();
        while !rest.is_empty() {
            let (name, after) = rest.split_once('=').ok_or(DatabaseUrlError::Malformed("a parameter has no `=`"))?;
            let (value, after) = match after.trim_ascii_start().strip_prefix('\'') {
                Some(quoted) => quoted_value(quoted)?,
                None => plain_value(after)?,
            };
            self.add(name.trim_ascii(), value)?;
            rest = after.trim_ascii_start();
        }
        Ok(())
    }
}

/// The value up to the closing quote, and what follows it; a backslash takes the next character as it is.
fn quoted_value(text: &str) -> Result<(Zeroizing<String>, &str), DatabaseUrlError> {
    let (value, end) = unescaped(text, |character| character == '\'');
    let after = text[end..].strip_prefix('\'').ok_or(DatabaseUrlError::Malformed("a quote is not closed"))?;
    if !after.is_empty() && !after.starts_with(|character: char| character.is_ascii_whitespace()) {
        return Err(DatabaseUrlError::Malformed("text follows a closing quote"));
    }
    Ok((value, after))
}

/// The value up to the next white space.
fn plain_value(text: &str) -> Result<(Zeroizing<String>, &str), DatabaseUrlError> {
    let start = text.trim_ascii_start();
    let (value, end) = unescaped(start, |character| character.is_ascii_whitespace());
    // libpq reads `user= password=secret` as a user named `password=secret`.
    if value.is_empty() || (start.len() < text.len() && value.contains('=')) {
        return Err(DatabaseUrlError::Malformed("a value is missing; an empty one is written `\'\'`"));
    }
    Ok((value, &start[end..]))
}

/// The characters before the first unescaped `end`, and where that is.
fn unescaped(text: &str, end: impl Fn(char) -> bool) -> (Zeroizing<String>, usize) {
    let mut value = Zeroizing::new(String::with_capacity(text.len()));
    let mut escaped = false;
    for (position, character) in text.char_indices() {
        if !escaped && end(character) {
            return (value, position);
        }
        escaped = !escaped && character == '\\';
        if !escaped {
            value.push(character);
        }
    }
    (value, text.len())
}

/// Decodes `%` escapes (RFC 3986 §2.1); `+` stays what it is, as in libpq.
fn percent_decoded(text: &str) -> Result<Zeroizing<String>, DatabaseUrlError> {
    const MALFORMED: DatabaseUrlError = DatabaseUrlError::Malformed("a `%` is not followed by two hexadecimal digits");
    let mut pieces = text.split('%');
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    bytes.extend(pieces.next().unwrap_or_default().bytes());
    for piece in pieces {
        let digits = piece.get(..2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).ok_or(MALFORMED)?;
        bytes.push(byte);
        bytes.extend(piece.bytes().skip(2));
    }
    match std::str::from_utf8(&bytes) {
        Ok(decoded) if !decoded.contains('\0') => Ok(Zeroizing::new(decoded.to_owned())),
        Ok(_) | Err(_) => Err(DatabaseUrlError::Malformed("an escaped value is not text")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<(&'static str, String)>, DatabaseUrlError> {
        let mut parameters: Vec<_> =
            Parameters::parse(text)?.iter().map(|(name, value)| (name, value.to_owned())).collect();
        parameters.sort_unstable();
        Ok(parameters)
    }

    #[test]
    fn both_spellings_say_the_same() {
        let expected = [("dbname", "a b"), ("host", "h1,::1"), ("password", "p'\\@ +"), ("port", "1,"), ("user", "me")]
            .map(|(name, value)| (name, value.to_owned()));
        for text in [
            "postgresql://me:p'%5C%40%20+@h1:1,[::1]/a%20b",
            "postgres://h1:1,[::1]/a b?user=me&password=p%27%5c%40%20+",
            r"user=me password='p\'\\@ +' host=h1,::1 port=1, dbname='a b'",
            "  dbname = 'a b'\tport =1,\nhost= h1,::1 user=me password=p\\'\\\\@\\ +",
        ] {
            assert_eq!(parsed(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn a_socket_path_is_written_escaped_or_as_a_parameter() {
        let expected = [("dbname", "d".to_owned()), ("host", "/run/pg".to_owned())];
        for text in ["postgresql://%2Frun%2Fpg/d", "postgresql:///d?host=/run/pg", "host=/run/pg dbname=d"] {
            assert_eq!(parsed(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_could_be_read_two_ways_is_refused() {
        for text in [
            "postgresql://me:p@ss@host/d",
            "postgresql://me:1/ss@host/d",
            "postgresql://me:1?ss=x@host/d",
            "postgresql://host/d?user=me%4",
            "postgresql://host/d?user=%FF",
            "postgresql://host/d?user=%00",
            "postgresql://host/d?user",
            "user= password=secret",
            "user=",
            "user='me",
            "user='me'host=h",
            "mysql",
        ] {
            assert!(matches!(parsed(text), Err(DatabaseUrlError::Malformed(_))), "{text}: {:?}", parsed(text));
        }
        assert!(matches!(parsed("postgresql://[::1/d"), Err(DatabaseUrlError::InvalidValue("host"))));
        assert!(matches!(parsed("postgresql://h1/d?host=h2"), Err(DatabaseUrlError::RepeatedParameter("host"))));
        assert!(matches!(
            parsed("sslmode=disable sslmode=disable"),
            Err(DatabaseUrlError::RepeatedParameter("sslmode"))
        ));
    }

    #[test]
    fn only_known_names_are_repeated() {
        assert!(matches!(parsed("host=h sslcrl=x"), Err(DatabaseUrlError::UnsupportedParameter("sslcrl"))));
        let error = parsed("password=my secret=x").unwrap_err();
        assert!(matches!(error, DatabaseUrlError::UnknownParameter), "{error:?}");
        assert!(matches!(parsed("mysql://me:pw@h/d?a=b"), Err(DatabaseUrlError::UnknownParameter)));
    }
}
