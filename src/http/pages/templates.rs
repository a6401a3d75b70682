//! The templates: the built-in ones, the operator's over them, and the trial of all at start.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use minijinja::{
    AutoEscape, Environment, Error, Output, State, UndefinedBehavior, escape_formatter,
    value::{Serde, Value},
};
use time::OffsetDateTime;

use super::{
    Nothing, Pages, PagesError,
    views::{Account, Device, Failure, Link, Moment, SignIn},
};

/// Under which every built-in template can be found as well, so that one which replaces it can still extend it.
const BUILT_IN: &str = "ephemint/";

const TEMPLATES: [(&str, &str); 5] = [
    ("base.html", include_str!("templates/base.html")),
    ("sign_in.html", include_str!("templates/sign_in.html")),
    ("account.html", include_str!("templates/account.html")),
    ("signed_out.html", include_str!("templates/signed_out.html")),
    ("error.html", include_str!("templates/error.html")),
];

/// Longest template in bytes.
const LONGEST: u64 = 256 * 1024;

/// Parts without which a page does not do its work.
const NEEDED: [(&str, &[&str]); 2] = [
    ("sign_in.html", &["action=\"/login\"", "name=\"username\"", "name=\"password\"", "name=\"return_to\""]),
    (
        "account.html",
        &["name=\"csrf_token\"", "/revoke\"", "action=\"/account/sessions/revoke-others\"", "action=\"/logout\""],
    ),
];

/// The operator's files by the name of their template.
pub(super) type Files = BTreeMap<String, PathBuf>;

/// All templates, parsed.
pub(super) fn load(directory: Option<&Path>) -> Result<(Environment<'static>, Files), PagesError> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_formatter(escaped);
    // Nothing that a page shows is markup.
    environment.remove_filter("safe");
    let files = directory.map(files).transpose()?.unwrap_or_default();
    for (name, text) in TEMPLATES {
        for name in [name.to_owned(), format!("{BUILT_IN}{name}")] {
            environment.add_template_owned(name, text).map_err(|error| fault(&error, "", &files))?;
        }
    }
    for (name, path) in &files {
        let text = read(path)?;
        environment.add_template_owned(name.clone(), text).map_err(|error| fault(&error, name, &files))?;
    }
    Ok((environment, files))
}

/// Renders every page in each of its forms.
pub(super) fn try_out(pages: &Pages, files: &Files) -> Result<(), PagesError> {
    let mut rendered = Vec::new();
    let mut render = |template: &'static str, view: Value| {
        let page = pages.render(template, view).map_err(|error| fault(&error, template, files))?;
        rendered.push((template, page));
        Ok::<(), PagesError>(())
    };
    for (refused, signed_in_as) in [(false, None), (true, None), (false, Some("someone"))] {
        let view = SignIn { refused, return_to: "/account", signed_in_as };
        render("sign_in.html", Value::from(Serde(view)))?;
    }
    for others in [1, 0] {
        let devices = [device(true), device(false)].into_iter().take(others + 1).collect();
        let view = Account { subject: "someone", csrf_token: "token", others, devices };
        render("account.html", Value::from(Serde(view)))?;
    }
    render("signed_out.html", Value::from(Serde(Nothing {})))?;
    for some in [true, false] {
        let link = some.then_some(Link { href: "/login", label: "Sign in" });
        let (detail, request_id) = (some.then_some("detail"), some.then_some("id"));
        let view = Failure { status: 400, code: "bad-request", title: "title", text: "text", detail, link, request_id };
        render("error.html", Value::from(Serde(view)))?;
    }
    for (template, parts) in NEEDED {
        // The first form of a page is its fullest.
        let page = rendered.iter().find(|(name, _)| *name == template).map_or("", |(_, page)| page);
        if let Some(missing) = parts.iter().find(|part| !page.contains(**part)) {
            return Err(PagesError::Incomplete { path: path_of(template, files), missing });
        }
    }
    Ok(())
}

fn device(current: bool) -> Device {
    let moment = Moment::from(OffsetDateTime::UNIX_EPOCH);
    Device {
        id: "id".to_owned(),
        name: "Firefox on Linux".to_owned(),
        kind: "computer",
        current,
        address: current.then(|| "192.0.2.1".to_owned()),
        signed_in: moment.clone(),
        last_seen: moment,
    }
}

/// The `.html` files of a directory.
fn files(directory: &Path) -> Result<Files, PagesError> {
    let failed = |source| PagesError::Read { path: directory.to_owned(), source };
    let mut files = Files::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "html")
            && let Some(name) = path.file_name().and_then(|name| name.to_str())
        {
            files.insert(name.to_owned(), path);
        }
    }
    Ok(files)
}

fn read(path: &Path) -> Result<String, PagesError> {
    let failed = |source| PagesError::Read { path: path.to_owned(), source };
    if fs::metadata(path).map_err(failed)?.len() > LONGEST {
        return Err(PagesError::TooLarge { path: path.to_owned(), most: LONGEST });
    }
    fs::read_to_string(path).map_err(failed)
}

fn fault(error: &Error, template: &str, files: &Files) -> PagesError {
    // Where one template uses another, the fault is in the innermost.
    let mut innermost = error;
    while let Some(source) = std::error::Error::source(innermost).and_then(<dyn std::error::Error>::downcast_ref) {
        innermost = source;
    }
    let kind = innermost.kind();
    let reason = innermost.detail().map_or_else(|| kind.to_string(), |detail| format!("{kind}: {detail}"));
    let name = innermost.name().unwrap_or(template);
    PagesError::Template { path: path_of(name, files), line: innermost.line().unwrap_or(0), reason }
}

fn path_of(template: &str, files: &Files) -> PathBuf {
    files.get(template).cloned().unwrap_or_else(|| PathBuf::from(template))
}

/// Escapes a value for HTML. The engine's own escaping would write `/` as `&#x2f;` too, which only makes pages hard to read.
fn escaped(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    let Some(text) = value.as_str().filter(|_| !value.is_safe()) else { return escape_formatter(out, state, value) };
    for (position, part) in text.split('/').enumerate() {
        if position > 0 {
            out.write_str("/").map_err(Error::from)?;
        }
        escape_formatter(out, state, &Value::from(part))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::*;

    /// One value in an element, in an attribute and joined to another.
    #[derive(Serialize)]
    struct Hostile {
        value: &'static str,
    }

    #[test]
    fn every_value_is_escaped() {
        let (environment, _) = load(None).unwrap();
        let view = Value::from(Serde(Hostile { value: "/<b>&\"'/" }));
        let render = |template: &str| environment.render_str(template, view.clone());
        assert_eq!(render("{{ value }}").unwrap(), "/&lt;b&gt;&amp;&quot;&#x27;/");
        assert_eq!(render("{{ 'a' ~ value }}").unwrap(), "a/&lt;b&gt;&amp;&quot;&#x27;/");
        assert_eq!(render("{{ [value] }}").unwrap().matches(['<', '>', '"', '\'']).count(), 0);
        assert!(render("{{ value|safe }}").is_err());
        assert!(render("{{ unknown }}").is_err());
    }
}
