//! From a written value to a typed one: the forms that settings share. Rules of one setting live in its section.

use std::{net::SocketAddr, ops::RangeInclusive, time::Duration};

use figment::value::Value;

use super::setting::Shape;

/// Deepest nesting of lists and tables in a variable.
const DEEPEST: usize = 16;

/// Longest value that a fault quotes, in characters.
const LONGEST_QUOTE: usize = 80;

/// The value breaks the rule of its setting; the table of settings says the rule in words.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Refusal {
    /// What to do about it, where there is more to say than the rule.
    pub(super) hint: Option<String>,
}

impl Refusal {
    pub(super) fn with_hint(hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()) }
    }
}

pub(super) type Parsed<T> = Result<T, Refusal>;

/// Reads the text of a variable or a default.
///
/// A text setting is the text as it is, so that nothing in a password or URL is taken for syntax; the rest is in figment's
/// inline form. What does not parse stays text, and is then refused for its type.
pub(super) fn from_text(shape: Shape, text: &str) -> Value {
    if shape == Shape::Text || is_nested_too_deeply(text) {
        return Value::from(text);
    }
    text.parse().unwrap_or_else(|_| Value::from(text))
}

pub(super) fn text(value: &Value) -> Parsed<&str> {
    value.as_str().ok_or_else(Refusal::default)
}

pub(super) fn switch(value: &Value) -> Parsed<bool> {
    value.to_bool().ok_or_else(Refusal::default)
}

/// A whole number within `range`.
pub(super) fn number<T: TryFrom<i128> + PartialOrd>(range: RangeInclusive<T>) -> impl Fn(&Value) -> Parsed<T> {
    move |value| {
        let number = value.to_i128().or_else(|| value.to_u128().and_then(|number| i128::try_from(number).ok()));
        let number = number.and_then(|number| T::try_from(number).ok());
        number.filter(|number| range.contains(number)).ok_or_else(Refusal::default)
    }
}

/// A duration within `range` with its unit, `30s` or `1h 30min`.
pub(super) fn duration(range: RangeInclusive<Duration>) -> impl Fn(&Value) -> Parsed<Duration> {
    move |value| {
        if is_bare_number(value) {
            return Err(Refusal::with_hint("add a unit, such as \"30s\", \"12h\" or \"30d\""));
        }
        let duration = humantime::parse_duration(text(value)?).map_err(|_| Refusal::default())?;
        range.contains(&duration).then_some(duration).ok_or_else(Refusal::default)
    }
}

/// A duration without a fraction of a second, for times that are written as whole seconds (RFC 7519 §2, `NumericDate`).
pub(super) fn whole_seconds(range: RangeInclusive<Duration>) -> impl Fn(&Value) -> Parsed<Duration> {
    let duration = duration(range);
    move |value| {
        let seconds = duration(value)?;
        if seconds.subsec_nanos() == 0 { Ok(seconds) } else { Err(Refusal::with_hint("use whole seconds")) }
    }
}

/// A number of bytes within `range` with its unit, `16KiB`.
pub(super) fn size(range: RangeInclusive<usize>) -> impl Fn(&Value) -> Parsed<usize> {
    move |value| {
        if is_bare_number(value) {
            return Err(Refusal::with_hint("add a unit, such as \"512B\" or \"16KiB\""));
        }
        let size = text(value)?.parse::<bytesize::ByteSize>().map_err(|_| Refusal::default())?;
        usize::try_from(size.as_u64()).ok().filter(|size| range.contains(size)).ok_or_else(Refusal::default)
    }
}

/// An address to listen on; port 0 lets the system choose one.
pub(super) fn address(value: &Value) -> Parsed<SocketAddr> {
    text(value)?.parse().map_err(|_| Refusal::default())
}

/// One of a few names, by exact spelling.
pub(super) fn choice<T: Copy>(choices: &[(&str, T)]) -> impl Fn(&Value) -> Parsed<T> {
    move |value| {
        let text = text(value)?;
        choices.iter().find(|(name, _)| *name == text).map(|(_, choice)| *choice).ok_or_else(Refusal::default)
    }
}

