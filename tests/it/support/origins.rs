//! What browsers say of where a request comes from, and what must be made of it.

use reqwest::RequestBuilder;

use super::answer::ORIGIN;

const OURS: &[&str] = &[ORIGIN];
const NULL: &[&str] = &["null"];
const HTTP: &[&str] = &["http://app.example.com"];
const SIBLING: &[&str] = &["https://evil.example.com"];
const TWO: &[&str] = &[ORIGIN, ORIGIN];

/// `Sec-Fetch-Site` lines, `Origin` lines, and whether they come from our own origin or from no page at all.
pub(crate) const TABLE: [(&[&str], &[&str], bool); 32] = [
    (&[], &[], true),
    (&[], OURS, true),
    (&[], NULL, false),
    (&[], HTTP, false),
    (&[], SIBLING, false),
    (&[], TWO, false),
    (&["same-origin"], &[], true),
    (&["same-origin"], OURS, true),
    (&["same-origin"], NULL, true),
    (&["same-origin"], HTTP, true),
    (&["same-origin"], SIBLING, true),
    (&["same-origin"], TWO, true),
    (&["none"], &[], true),
    (&["none"], OURS, true),
    (&["none"], NULL, true),
    (&["none"], SIBLING, true),
    (&["same-site"], &[], false),
    (&["same-site"], OURS, false),
    (&["same-site"], NULL, false),
    (&["same-site"], SIBLING, false),
    (&["cross-site"], &[], false),
    (&["cross-site"], OURS, false),
    (&["cross-site"], NULL, false),
    (&["cross-site"], SIBLING, false),
    (&["Same-Origin"], &[], false),
    (&["Same-Origin"], OURS, false),
    (&[""], &[], false),
    (&["same-origin, cross-site"], OURS, false),
    (&["same-origin", "same-origin"], &[], false),
    (&["same-origin", "same-origin"], OURS, false),
    (&["same-origin", "cross-site"], OURS, false),
    (&["cross-site", "same-origin"], OURS, false),
];

/// The request with these `Sec-Fetch-Site` and `Origin` lines.
pub(crate) fn from(mut request: RequestBuilder, site: &[&str], origin: &[&str]) -> RequestBuilder {
    for line in site {
        request = request.header("sec-fetch-site", *line);
    }
    for line in origin {
        request = request.header("origin", *line);
    }
    request
}
