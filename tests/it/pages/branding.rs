//! The operator's name, logo, colour and templates; and what is wrong with them, said at start.

use std::{fs, path::Path};

use ephemint::{
    config::Config,
    http::pages::{Pages, PagesError},
    telemetry::error_chain::ErrorChain,
};
use reqwest::{Method, StatusCode};
use tempfile::TempDir;

use super::page;
use crate::support::{
    answer::single,
    app::{TestApp, settings},
    database::TestDatabase,
    program::{complaint, config_file, run},
    visitor::plain_page,
};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n and the rest";

fn load(more: &str) -> Result<Pages, PagesError> {
    let config =
        Config::from_toml(&settings("postgres://localhost/none", more)).unwrap_or_else(|error| panic!("{error}"));
    Pages::load(&config.pages, &config.public.origin)
}

/// Why the pages cannot be shown with this template, without the directory's path.
fn fault(name: &str, template: &str) -> String {
    let directory = directory(&[(name, template.as_bytes())]);
    let error = load(&format!("pages.templates = '{}'", directory.path().display())).expect_err(template);
    ErrorChain(&error).to_string().replace(&format!("{}/", directory.path().display()), "")
}

fn directory(files: &[(&str, &[u8])]) -> TempDir {
    let directory = TempDir::new().unwrap();
    for (name, content) in files {
        fs::write(directory.path().join(name), content).unwrap();
    }
    directory
}

fn path(directory: &Path, name: &str) -> String {
    directory.join(name).display().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn name_colour_logo_and_templates_are_the_operators() {
    let svg = "<?xml version=\"1.0\"?><svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(1)</script></svg>";
    let own =
        "{% extends \"ephemint/sign_in.html\" %}{% block foot %}<p>Ask {{ brand.name }} on floor 2.</p>{% endblock %}";
    let directory = directory(&[
        ("logo.svg", svg.as_bytes()),
        ("sign_in.html", own.as_bytes()),
        ("custom.css", b"h1 { color: teal }"),
        ("notes.txt", b"{% broken"),
    ]);
    let logo = path(directory.path(), "logo.svg");
    let templates = directory.path().display();
    let more =
        format!("[pages]\nname = 'Blåbær & <Co>'\naccent = '#ffdd00'\nlogo = '{logo}'\ntemplates = '{templates}'");
    let app = TestApp::spawn_with(&more).await;
    let page = page(app.navigate("/login", "").send().await.unwrap(), 200).await;
    let links = plain_page(&page);
    assert!(page.contains("<title>Sign in · Blåbær &amp; &lt;Co&gt;</title>"), "{page}");
    assert!(page.contains("Ask Blåbær &amp; &lt;Co&gt; on floor 2.") && page.contains("name=\"password\""));
    let link = |part: &str| links.iter().find(|link| link.contains(part)).unwrap_or_else(|| panic!("{part}: {page}"));
    let get = |path: String| app.public(Method::GET, &path).send();
    let logo = get(link("logo.svg").clone()).await.unwrap();
    assert_eq!(single(logo.headers(), "content-type"), "image/svg+xml");
    let policy = "default-src 'none'; style-src 'unsafe-inline'; sandbox";
    assert_eq!(single(logo.headers(), "content-security-policy"), policy, "no script in it ever runs");
    assert_eq!(logo.text().await.unwrap(), svg);
    assert_eq!(get(link("custom.css").clone()).await.unwrap().text().await.unwrap(), "h1 { color: teal }");
    let theme = get(link("theme.css").clone()).await.unwrap().text().await.unwrap();
    assert!(theme.contains("--accent: #ffdd00;") && theme.contains("--on-accent: #000000;"), "{theme}");
    assert_eq!(get("/assets/notes.txt".to_owned()).await.unwrap().status(), StatusCode::NOT_FOUND);
}

#[test]
fn a_logo_is_a_small_picture() {
    let large = [PNG, vec![0; 128 * 1024].as_slice()].concat();
    let files: [(&str, &[u8]); 4] =
        [("good.png", PNG), ("good.bin", PNG), ("page.svg", b"<html><svg></svg></html>"), ("large.png", &large)];
    let directory = directory(&files);
    let load = |name: &str| load(&format!("pages.logo = '{}'", path(directory.path(), name)));
    for name in ["good.png", "good.bin"] {
        let pages = load(name).unwrap();
        assert_eq!(pages.asset("logo.png").unwrap().media_type, "image/png");
    }
    for (name, reason) in [
        ("page.svg", "is neither an SVG nor a PNG file"),
        ("large.png", "is larger than 131072 bytes"),
        ("none.png", "cannot be read"),
    ] {
        let error = load(name).expect_err(name).to_string();
        assert!(error.ends_with(&format!("{name} {reason}")), "{error}");
    }
}

#[test]
fn a_broken_template_is_named_with_its_line_and_reason() {
    for (name, template, said) in [
        ("error.html", "<p>\n{% if %}", "error.html line 2: syntax error: "),
        ("error.html", "a\nb\n{{ nothing }}", "error.html line 3: undefined value"),
        ("error.html", "{{ title|shout }}", "error.html line 1: unknown filter: "),
        ("signed_out.html", "{{ brand.name|safe }}", "signed_out.html line 1: unknown filter: "),
        ("signed_out.html", "\n{% extends \"none.html\" %}", "signed_out.html line 2: template not found: "),
        ("account.html", "{% include \"part.html\" %}", "account.html line 1: "),
        ("base.html", "{% extends \"base.html\" %}", "base.html line 1: "),
        ("base.html", "\n{{ brand.nmae }}", "base.html line 2: undefined value"),
        (
            "sign_in.html",
            "{% extends \"base.html\" %}{% block main %}<h1>Soon</h1>{% endblock %}",
            "sign_in.html leaves out action=\"/login\"",
        ),
        ("account.html", "{% extends \"base.html\" %}", "account.html leaves out name=\"csrf_token\""),
    ] {
        let fault = fault(name, template);
        assert!(fault.starts_with(said), "{template:?}: {fault}");
    }
    let missing = load("pages.templates = '/nowhere'").expect_err("a directory that is not there").to_string();
    assert_eq!(missing, "/nowhere cannot be read");
    assert!(fault("error.html", &"x".repeat(262_145)).ends_with("is larger than 262144 bytes"));
    let directory = directory(&[("error.html", b"\xff")]);
    assert!(load(&format!("pages.templates = '{}'", directory.path().display())).is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_in_a_page_stops_the_start_and_the_check() {
    let directory = directory(&[("error.html", b"<p>\n{{ oops")]);
    let more = format!("pages.templates = '{}'", directory.path().display());
    let database = TestDatabase::migrated().await;
    let config = config_file(&database.url, &more);
    for arguments in [["config", "check"].as_slice(), &["serve"]] {
        let output = run(config.path(), arguments).await;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let said = complaint(&output);
        assert!(
            said.contains("configuration: pages: ") && said.contains("error.html line 2: syntax error: "),
            "{said}"
        );
    }
}

#[test]
fn a_fault_in_a_part_is_found_where_it_is() {
    let part = "<p>\n\n{{ missing }}";
    let directory = directory(&[("part.html", part.as_bytes()), ("signed_out.html", b"{% include \"part.html\" %}")]);
    let error = load(&format!("pages.templates = '{}'", directory.path().display())).expect_err(part).to_string();
    assert!(error.contains("part.html line 3: undefined value"), "{error}");
}
