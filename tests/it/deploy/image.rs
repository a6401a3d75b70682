//! What the `Dockerfile` must say so that the image is the program that is tested here.

use std::collections::BTreeSet;

use crate::{
    deploy::{root, texts, yaml},
    tree::file,
};

/// The instructions of the Dockerfile, each on one line, without comments.
fn instructions() -> Vec<String> {
    let text = file("Dockerfile").text.replace("\\\n", " ");
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

fn arguments(keyword: &str) -> Vec<String> {
    instructions().iter().filter_map(|line| line.strip_prefix(&format!("{keyword} ")).map(str::to_owned)).collect()
}

#[test]
fn the_builder_is_the_toolchain_of_the_checkout_and_the_last_stage_has_an_exact_name() {
    let toolchain = file("rust-toolchain.toml").text;
    let channel = toolchain.lines().find_map(|line| line.strip_prefix("channel = ")).unwrap().trim_matches('"');
    let stages = arguments("FROM");
    assert_eq!(stages[0], format!("rust:{channel}-slim-bookworm AS build"));
    let (name, digest) = stages[1].split_once("@sha256:").expect("a digest: distroless has no version tags");
    assert_eq!(name, "gcr.io/distroless/cc-debian12:nonroot");
    assert!(digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()), "{digest}");
    assert_eq!(stages.len(), 2);
}

#[test]
fn dependencies_are_locked_and_have_a_layer_of_their_own() {
    let instructions = instructions();
    let at = |wanted: &str| instructions.iter().position(|line| line.contains(wanted)).expect(wanted);
    assert!(at("COPY Cargo.toml Cargo.lock") < at("cargo build --release --locked"));
    assert!(at("cargo clean --release --locked --package ephemint") < at("COPY src src"));
    for line in instructions.iter().filter(|line| line.contains("cargo ")) {
        assert_eq!(line.matches("cargo ").count(), line.matches("--locked").count(), "{line}");
    }
}

#[test]
fn it_runs_without_rights_and_stops_like_the_service() {
    for (keyword, wanted) in [
        ("USER", "65532:65532"),
        ("STOPSIGNAL", "SIGTERM"),
        ("EXPOSE", "8080 8081 9090"),
        ("ENTRYPOINT", "[\"/usr/local/bin/ephemint\"]"),
        ("CMD", "[\"serve\"]"),
    ] {
        assert_eq!(arguments(keyword), [wanted]);
    }
    assert!(arguments("HEALTHCHECK")[0].ends_with("CMD [\"/usr/local/bin/ephemint\", \"healthcheck\"]"));
    let labels = arguments("LABEL").concat();
    for label in [
        format!("org.opencontainers.image.version=\"{}\"", env!("CARGO_PKG_VERSION")),
        format!("org.opencontainers.image.description=\"{}\"", env!("CARGO_PKG_DESCRIPTION")),
        "org.opencontainers.image.revision=\"$EPHEMINT_COMMIT\"".to_owned(),
        "org.opencontainers.image.licenses=\"Apache-2.0\"".to_owned(),
    ] {
        assert!(labels.contains(&label), "{label} is not in {labels}");
    }
    let compose = yaml("docker-compose.yml");
    assert_eq!(compose["services"]["ephemint-1"]["user"], "65532:65532");
    assert_eq!(
        texts(&compose["services"]["ephemint-1"]["healthcheck"]["test"])[1..],
        ["/usr/local/bin/ephemint", "healthcheck"]
    );
}

#[test]
fn the_context_is_what_is_copied_and_holds_all_that_the_program_includes() {
    let ignored = file(".dockerignore").text;
    let mut listed = ignored.lines().filter(|line| !line.starts_with('#'));
    assert_eq!(listed.next(), Some("*"));
    let sent: BTreeSet<&str> = listed.map(|line| line.strip_prefix('!').unwrap()).collect();
    let lines = arguments("COPY");
    let copied = lines.iter().filter(|line| !line.starts_with("--from")).flat_map(|line| {
        let mut names: Vec<&str> = line.split(' ').collect();
        names.pop();
        names
    });
    assert_eq!(copied.collect::<BTreeSet<_>>(), sent);
    assert!(sent.iter().all(|name| root(name).exists()));
    // A file that some source includes from outside of `src` must be sent as well.
    for source in crate::tree::files("src", ".rs") {
        for included in source.text.split("include_str!(\"../").skip(1) {
            let path = included.split('"').next().unwrap().trim_start_matches("../");
            let inside = root("src").join(path).exists() || sent.contains(path.split('/').next().unwrap());
            let beside = root(&source.path).parent().unwrap().parent().unwrap().join(path).exists();
            assert!(inside || beside, "{} includes {path}", source.path);
        }
    }
}
