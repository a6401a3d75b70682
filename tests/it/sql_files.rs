//! The house rules for SQL: every statement is listed and says its name, time is a parameter, and history stays as it is.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    slice::from_ref,
};

use aws_lc_rs::digest::{SHA256, digest};
use ephemint::storage::queries;

use crate::tree::{Source, file, files};

const MIGRATIONS: &str = "sql/migrations/";
const SUMS: &str = "sql/migrations/SHA256SUMS";

/// The name of the statement in a file: `sql/session/list.sql` holds `session/list`.
fn statement(path: &str) -> Option<&str> {
    let name = path.strip_prefix("sql/")?.strip_suffix(".sql")?;
    (name.contains('/') && !path.starts_with(MIGRATIONS)).then_some(name)
}

/// What is wrong with the text of an SQL file.
fn faults(source: &Source) -> Vec<String> {
    let mut faults = Vec::new();
    if let Some(name) = statement(&source.path) {
        let heading = source.text.lines().next().unwrap_or_default();
        let purpose = heading.strip_prefix(&format!("-- {name}: "));
        if !purpose.is_some_and(|purpose| purpose.ends_with(['.', '?'])) {
            faults.push(format!("line 1 is not `-- {name}: <purpose>.`"));
        }
    }
    let code = code(&source.text);
    let words: Vec<_> = code.split_whitespace().collect();
    let flat = words.join(" ");
    if ["select *", "distinct *", "returning *", ".*", ", *"].iter().any(|star| flat.contains(star)) {
        faults.push("asks for `*` instead of naming its columns".to_owned());
    }
    // What measures by the database's clock, and decides nothing by it.
    let measures = source.path == "sql/migrations/V7__revocation_log.sql"
        || matches!(statement(&source.path), Some("schema/ping" | "revocation/poll"));
    for clock in [
        "now",
        "clock_timestamp",
        "statement_timestamp",
        "transaction_timestamp",
        "timeofday",
        "current_timestamp",
        "current_date",
        "current_time",
        "localtimestamp",
        "localtime",
    ] {
        let asked = flat.split(|next: char| !next.is_alphanumeric() && next != '_').any(|word| word == clock);
        if asked && !(measures && clock == "clock_timestamp") {
            faults.push(format!("asks the database for the time ({clock}); an instant is a parameter"));
        }
    }
    faults.into_iter().map(|fault| format!("{}: {fault}", source.path)).collect()
}

/// SQL in lower case without line comments and without what stands in single quotes.
fn code(text: &str) -> String {
    let (mut code, mut quoted, mut comment) = (String::new(), false, false);
    for (at, next) in text.char_indices() {
        comment = (comment && next != '\n') || (!quoted && text[at..].starts_with("--"));
        quoted ^= !comment && next == '\'';
        if !comment && !quoted {
            code.push(next.to_ascii_lowercase());
        }
    }
    code
}

/// Columns, as `table.column`, that the migrations make, and those that they comment on.
fn columns(code: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut made, mut commented) = (BTreeSet::new(), BTreeSet::new());
    for statement in code.split(';').map(str::trim) {
        let words: Vec<_> = statement
            .split(|next: char| next.is_whitespace() || "(),".contains(next))
            .filter(|word| !word.is_empty())
            .collect();
        match words.as_slice() {
            ["comment", "on", "column", column, ..] => {
                commented.insert((*column).to_owned());
            }
            ["create", kinds @ ..]
                if kinds.iter().take(2).any(|kind| *kind == "table") && !kinds.contains(&"partition") =>
            {
                let table = statement.split('(').next().and_then(|head| head.split_whitespace().last()).unwrap();
                made.extend(definitions(statement).into_iter().map(|column| format!("{table}.{column}")));
            }
            ["alter", "table", rest @ ..] => {
                let table = rest.iter().find(|word| !["if", "exists", "only"].contains(word)).unwrap();
                for at in (0..rest.len()).filter(|&at| rest[at] == "add" && rest.get(at + 1) == Some(&"column")) {
                    let column = rest[at + 2..].iter().find(|word| !["if", "not", "exists"].contains(word)).unwrap();
                    made.insert(format!("{table}.{column}"));
                }
            }
            _ => {}
        }
    }
    (made, commented)
}

/// The columns in the first brackets of a `CREATE TABLE`.
fn definitions(statement: &str) -> Vec<&str> {
    let Some((_, body)) = statement.split_once('(') else { return Vec::new() };
    let mut depth = 1;
    let end = body.find(|next| {
        depth += i32::from(next == '(') - i32::from(next == ')');
        depth == 0
    });
    let mut depth = 0;
    let parts = body[..end.unwrap_or(body.len())].split(move |next| {
        depth += i32::from(next == '(') - i32::from(next == ')');
        next == ',' && depth == 0
    });
    let constraints = ["constraint", "primary", "unique", "check", "foreign", "exclude", "like"];
    parts.filter_map(|part| part.split_whitespace().next()).filter(|word| !constraints.contains(word)).collect()
}

/// The number of a migration: `V12__name.sql` is 12.
fn number(path: &str) -> Option<usize> {
    path.strip_prefix(MIGRATIONS)?.strip_prefix('V')?.split_once("__")?.0.parse().ok()
}

/// What is wrong with the numbers of `migrations`.
fn misnumbered(migrations: &[Source]) -> Vec<String> {
    let mut numbers: Vec<_> = migrations.iter().map(|source| (number(&source.path), source.path.as_str())).collect();
    numbers.sort_unstable();
    let expected = (1..).map(Some);
    numbers
        .iter()
        .zip(expected)
        .filter(|((found, _), wanted)| found != wanted)
        .map(|((_, path), _)| (*path).to_owned())
        .collect()
}