/// A list, each entry read by `entry`.
pub(super) fn list<T>(entry: impl Fn(&str) -> Parsed<T>) -> impl Fn(&Value) -> Parsed<Vec<T>> {
    move |value| {
        let entries = value.as_array().ok_or_else(|| Refusal::with_hint("write a list, such as [\"a\", \"b\"]"))?;
        entries.iter().map(|value| entry(text(value)?)).collect()
    }
}

/// The value as TOML would write it, for `config show`.
pub(super) fn render(value: &Value) -> String {
    match value {
        Value::String(_, text) => format!("{text:?}"),
        Value::Char(_, character) => format!("{:?}", character.to_string()),
        Value::Bool(_, switch) => switch.to_string(),
        Value::Num(_, number) => {
            let whole = number.to_i128().map(|number| number.to_string());
            let whole = whole.or_else(|| number.to_u128().map(|number| number.to_string()));
            whole.or_else(|| number.to_f64().map(|number| number.to_string())).unwrap_or_default()
        }
        Value::Empty(..) => String::from("nothing"),
        Value::Array(_, values) => format!("[{}]", values.iter().map(render).collect::<Vec<_>>().join(", ")),
        Value::Dict(_, table) => {
            let entries: Vec<_> = table.iter().map(|(key, value)| format!("{key:?} = {}", render(value))).collect();
            format!("{{ {} }}", entries.join(", "))
        }
    }
}

/// The value as a fault quotes it: on one line, not too long, and without a password that a URL may carry.
pub(super) fn quote(value: &Value) -> String {
    let rendered = render(value);
    if rendered.contains('@') {
        return String::from("a value with user information (not shown)");
    }
    if rendered.chars().count() <= LONGEST_QUOTE {
        return rendered;
    }
    rendered.chars().take(LONGEST_QUOTE).chain("…".chars()).collect()
}

fn is_bare_number(value: &Value) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    matches!(value, Value::Num(..)) || value.as_str().is_some_and(is_number)
}

fn is_nested_too_deeply(text: &str) -> bool {
    let mut depth = 0_usize;
    text.bytes().any(|byte| {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth > DEEPEST
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: RangeInclusive<Duration> = Duration::ZERO..=Duration::MAX;

    #[test]
    fn durations_have_units() {
        for (text, seconds) in [("30s", 30), ("12h", 43_200), ("30d", 2_592_000), ("1h 30min", 5_400), ("0s", 0)] {
            assert_eq!(duration(ANY)(&Value::from(text)), Ok(Duration::from_secs(seconds)));
        }
        for bare in [Value::from(30), Value::from(1.5), Value::from("30"), Value::from("0"), Value::from("1.5")] {
            assert!(duration(ANY)(&bare).unwrap_err().hint.unwrap().starts_with("add a unit"));
        }
        for text in ["", "s", "-1s", "1 fortnight", "99999999999999999999s", "99999999999999999y"] {
            assert_eq!(duration(ANY)(&Value::from(text)), Err(Refusal::default()), "{text}");
        }
    }

    #[test]
    fn sizes_have_units() {
        let size = size(0..=usize::MAX);
        assert_eq!(size(&Value::from("16KiB")), Ok(16_384));
        assert_eq!(size(&Value::from("1 MB")), Ok(1_000_000));
        assert!(size(&Value::from(16_384)).unwrap_err().hint.is_some());
        assert_eq!(size(&Value::from("-1KiB")), Err(Refusal::default()));
    }

    #[test]
    fn text_settings_are_taken_as_they_are() {
        assert_eq!(from_text(Shape::Text, "[1, 2]"), Value::from("[1, 2]"));
        assert_eq!(from_text(Shape::Number, " 4 "), Value::from(4_usize));
        assert_eq!(from_text(Shape::List, "[a, \"b c\"]"), Value::from(vec!["a", "b c"]));
    }

    #[test]
    fn a_deeply_nested_variable_is_not_parsed() {
        let text = "[".repeat(100_000);
        assert_eq!(from_text(Shape::List, &text), Value::from(text.as_str()));
    }

    #[test]
    fn a_quoted_value_stays_on_one_short_line_and_hides_passwords() {
        assert_eq!(quote(&Value::from("a\nb")), "\"a\\nb\"");
        assert_eq!(quote(&Value::from("x".repeat(1_000))).chars().count(), LONGEST_QUOTE + 1);
        assert!(!quote(&Value::from("https://user:hunter2@host")).contains("hunter2"));
    }
}
