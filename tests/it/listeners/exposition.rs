//! A strict reader of the Prometheus text format 0.0.4: what a lenient scraper would forgive is a fault here.

use std::collections::{BTreeMap, HashSet};

/// One metric with everything that is said of it.
#[derive(Debug)]
pub(super) struct Family {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) help: String,
    pub(super) samples: Vec<Sample>,
}

/// One line with a value.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) name: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) value: f64,
}

/// Every family of a text; or the first fault.
pub(super) fn parse(text: &str) -> Result<Vec<Family>, String> {
    if !text.ends_with('\n') || text.contains('\r') {
        return Err("lines end in a line feed, the last one too".to_owned());
    }
    let mut families: Vec<Family> = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let help = line.strip_prefix("# HELP ").ok_or_else(|| format!("a family begins with HELP: {line}"))?;
        let (name, help) = help.split_once(' ').ok_or_else(|| format!("no help text: {line}"))?;
        let kind = lines.next().and_then(|line| line.strip_prefix(&format!("# TYPE {name} ")).map(str::to_owned));
        let kind = kind.ok_or_else(|| format!("{name}: TYPE follows HELP"))?;
        let mut family = Family { name: name.to_owned(), kind, help: help.to_owned(), samples: Vec::new() };
        while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
            family.samples.push(sample(line)?);
        }
        if families.iter().any(|other| other.name == family.name) {
            return Err(format!("{name}: twice"));
        }
        check(&family).map_err(|fault| format!("{name}: {fault}"))?;
        families.push(family);
    }
    Ok(families)
}

fn sample(line: &str) -> Result<Sample, String> {
    let fault = |what: &str| format!("{what}: {line}");
    let end = line.find(['{', ' ']).ok_or_else(|| fault("no value"))?;
    let (name, mut rest) = line.split_at(end);
    if !is_name(name, true) {
        return Err(fault("not a metric name"));
    }
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, after) = rest.split_once("=\"").ok_or_else(|| fault("no label value"))?;
            if !is_name(label, false) {
                return Err(fault("not a label name"));
            }
            let (value, after) = quoted(after).ok_or_else(|| fault("a label value does not end"))?;
            if labels.insert(label.to_owned(), value).is_some() {
                return Err(fault("a label twice"));
            }
            if let Some(after) = after.strip_prefix('}') {
                rest = after;
                break;
            }
            rest = after.strip_prefix(',').ok_or_else(|| fault("no comma between labels"))?;
        }
    }
    let value = rest.strip_prefix(' ').ok_or_else(|| fault("no space before the value"))?;
    if value.contains(' ') {
        return Err(fault("more than a value"));
    }
    let value = value.parse().map_err(|_| fault("not a number"))?;
    Ok(Sample { name: name.to_owned(), labels, value })
}

/// The text of a label value up to its closing quote, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                escaped @ ('\\' | '"') => value.push(escaped),
                _ => return None,
            },
            character => value.push(character),
        }
    }
    None
}

fn is_name(text: &str, colon: bool) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || (colon && byte == b':');
    !text.is_empty() && !text.as_bytes()[0].is_ascii_digit() && text.bytes().all(allowed)
}

/// The rules that span the lines of one family.
fn check(family: &Family) -> Result<(), String> {
    if family.samples.is_empty() {
        return Err("no sample".to_owned());
    }
    let mut seen = HashSet::new();
    for sample in &family.samples {
        if !seen.insert((&sample.name, &sample.labels)) {
            return Err(format!("a series twice: {sample:?}"));
        }
    }
    match family.kind.as_str() {
        "counter" | "gauge" => {
            let foreign = |sample: &&Sample| sample.name != family.name || sample.labels.contains_key("le");
            if let Some(sample) = family.samples.iter().find(foreign) {
                return Err(format!("a sample of something else: {sample:?}"));
            }
            let sound = |sample: &Sample| sample.value.is_finite() && (family.kind == "gauge" || sample.value >= 0.0);
            if family.samples.iter().all(sound) { Ok(()) } else { Err("a value out of range".to_owned()) }
        }
        "histogram" => histograms(family),
        kind => Err(format!("unknown type {kind}")),
    }
}

/// Buckets, sums and counts by labels.
type Series = BTreeMap<BTreeMap<String, String>, [Vec<(f64, f64)>; 3]>;

fn histograms(family: &Family) -> Result<(), String> {
    let mut series: Series = BTreeMap::new();
    for sample in &family.samples {
        let mut labels = sample.labels.clone();
        let bound = labels.remove("le").map(|bound| if bound == "+Inf" { Ok(f64::INFINITY) } else { bound.parse() });
        let bound = bound.transpose().map_err(|_| format!("a bound that is no number: {sample:?}"))?;
        let part = match (sample.name.strip_prefix(family.name.as_str()), bound) {
            (Some("_bucket"), Some(_)) => 0,
            (Some("_sum"), None) => 1,
            (Some("_count"), None) => 2,
            _ => return Err(format!("not a part of a histogram: {sample:?}")),
        };
        series.entry(labels).or_default()[part].push((bound.unwrap_or_default(), sample.value));
    }
    for (labels, [buckets, sums, counts]) in series {
        let [(_, count)] = counts[..] else { return Err(format!("{labels:?}: one count is needed")) };
        if sums.len() != 1 || buckets.last() != Some(&(f64::INFINITY, count)) {
            return Err(format!("{labels:?}: one sum is needed, and a last bucket that holds all"));
        }
        if !buckets.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1) {
            return Err(format!("{labels:?}: buckets must grow"));
        }
    }
    Ok(())
}

#[test]
fn the_reader_refuses_what_a_lenient_one_forgives() {
    let head = "# HELP a_total Text.\n# TYPE a_total counter\n";
    assert_eq!(
        parse(&format!("{head}a_total{{l=\"x\\\"\\\\\\n\"}} 1\n")).unwrap()[0].samples[0].labels["l"],
        "x\"\\\n"
    );
    for broken in [
        "a_total 1",
        "a_total{l=\"x\"} 1\na_total{l=\"x\"} 2\n",
        "a_total{l=\"x\",l=\"y\"} 1\n",
        "a_total{l=\"x} 1\n",
        "a_total{l=x} 1\n",
        "a_total{1=\"x\"} 1\n",
        "a_total -1\n",
        "a_total NaN\n",
        "a_total one\n",
        "b_total 1\n",
        "a_total 1\n\n",
        "",
    ] {
        assert!(parse(&format!("{head}{broken}")).is_err(), "{broken}");
    }
    let head = "# HELP h Text.\n# TYPE h histogram\n";
    let whole = "h_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n";
    assert!(parse(&format!("{head}{whole}")).is_ok());
    for (from, to) in [("} 1", "} 3"), ("h_sum 3\n", ""), ("count 2", "count 3"), ("le=\"1\"", "le=\"x\"")] {
        assert!(parse(&format!("{head}{}", whole.replace(from, to))).is_err(), "{to}");
    }
}
