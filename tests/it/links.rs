//! Links between pages lead to pages and headings that are there, and paths that pages name exist.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every page by its path.
fn pages() -> BTreeMap<PathBuf, String> {
    let mut pages = BTreeMap::new();
    let mut folders = vec![root().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.insert(path.clone(), fs::read_to_string(path).unwrap());
            }
        }
    }
    for name in ["README.md", "CHANGELOG.md", "sql/README.md"] {
        let path = root().join(name);
        pages.insert(path.clone(), fs::read_to_string(path).unwrap());
    }
    pages
}

/// A page's lines outside of code blocks.
fn prose(page: &str) -> Vec<&str> {
    let mut code = false;
    let mut lines = Vec::new();
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            code = !code;
        } else if !code {
            lines.push(line);
        }
    }
    lines
}

/// Where the links of a text lead to.
fn links(text: &str) -> Vec<&str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:")).collect()
}

/// The anchors of a page's headings, as they are made where pages are shown.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = prose(page).into_iter().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let text = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = text.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
        kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn links_lead_to_pages_and_headings_that_are_there() {
    let pages = pages();
    let mut broken = Vec::new();
    let mut followed = 0;
    for (path, page) in &pages {
        for target in links(&prose(page).join("\n")) {
            followed += 1;
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            let Ok(file) = file.canonicalize() else {
                broken.push(format!("{}: {target}", path.display()));
                continue;
            };
            if !anchor.is_empty() && !pages.get(&file).is_some_and(|page| anchors(page).contains(anchor)) {
                broken.push(format!("{}: {target}", path.display()));
            }
        }
    }
    assert!(followed > 60, "{followed}");
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn paths_that_pages_name_exist() {
    const TOPS: [&str; 9] =
        ["src/", "sql/", "tests/", "docs/", "gateways/", "benches/", "fuzz/", "grafana/", "examples/"];
    let mut missing = Vec::new();
    let mut found = 0;
    for (path, page) in pages() {
        if path.ends_with("CHANGELOG.md") {
            // What was there once.
            continue;
        }
        for named in prose(&page).join("\n").split('`').skip(1).step_by(2) {
            let plain = named.chars().all(|letter| letter.is_ascii_alphanumeric() || "/._-".contains(letter));
            if plain && TOPS.iter().any(|top| named.starts_with(top)) {
                found += 1;
                if !root().join(named).exists() {
                    missing.push(format!("{}: {named}", path.display()));
                }
            }
        }
    }
    assert!(found > 20, "{found}");
    assert!(missing.is_empty(), "{missing:#?}");
}
