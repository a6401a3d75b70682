//! Which passwords are tried first by others: known ones, and what people build from the commonest words.
//!
//! Two lists lie beside this file, both sorted and in lower case. `common_passwords.txt` has known passwords of 15 characters and
//! more. `common_words.txt` has the words and short passwords that longer ones are mostly built from. Nothing is asked of anybody
//! else: no password leaves the process.

use std::sync::LazyLock;

/// Known long passwords, one a line, sorted.
const PASSWORDS: &str = include_str!("common_passwords.txt");
/// Known short passwords and words, one a line, sorted.
const WORDS: &str = include_str!("common_words.txt");
/// Rows that fingers and alphabets run along, in both directions and around their ends.
const ROWS: &[&str] = &[
    "1234567890",
    "abcdefghijklmnopqrstuvwxyz",
    "qwertyuiopasdfghjklzxcvbnm",
    "qwertzuiopasdfghjklyxcvbnm",
    "azertyuiopqsdfghjklmwxcvbn",
    "1q2w3e4r5t6y7u8i9o0p",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p",
    "qazwsxedcrfvtgbyhnujmikolp",
    "1qazxsw23edcvfr45tgbnhy67ujm",
];
/// Shortest part of a row that counts as a word.
const SHORTEST_RUN: usize = 4;
/// Shortest name of somebody or something that counts as a word.
const SHORTEST_NAME: usize = 3;
/// Longest unit whose mere repetition makes no password.
const LONGEST_TRIVIAL_UNIT: usize = 5;
/// How many common words make no password.
const MOST_WORDS: usize = 3;
/// How many characters beside them change nothing.
const MOST_EXTRA: usize = 3;

/// Whether a password is among the first that others would try, whatever its case and with digits for letters or without.
///
/// That is: a known password; up to five characters over and over; or up to three common words, runs along the keyboard, or years,
/// and any number of the `names`, with up to three more characters. The same with spaces and punctuation left out, and for what is
/// repeated.
pub(super) fn is_common(password: &str, names: &[&str]) -> bool {
    let lower = |text: &str| text.chars().flat_map(char::to_lowercase).collect::<Vec<char>>();
    let squeeze = |text: &[char]| text.iter().copied().filter(|next| next.is_alphanumeric()).collect::<Vec<char>>();
    let names: Vec<Vec<char>> = names
        .iter()
        .map(|name| lower(name))
        .flat_map(|name| [squeeze(&name), name])
        .filter(|name| name.len() >= SHORTEST_NAME)
        .collect();
    let written = lower(password);
    let squeezed = squeeze(&written);
    [written, squeezed].iter().any(|text| is_known(text) || is_built(text, &names))
}

fn is_known(text: &[char]) -> bool {
    static SORTED: LazyLock<Vec<&str>> = LazyLock::new(|| PASSWORDS.lines().collect());
    let written: String = text.iter().collect();
    let meant: String = text.iter().map(|&sign| letter(sign).unwrap_or(sign)).collect();
    [written, meant].iter().any(|text| SORTED.binary_search(&text.as_str()).is_ok())
}

fn is_built(text: &[char], names: &[Vec<char>]) -> bool {
    if text.is_empty() {
        return false;
    }
    let unit = &text[..period(text)];
    unit.len() <= LONGEST_TRIVIAL_UNIT || is_few_words(unit, names) || is_few_words(text, names)
}

/// The length of the shortest part that, written over and over, begins with the text; at least half of the text where none is.
fn period(text: &[char]) -> usize {
    let repeats = |length: &usize| text.iter().zip(&text[*length..]).all(|(one, other)| one == other);
    (1..=text.len() / 2).find(repeats).unwrap_or(text.len())
}

/// Whether the text is made of few common words and few characters beside them.
fn is_few_words(text: &[char], names: &[Vec<char>]) -> bool {
    // For each beginning of the text and each number of extra characters in it: the fewest words that make up the rest.
    let mut fewest = vec![[usize::MAX; MOST_EXTRA + 1]; text.len() + 1];
    fewest[0][0] = 0;
    for start in 0..text.len() {
        let before = fewest[start];
        if before.iter().all(|&words| words > MOST_WORDS) {
            continue;
        }
        let rest = &text[start..];
        let free = names.iter().filter(|name| begins_with(rest, name)).map(|name| (name.len(), 0));
        for (length, cost) in free.chain(words(rest).into_iter().map(|length| (length, 1))) {
            for (extra, words) in before.into_iter().enumerate().filter(|(_, words)| *words <= MOST_WORDS) {
                let after = &mut fewest[start + length][extra];
                *after = (*after).min(words + cost);
            }
        }
        for (extra, words) in before.into_iter().enumerate().take(MOST_EXTRA) {
            let after = &mut fewest[start + 1][extra + 1];
            *after = (*after).min(words);
        }
    }
    fewest[text.len()].iter().any(|&words| words <= MOST_WORDS)
}

/// The lengths of the common words, runs and years that the text starts with.
fn words(text: &[char]) -> Vec<usize> {
    static LIST: LazyLock<Vec<Vec<char>>> =
        LazyLock::new(|| WORDS.lines().map(|word| word.chars().collect()).collect());
    let mut lengths: Vec<usize> = LIST.iter().filter(|word| begins_with(text, word)).map(Vec::len).collect();
    lengths.extend(SHORTEST_RUN..=longest_run(text));
    let is_year = text.len() >= 4
        && (text.starts_with(&['1', '9']) || text.starts_with(&['2', '0']))
        && text[..4].iter().all(char::is_ascii_digit);
    if is_year {
        lengths.push(4);
    }
    lengths
}

