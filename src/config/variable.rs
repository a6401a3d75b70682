//! What an environment variable's name means, and where the text behind it is.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

use super::{fault::Problem, file, setting::SettingDoc};

const PREFIX: &str = "EPHEMINT__";
const DATABASE_URL: &str = "EPHEMINT_DATABASE_URL";
const FILE_SUFFIX: &str = "__FILE";

/// The key that a variable sets, in lower case, and whether its value is the path of a file; nothing for foreign variables.
pub(super) fn key(name: &str) -> Option<(String, bool)> {
    if let Some(rest) = name.strip_prefix(DATABASE_URL) {
        let from_file = rest.eq_ignore_ascii_case(FILE_SUFFIX);
        return (from_file || rest.is_empty()).then(|| (String::from("database.url"), from_file));
    }
    let name = name.strip_prefix(PREFIX)?.to_ascii_uppercase();
    let (name, from_file) = match name.strip_suffix(FILE_SUFFIX) {
        Some(name) if !name.is_empty() => (name, true),
        _ => (name.as_str(), false),
    };
    Some((name.to_ascii_lowercase().replace("__", "."), from_file))
}

/// The text that a variable gives to a setting, from the file that it names where it does.
///
/// # Errors
/// The fault to record.
pub(super) fn text(setting: &SettingDoc, value: &OsStr, from_file: bool) -> Result<String, Problem> {
    if !from_file {
        return value.to_str().map(ToOwned::to_owned).ok_or(Problem::NotText);
    }
    if !setting.secret {
        return Err(Problem::NotASecret { instead: setting.variable().unwrap_or_default() });
    }
    let path = Path::new(value);
    let mut text = file::read(path).map_err(|error| {
        // A secret that was put where its file's name belongs is hardly ever an absolute path.
        let named = if path.is_absolute() { path.to_owned() } else { PathBuf::from("(no absolute path, not shown)") };
        Problem::unreadable(named, &error)
    })?;
    // Editors and `echo` end a file with a newline that is no part of the secret.
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_matched_whatever_their_case_and_foreign_ones_left_alone() {
        assert_eq!(key("EPHEMINT__Session__Idle_Timeout"), Some(("session.idle_timeout".into(), false)));
        assert_eq!(key("EPHEMINT__SECRETS__MASTER_KEY__FILE"), Some(("secrets.master_key".into(), true)));
        assert_eq!(key("EPHEMINT_DATABASE_URL"), Some(("database.url".into(), false)));
        assert_eq!(key("EPHEMINT_DATABASE_URL__FILE"), Some(("database.url".into(), true)));
        for foreign in ["EPHEMINT_CONFIG", "EPHEMINT_DATABASE_URLS", "PATH", ""] {
            assert_eq!(key(foreign), None);
        }
    }
}
