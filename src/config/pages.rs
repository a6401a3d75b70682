//! `[pages]`: whose pages people see. The files that are named here are read when the service starts, not by the configuration.

use std::path::PathBuf;

use super::{
    reader::Reader,
    setting::{SettingDoc, Shape::Text},
    value::{Parsed, Refusal, text},
};

/// Longest name in characters.
const LONGEST_NAME: usize = 64;

pub(super) const SETTINGS: &[SettingDoc] = &[
    SettingDoc::new("pages.name", Text, "1 to 64 characters, none of them a control character", "What the pages call this service.")
        .default("Ephemint"),
    SettingDoc::new(
        "pages.logo",
        Text,
        "the path of an SVG or PNG file of at most 128 KiB",
        "The picture beside the name, shown 40 pixels high; read at start.",
    )
    .unset("Ephemint's own, in the accent colour"),
    SettingDoc::new(
        "pages.accent",
        Text,
        "a colour as #rrggbb",
        "The colour of buttons, links and focus; the text on it is black or white, whichever can be read, and links take a shade of it that can.",
    )
    .default("#0b7a5b"),
    SettingDoc::new(
        "pages.templates",
        Text,
        "the path of a directory",
        "Templates that replace those of the same name; read and tried out at start.",
    )
    .unset("the built-in templates"),
];

/// Whose pages people see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PagesConfig {
    /// What the pages call this service.
    pub name: String,
    /// The file of the logo.
    pub logo: Option<PathBuf>,
    /// The colour of buttons, links and focus: red, green, blue.
    pub accent: [u8; 3],
    /// Where templates are that replace the built-in ones.
    pub templates: Option<PathBuf>,
}

pub(super) fn read(reader: &mut Reader) -> Option<PagesConfig> {
    let name = reader.read("pages.name", |value| name(text(value)?));
    let logo = reader.read_optional("pages.logo", |value| path(text(value)?));
    let accent = reader.read("pages.accent", |value| colour(text(value)?));
    let templates = reader.read_optional("pages.templates", |value| path(text(value)?));
    Some(PagesConfig { name: name?, logo: logo?, accent: accent?, templates: templates? })
}

fn name(text: &str) -> Parsed<String> {
    let sound = !text.trim().is_empty() && text.chars().count() <= LONGEST_NAME && !text.chars().any(char::is_control);
    sound.then(|| text.to_owned()).ok_or_else(Refusal::default)
}

fn path(text: &str) -> Parsed<PathBuf> {
    if text.is_empty() { Err(Refusal::with_hint("leave it out instead")) } else { Ok(PathBuf::from(text)) }
}

fn colour(text: &str) -> Parsed<[u8; 3]> {
    let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6).ok_or_else(Refusal::default)?;
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Refusal::default());
    }
    let number = u32::from_str_radix(digits, 16).map_err(|_| Refusal::default())?;
    let [_, red, green, blue] = number.to_be_bytes();
    Ok([red, green, blue])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colour_has_six_digits() {
        assert_eq!(colour("#0b7a5B"), Ok([0x0b, 0x7a, 0x5b]));
        for text in ["", "#", "0b7a5b", "#0b7a5", "#0b7a5bff", "#0b7a5g", "#+b7a5b", "# b7a5b", "#0b7é5", "red", "#fff"]
        {
            assert_eq!(colour(text), Err(Refusal::default()), "{text}");
        }
    }

    #[test]
    fn a_name_is_short_and_visible() {
        assert_eq!(name("Blåbær & Co").as_deref(), Ok("Blåbær & Co"));
        for text in ["", " ", "a\nb", &"x".repeat(65)] {
            assert_eq!(name(text), Err(Refusal::default()), "{text}");
        }
    }
}