/// How far the text follows one of the rows, forwards or backwards.
fn longest_run(text: &[char]) -> usize {
    static CIRCLES: LazyLock<Vec<Vec<char>>> = LazyLock::new(|| {
        let forwards = ROWS.iter().map(|row| row.chars().collect::<Vec<_>>());
        forwards.flat_map(|row| [row.iter().rev().copied().collect(), row]).collect()
    });
    let along = |row: &Vec<char>| {
        let Some(start) = text.first().and_then(|first| row.iter().position(|character| character == first)) else {
            return 0;
        };
        text.iter().zip(row.iter().cycle().skip(start)).take_while(|(one, other)| one == other).count()
    };
    CIRCLES.iter().map(along).max().unwrap_or(0)
}

/// Whether the text begins with the word, signs that look like letters included.
fn begins_with(text: &[char], word: &[char]) -> bool {
    text.len() >= word.len()
        && text
            .iter()
            .zip(word)
            .all(|(&sign, &meant)| sign == meant || letter(sign) == Some(meant) || (sign == '1' && meant == 'l'))
}

/// The letter that a digit or another sign is often written for.
fn letter(sign: char) -> Option<char> {
    match sign {
        '0' => Some('o'),
        '1' | '!' => Some('i'),
        '3' => Some('e'),
        '4' | '@' => Some('a'),
        '5' | '$' => Some('s'),
        '7' => Some('t'),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_sorted_in_lower_case_and_say_everything_once() {
        for (list, shortest) in [(PASSWORDS, 15), (WORDS, 3)] {
            let lines: Vec<&str> = list.lines().collect();
            assert!(lines.len() > 300 && list.len() < 200_000 && list.ends_with('\n'));
            for pair in lines.windows(2) {
                assert!(pair[0] < pair[1], "{} is not before {}", pair[0], pair[1]);
            }
            for line in lines {
                assert!(
                    line.chars().count() >= shortest && line.to_lowercase() == line && line.trim() == line,
                    "{line:?}"
                );
            }
        }
    }

    #[test]
    fn what_is_tried_first_is_refused() {
        for password in [
            "passwordpassword",
            "PasswordPassword",
            "password password",
            "P@ssw0rdP@ssw0rd",
            "password12345678",
            "P4ssw0rd12345678",
            "1l0vey0u1l0vey0u",
            "Password1234567!",
            "123456789012345",
            "1234567890123456789012345",
            "098765432109876",
            "qwertyuiopasdfgh",
            "asdfghjklqwertyuiop",
            "1q2w3e4r5t6y7u8i",
            "1qaz2wsx3edc4rfv",
            "abcdefghijklmno",
            "zyxwvutsrqponmlk",
            "aaaaaaaaaaaaaaa",
            "!!!!!!!!!!!!!!!!!",
            "abcabcabcabcabc",
            "12ab!12ab!12ab!12",
            "iloveyouforever",
            "I love you forever",
            "correct horse battery staple",
            "CorrectHorseBatteryStaple",
            "letmeinletmeinletmeinletmein",
            "monkeydragon2024",
            "Summer2023!Summer2023!",
            "thisismypassword",
            "maytheforcebewithyou",
            "footballfootballfootballfootballfootball",
        ] {
            assert!(is_common(password, &[]), "{password}");
        }
    }

    #[test]
    fn the_own_names_are_no_password() {
        let names = ["alice.b", "ephemint", "id.example.com", "example", "com", "zoë"];
        for password in [
            "alice.balice.b!",
            "AliceBAliceBAliceB",
            "ephemintephemint",
            "Ephemint alice.b example",
            "ephemintpassword1",
            "id.example.com1",
            "example.com2024",
            "ZoëZoëZoëZoëZoë",
        ] {
            assert!(is_common(password, &names), "{password}");
        }
        assert!(!is_common("alice.b grows tomatoes indoors", &names));
        // Names of one or two letters are in every password.
        assert!(!is_common("gravel otters sing", &["a", "e", "o"]));
    }

    #[test]
    fn a_few_words_that_do_not_belong_together_are_a_password() {
        for password in [
            "gravel otters sing",
            "hollow river paints a quiet engine",
            "kx7pqmvw2ntr9zd",
            "Tr0ub4dor&3 is not enough",
            "monkey dragon football sunshine",
            "$%^&*()_+{}|:\"<>?",
            "314159265358979",
            "vielleicht morgen im Garten",
            "пять рыжих котов",
            "五匹の赤い猫が屋根の上で歌っている",
        ] {
            assert!(!is_common(password, &["alice"]), "{password}");
        }
    }

    #[test]
    fn a_long_text_is_judged_quickly_whatever_it_is() {
        for unit in ["a", "ab", "password", "qwertyuiop", "love", "x9"] {
            let text = unit.repeat(1_024 / unit.len());
            assert!(is_common(&text, &["love", "password"]) || unit == "x9", "{unit}");
        }
    }
}
