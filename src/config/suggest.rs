//! Near misses: which setting did the operator mean?

use super::setting::{SettingDoc, settings};

/// Longest key that is compared; anything longer is no typing mistake.
const LONGEST: usize = 100;

/// What to say about an unknown key: the nearest one, or the ones that there are.
pub(super) fn hint(unknown: &str) -> String {
    if let Some(key) = nearest(unknown) {
        return format!("did you mean {key}?");
    }
    let section = unknown.split_once('.').map(|(section, _)| section.split('[').next().unwrap_or(section));
    let siblings: Vec<_> = settings().iter().filter(|setting| Some(setting.section()) == section).collect();
    if siblings.is_empty() {
        let mut sections: Vec<_> = settings().iter().map(SettingDoc::section).collect();
        sections.dedup();
        let near =
            sections.iter().find(|near| section.is_some_and(|it| it.len() <= LONGEST && distance(it, near) <= 2));
        if let Some(near) = near {
            return format!("did you mean the section {near}?");
        }
        return format!("the sections are {}", sections.join(", "));
    }
    let names: Vec<_> =
        siblings.iter().filter_map(|setting| setting.key.split_once('.')).map(|(_, name)| name).collect();
    format!("known in {} are {}", section.unwrap_or_default(), names.join(", "))
}

/// The key within two typing mistakes, else the one of the same name in another section.
fn nearest(unknown: &str) -> Option<&'static str> {
    if unknown.len() > LONGEST {
        return None;
    }
    let unknown = plain(unknown);
    let close = settings().iter().map(|setting| (distance(&unknown, setting.key), setting.key)).min()?;
    if close.0 <= 2 {
        return Some(close.1);
    }
    let name = unknown.rsplit('.').next().filter(|name| !name.is_empty())?;
    let namesake = |setting: &&SettingDoc| setting.key.split_once('.').is_some_and(|(_, other)| other == name);
    settings().iter().find(namesake).map(|setting| setting.key)
}

/// `audience[orders].ttl` as the table writes it.
fn plain(key: &str) -> String {
    match key.split_once('[').and_then(|(section, rest)| Some((section, rest.split_once(']')?.1))) {
        Some((section, rest)) => format!("{section}{rest}"),
        None => key.to_ascii_lowercase().replace('-', "_"),
    }
}

/// How many characters must be added, dropped or replaced to turn `left` into `right` (Levenshtein).
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, character) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for column in 1..row.len() {
            let replaced = diagonal + usize::from(character != right[column - 1]);
            diagonal = row[column];
            row[column] = replaced.min(diagonal + 1).min(row[column - 1] + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_mistake_finds_the_key() {
        for (unknown, key) in [
            ("session.idle_timeot", "session.idle_timeout"),
            ("sesion.idle_timeout", "session.idle_timeout"),
            ("session.idle-timeout", "session.idle_timeout"),
            ("session.rotate_every", "keys.rotate_every"),
            ("audiences", "audience"),
            ("audience[orders].claim", "audience.claims"),
        ] {
            assert_eq!(hint(unknown), format!("did you mean {key}?"));
        }
    }

    #[test]
    fn a_key_that_resembles_none_gets_the_list() {
        assert_eq!(hint("log.zzzzzzzz"), "known in log are format, level");
        assert_eq!(hint("sesion.zzzzzzzz"), "did you mean the section session?");
        assert!(hint("zzzzzzzz.zzzzzzzz").starts_with("the sections are public, gateway, admin, http"));
    }

    #[test]
    fn distances_count_single_changes() {
        for (left, right, expected) in [("", "abc", 3), ("abc", "abc", 0), ("abc", "abd", 1), ("kitten", "sitting", 3)]
        {
            assert_eq!(distance(left, right), expected);
        }
    }
}
