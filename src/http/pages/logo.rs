//! The operator's logo: an SVG or PNG file, judged by its content.

use std::{fs, path::Path};

use super::PagesError;

/// Longest logo in bytes.
const LONGEST: u64 = 128 * 1024;

/// The first bytes of every PNG file (PNG specification, third edition, §5.2).
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

/// A logo that can be served.
#[derive(Debug)]
pub(super) struct Logo {
    pub(super) name: &'static str,
    pub(super) media_type: &'static str,
    pub(super) body: Vec<u8>,
}

pub(super) fn read(path: &Path) -> Result<Logo, PagesError> {
    let failed = |source| PagesError::Read { path: path.to_owned(), source };
    if fs::metadata(path).map_err(failed)?.len() > LONGEST {
        return Err(PagesError::TooLarge { path: path.to_owned(), most: LONGEST });
    }
    let body = fs::read(path).map_err(failed)?;
    if body.starts_with(PNG) {
        Ok(Logo { name: "logo.png", media_type: "image/png", body })
    } else if is_svg(&body) {
        Ok(Logo { name: "logo.svg", media_type: "image/svg+xml", body })
    } else {
        Err(PagesError::NotAPicture { path: path.to_owned() })
    }
}

/// Whether the first element is `svg`, behind an XML declaration, comments and a document type.
fn is_svg(body: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(body) else { return false };
    let mut rest = text.trim_start_matches('\u{feff}').trim_start();
    for (start, end) in [("<?xml", "?>"), ("<!--", "-->"), ("<!DOCTYPE svg", ">"), ("<!--", "-->")] {
        while let Some(inner) = rest.strip_prefix(start) {
            let Some((_, after)) = inner.split_once(end) else { return false };
            rest = after.trim_start();
        }
    }
    rest.strip_prefix("<svg").is_some_and(|after| after.starts_with(|next: char| next.is_whitespace() || next == '>'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_svg_file_begins_with_its_element() {
        for text in [
            "<svg xmlns='http://www.w3.org/2000/svg'/>",
            "\u{feff}<?xml version=\"1.0\"?>\n<!-- a > b --><!-- c -->\n<!DOCTYPE svg PUBLIC \"a\" \"b\">\n<svg>",
        ] {
            assert!(is_svg(text.as_bytes()), "{text}");
        }
        for text in ["", "<html><svg>", "svg", "<svgx>", "<?xml", "<!-- <svg>", "GIF89a", "<script>alert(1)</script>"] {
            assert!(!is_svg(text.as_bytes()), "{text}");
        }
        assert!(!is_svg(b"\xff<svg>"));
    }
}
