//! The files that pages link to: kept in memory, named by their content so that browsers may keep them for good.

use std::{fmt::Write as _, fs, path::Path};

use actix_web::web::Bytes;
use serde::Serialize;

use super::{PagesError, logo, palette};
use crate::{config::PagesConfig, crypto::fingerprint};

/// A stylesheet of the operator's, beside the templates; linked after ours where it exists.
const CUSTOM: &str = "custom.css";
/// Longest custom stylesheet in bytes.
const LONGEST_CUSTOM: u64 = 256 * 1024;

const MARK: &str = include_str!("assets/mark.svg");
/// What in the mark stands for the accent colour, and for what is written on it.
const MARK_COLOURS: [&str; 2] = ["#0b7a5b", "#ffffff"];

/// Icons by the name of their custom property.
const SHAPES: [(&str, &str); 5] = [
    ("computer", include_str!("assets/computer.svg")),
    ("phone", include_str!("assets/phone.svg")),
    ("tablet", include_str!("assets/tablet.svg")),
    ("device", include_str!("assets/device.svg")),
    ("done", include_str!("assets/done.svg")),
];

/// A file that pages link to.
#[derive(Debug, Clone)]
pub struct Asset {
    /// Its last path segment.
    pub name: String,
    /// Its media type.
    pub media_type: &'static str,
    /// Its content.
    pub body: Bytes,
    /// Its entity tag, with quotes.
    pub etag: String,
    /// Sixteen hexadecimal digits that change with the content.
    pub version: String,
}

impl Asset {
    fn new(name: impl Into<String>, media_type: &'static str, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        let (etag, version) = (fingerprint::etag(&body), fingerprint::short_hex(&body));
        Self { name: name.into(), media_type, body, etag, version }
    }

    /// The path under which browsers may keep it for good.
    fn link(&self) -> String {
        format!("/assets/{}?v={}", self.name, self.version)
    }
}

/// The paths of all assets, as templates see them.
#[derive(Debug, Serialize)]
pub(super) struct Links {
    style: String,
    theme: String,
    custom: Option<String>,
    script: String,
    logo: String,
    icon: String,
}

/// All assets of one configuration.
#[derive(Debug)]
pub(super) struct Assets {
    all: Vec<Asset>,
    pub(super) links: Links,
}

impl Assets {
    pub(super) fn load(config: &PagesConfig) -> Result<Self, PagesError> {
        let style = Asset::new("style.css", "text/css; charset=utf-8", include_str!("assets/style.css"));
        let script = Asset::new("account.js", "text/javascript; charset=utf-8", include_str!("assets/account.js"));
        let colours = [config.accent, palette::on(config.accent)].map(palette::hex);
        let mark = MARK.replace(MARK_COLOURS[1], "\0").replace(MARK_COLOURS[0], &colours[0]).replace('\0', &colours[1]);
        let mark = Asset::new("mark.svg", "image/svg+xml", mark);
        let logo = match &config.logo {
            Some(path) => logo::read(path).map(|logo| Asset::new(logo.name, logo.media_type, logo.body))?,
            None => mark.clone(),
        };
        let custom = config.templates.as_deref().map(custom).transpose()?.flatten();
        let shapes = SHAPES.map(|(name, shape)| (name, Asset::new(format!("{name}.svg"), "image/svg+xml", shape)));
        let properties = shapes.iter().fold(String::new(), |mut properties, (name, shape)| {
            // Writing to a String cannot fail.
            let _ = writeln!(properties, "--shape-{name}: url(\"{}\");", shape.link());
            properties
        });
        let theme = Asset::new("theme.css", "text/css; charset=utf-8", palette::stylesheet(config.accent, &properties));
        let links = Links {
            style: style.link(),
            theme: theme.link(),
            custom: custom.as_ref().map(Asset::link),
            script: script.link(),
            icon: logo.link(),
            logo: logo.link(),
        };
        let mut all = vec![style, theme, script, mark];
        all.extend(shapes.into_iter().map(|(_, shape)| shape).chain(custom));
        if config.logo.is_some() {
            all.push(logo);
        }
        Ok(Self { all, links })
    }

    pub(super) fn find(&self, name: &str) -> Option<&Asset> {
        self.all.iter().find(|asset| asset.name == name)
    }
}

fn custom(directory: &Path) -> Result<Option<Asset>, PagesError> {
    let path = directory.join(CUSTOM);
    let text = match fs::metadata(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Ok(found) if found.len() > LONGEST_CUSTOM => return Err(PagesError::TooLarge { path, most: LONGEST_CUSTOM }),
        _ => fs::read_to_string(&path).map_err(|source| PagesError::Read { path, source })?,
    };
    Ok(Some(Asset::new(CUSTOM, "text/css; charset=utf-8", text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assets(accent: [u8; 3]) -> Assets {
        Assets::load(&PagesConfig { name: "Ephemint".to_owned(), logo: None, accent, templates: None }).unwrap()
    }

    #[test]
    fn the_mark_takes_the_accent_colour_and_stays_visible_on_it() {
        let mark = |accent| String::from_utf8(assets(accent).find("mark.svg").unwrap().body.to_vec()).unwrap();
        assert_eq!(mark([0x0b, 0x7a, 0x5b]), MARK, "the file's own colours are those of the default accent");
        let yellow = mark([0xff, 0xff, 0xff]);
        assert!(yellow.contains("#ffffff") && yellow.contains("#000000") && !yellow.contains("#0b7a5b"), "{yellow}");
    }

    #[test]
    fn a_link_changes_with_the_content_and_only_with_it() {
        let [green, again, blue] = [[0, 0x70, 0x40], [0, 0x70, 0x40], [0, 0x40, 0xa0]].map(assets);
        assert_eq!(green.links.theme, again.links.theme);
        assert_ne!(green.links.theme, blue.links.theme);
        assert_eq!(green.links.style, blue.links.style);
    }

    #[test]
    fn every_shape_that_the_stylesheet_names_exists() {
        let style = include_str!("assets/style.css");
        let theme = String::from_utf8(assets([0, 0, 0]).find("theme.css").unwrap().body.to_vec()).unwrap();
        let named = style.split("var(--").skip(1).filter_map(|rest| rest.split([')', ',']).next());
        for name in named {
            let defined = |text: &str| text.contains(&format!("--{name}:"));
            assert!(defined(style) || defined(&theme), "--{name}");
        }
    }
}