/// Where `migrations` and the list of their sums disagree.
fn unsummed(migrations: &[Source], sums: &str) -> Vec<String> {
    let mut listed: BTreeMap<_, _> =
        sums.lines().filter_map(|line| line.split_once("  ")).map(|(sum, name)| (name, sum)).collect();
    let mut faults = Vec::new();
    for source in migrations {
        let name = source.path.trim_start_matches(MIGRATIONS);
        let sum = digest(&SHA256, source.text.as_bytes()).as_ref().iter().fold(String::new(), |mut sum, byte| {
            write!(sum, "{byte:02x}").unwrap();
            sum
        });
        match listed.remove(name) {
            Some(landed) if landed == sum => {}
            Some(_) => faults.push(format!("{name} has landed and must not change: write a new migration")),
            None => faults.push(format!("{SUMS} lacks the line `{sum}  {name}`")),
        }
    }
    faults.extend(listed.keys().map(|name| format!("{name} has landed and must not go")));
    faults
}

#[test]
fn every_sql_file_keeps_the_house_rules() {
    let faults: Vec<_> = files("sql", ".sql").iter().flat_map(faults).collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn the_listed_statements_are_the_files() {
    let sources = files("sql", ".sql");
    let of_files: Vec<_> = sources.iter().filter_map(|source| statement(&source.path)).collect();
    let listed: Vec<_> = queries::ALL.iter().map(|query| query.name).collect();
    assert_eq!(listed, of_files);
}

#[test]
fn migrations_count_from_one_and_stay_as_they_landed() {
    let migrations = files(MIGRATIONS, ".sql");
    assert_eq!(misnumbered(&migrations), Vec::<String>::new());
    assert_eq!(unsummed(&migrations, &file(SUMS).text), Vec::<String>::new());
}

#[test]
fn every_column_is_explained_in_the_schema() {
    let history: String = files(MIGRATIONS, ".sql").iter().map(|source| code(&source.text)).collect();
    let (made, commented) = columns(&history);
    assert!(made.contains("session.token_digest") && made.len() > 30, "{made:?}");
    assert_eq!(made.difference(&commented).collect::<Vec<_>>(), Vec::<&String>::new(), "lack a comment");
}

fn source(path: &str, text: &str) -> Source {
    Source { path: path.to_owned(), text: text.to_owned() }
}

#[test]
fn a_statement_that_breaks_a_rule_is_found() {
    let count = |path: &str, text: &str| faults(&source(path, text)).len();
    assert_eq!(
        count("sql/client/list.sql", "-- client/list: it's all, never now().\nSELECT 'now', count(*) -- it's now()\n"),
        0
    );
    assert_eq!(count("sql/client/list.sql", "-- client/lists: all.\nSELECT 1\n"), 1);
    assert_eq!(count("sql/client/list.sql", "-- client/list: all\nSELECT 1\n"), 1);
    assert_eq!(count("sql/client/list.sql", "-- client/list: all.\nSELECT\n  * FROM client\n"), 1);
    assert_eq!(count("sql/client/list.sql", "-- client/list: all.\nSELECT c.* FROM client AS c\n"), 1);
    assert_eq!(count("sql/client/list.sql", "-- client/list: all.\nSELECT a WHERE b < NOW()\n"), 1);
    assert_eq!(count("sql/client/list.sql", "-- client/list: all.\nSELECT clock_timestamp()\n"), 1);
    assert_eq!(count("sql/migrations/V1__a.sql", "CREATE TABLE a (b timestamptz DEFAULT now());\n"), 1);
}

#[test]
fn a_migration_that_breaks_a_rule_is_found() {
    let [first, second] = ["sql/migrations/V1__a.sql", "sql/migrations/V2__b.sql"].map(|path| source(path, "abc"));
    let other = source("sql/migrations/V1__a.sql", "abd");
    let odd = source("sql/migrations/b.sql", "abc");
    assert_eq!(misnumbered(&[first.clone(), second.clone()]), Vec::<String>::new());
    assert_eq!(misnumbered(from_ref(&second)), ["sql/migrations/V2__b.sql"]);
    assert_eq!(misnumbered(&[first.clone(), odd]).len(), 2);
    // FIPS 180-2, appendix B.1.
    let sums = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  V1__a.sql\n";
    assert_eq!(unsummed(from_ref(&first), sums), Vec::<String>::new());
    assert_eq!(unsummed(&[other], sums), ["V1__a.sql has landed and must not change: write a new migration"]);
    assert_eq!(unsummed(&[], sums), ["V1__a.sql has landed and must not go"]);
    assert_eq!(unsummed(&[first, second], sums).len(), 1);
}

#[test]
fn columns_are_read_from_tables_and_their_changes() {
    let history = "CREATE TABLE IF NOT EXISTS a (\n b numeric(4, 2) CHECK (b IN (1, 2)),\n c text,\n CONSTRAINT d UNIQUE (b, c)\n) WITH (fillfactor = 80);
        CREATE UNLOGGED TABLE e (f int); CREATE TABLE a_1 PARTITION OF a FOR VALUES FROM (1) TO (2); CREATE INDEX g ON a (b);
        ALTER TABLE a ADD COLUMN IF NOT EXISTS h text, ADD COLUMN i text; ALTER TABLE a DROP COLUMN c;
        COMMENT ON COLUMN a.b IS 'One; and ''two''.';";
    let (made, commented) = columns(&code(history));
    assert_eq!(made.iter().map(String::as_str).collect::<Vec<_>>(), ["a.b", "a.c", "a.h", "a.i", "e.f"]);
    assert_eq!(commented.iter().map(String::as_str).collect::<Vec<_>>(), ["a.b"]);
}
