//! Where the programs of an installed PostgreSQL are; nothing is ever downloaded.

use std::{
    env,
    ffi::OsStr,
    fmt::Write as _,
    fs,
    path::{self, Path, PathBuf},
    process::{Command, Stdio},
};

/// The environment variable that names the directory of `initdb` and `postgres`.
pub const BINARIES_VARIABLE: &str = "EPHEMINT_POSTGRES_BIN";

/// The oldest major version that is accepted.
pub const OLDEST_MAJOR: u32 = 14;

/// Directories whose entries are named by version: parent, and what stands before the version.
const VERSIONED: [(&str, &str); 5] = [
    ("/usr/lib/postgresql", ""),
    ("/usr", "pgsql-"),
    ("/opt/homebrew/opt", "postgresql@"),
    ("/usr/local/opt", "postgresql@"),
    ("/Applications/Postgres.app/Contents/Versions", ""),
];

/// Why there are no server programs to use.
#[derive(Debug, thiserror::Error)]
pub enum BinariesError {
    /// A directory was named, and it will not do.
    #[error("{}, named for the PostgreSQL programs, {fault}", directory.display())]
    Unusable {
        /// The directory that was named.
        directory: PathBuf,
        /// What is wrong with it.
        fault: String,
    },
    /// None of the usual places has them.
    #[error(
        "no PostgreSQL {OLDEST_MAJOR} or newer found: install it (Debian: apt-get install postgresql) or set \
         {BINARIES_VARIABLE} to the directory of initdb and postgres; looked in {}", looked_in.join(", ")
    )]
    NotFound {
        /// Every place that was tried, with the reason when something was there.
        looked_in: Vec<String>,
    },
}

/// One installation's programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    /// Holds `initdb` and `postgres`.
    pub directory: PathBuf,
    /// As the server prints it, such as `15.18`.
    pub version: String,
    /// The part of the version that decides about the data format.
    pub major: u32,
}

impl Binaries {
    /// Finds programs: in `named`, else where `EPHEMINT_POSTGRES_BIN` says, else in the usual places.
    ///
    /// Among the usual places, the first of major version `preferred` wins, else the first that is new enough. A place
    /// that was named is never passed over in favour of another.
    ///
    /// # Errors
    /// [`BinariesError`], with every place that was tried.
    pub fn find(named: Option<&Path>, preferred: Option<u32>) -> Result<Self, BinariesError> {
        let from_environment = env::var_os(BINARIES_VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
        if let Some(directory) = named.map(Path::to_owned).or(from_environment) {
            return Self::inspect(&directory).map_err(|fault| BinariesError::Unusable { directory, fault });
        }
        Self::first_of(usual_places(env::var_os("PATH").as_deref()), preferred)
    }

    fn first_of(places: Vec<PathBuf>, preferred: Option<u32>) -> Result<Self, BinariesError> {
        let mut looked_in = vec![format!("{BINARIES_VARIABLE} (not set)")];
        let mut first = None;
        for place in places {
            match Self::inspect(&place) {
                Ok(binaries) if preferred.is_none_or(|major| binaries.major == major) => return Ok(binaries),
                Ok(binaries) => first = first.or(Some(binaries)),
                Err(fault) => {
                    let mut entry = place.display().to_string();
                    // A place without the programs needs no reason.
                    if place.join("postgres").exists() {
                        let _ = write!(entry, " ({fault})");
                    }
                    looked_in.push(entry);
                }
            }
        }
        looked_in.push("/usr/lib/postgresql/*/bin, /usr/pgsql-*/bin, Homebrew, Postgres.app".to_owned());
        first.ok_or(BinariesError::NotFound { looked_in })
    }

    fn inspect(directory: &Path) -> Result<Self, String> {
        for program in ["initdb", "postgres"] {
            if !directory.join(program).is_file() {
                return Err(format!("has no {program}"));
            }
        }
        let answer = answer_of(&directory.join("postgres"), "--version").ok_or("has a postgres that does not run")?;
        let (version, major) = parse_version(&answer).ok_or("has a postgres of unknown version")?;
        if major < OLDEST_MAJOR {
            return Err(format!("holds PostgreSQL {version}; {OLDEST_MAJOR} or newer is needed"));
        }
        let directory = path::absolute(directory).map_err(|error| format!("cannot be resolved: {error}"))?;
        Ok(Self { directory, version, major })
    }
}

fn usual_places(search_path: Option<&OsStr>) -> Vec<PathBuf> {
    let on_path: Vec<PathBuf> =
        search_path.into_iter().flat_map(env::split_paths).filter(|directory| directory.is_absolute()).collect();
    let configured = on_path
        .iter()
        .map(|directory| directory.join("pg_config"))
        .find(|program| program.is_file())
        .and_then(|program| answer_of(&program, "--bindir"))
        .map(|answer| PathBuf::from(answer.trim()));
    let versioned = VERSIONED.iter().flat_map(|(parent, prefix)| newest_first(Path::new(parent), prefix));
    let mut places: Vec<PathBuf> = Vec::new();
    for place in on_path.into_iter().chain(configured).chain(versioned) {
        if !places.contains(&place) {
            places.push(place);
        }
    }
    places
}

/// `<parent>/<prefix><version>/bin` for every version there is, the newest first.
fn newest_first(parent: &Path, prefix: &str) -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let major = entry.file_name().to_str()?.strip_prefix(prefix)?.split('.').next()?.parse().ok()?;
            Some((major, entry.path().join("bin")))
        })
        .collect();
    found.sort_unstable_by(|left, right| right.cmp(left));
    found.into_iter().map(|(_, path)| path).collect()
}

fn answer_of(program: &Path, argument: &str) -> Option<String> {
    let mut command = Command::new(program);
    command.arg(argument).env_clear().env("LC_ALL", "C").stdin(Stdio::null()).stderr(Stdio::null());
    let output = command.output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()
}

/// Reads `postgres (PostgreSQL) 15.18 (Debian …)`; development versions look like `19devel`.
fn parse_version(answer: &str) -> Option<(String, u32)> {
    let version = answer.split("(PostgreSQL)").nth(1)?.split_whitespace().next()?;
    let digits = version.find(|character: char| !character.is_ascii_digit()).unwrap_or(version.len());
    Some((version.to_owned(), version[..digits].parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fake(parent: &Path, name: &str, version: &str) -> PathBuf {
        let directory = parent.join(name).join("bin");
        fs::create_dir_all(&directory).unwrap();
        for program in ["initdb", "postgres"] {
            // Written by another process: while a parallel test forks, a file that we have open cannot be executed.
            let script = format!("echo '{program} (PostgreSQL) {version}'");
            let write = r#"printf '#!/bin/sh\n%s\n' "$2" > "$1" && chmod 755 "$1""#;
            let file = directory.join(program);
            let written = Command::new("/bin/sh").args(["-c", write, "sh"]).arg(file).arg(script).status().unwrap();
            assert!(written.success());
        }
        directory
    }

    #[test]
    fn versions_are_read_as_the_server_prints_them() {
        let parsed = |answer| parse_version(answer).map(|(version, major)| format!("{version}/{major}"));
        assert_eq!(parsed("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n").as_deref(), Some("15.18/15"));
        assert_eq!(parsed("postgres (PostgreSQL) 19devel\n").as_deref(), Some("19devel/19"));
        assert_eq!(parsed("postgres (PostgreSQL) beta\n"), None);
        assert_eq!(parsed("busybox\n"), None);
    }

    #[test]
    fn missing_programs_are_reported_with_the_remedy_and_every_place() {
        let error = Binaries::first_of(vec!["/nowhere/bin".into()], None).unwrap_err().to_string();
        for part in ["apt-get install postgresql", BINARIES_VARIABLE, "/nowhere/bin", "/usr/lib/postgresql"] {
            assert!(error.contains(part), "{part} is not in {error}");
        }
    }

    #[test]
    fn a_named_directory_is_never_passed_over() {
        let error = Binaries::find(Some(Path::new("/nowhere/bin")), None).unwrap_err().to_string();
        assert_eq!(error, "/nowhere/bin, named for the PostgreSQL programs, has no initdb");
    }

    #[test]
    fn the_newest_is_taken_unless_the_data_needs_another() {
        let parent = tempfile::tempdir().unwrap();
        for version in ["9.6", "14.3", "16.2"] {
            fake(parent.path(), version.split('.').next().unwrap(), version);
        }
        let places = newest_first(parent.path(), "");
        assert_eq!(Binaries::first_of(places.clone(), None).unwrap().version, "16.2");
        assert_eq!(Binaries::first_of(places.clone(), Some(14)).unwrap().version, "14.3");
        assert_eq!(Binaries::first_of(places, Some(15)).unwrap().version, "16.2");
    }

    #[test]
    fn a_server_that_is_too_old_is_refused_with_its_version() {
        let parent = tempfile::tempdir().unwrap();
        let old = fake(parent.path(), "13", "13.9");
        assert!(Binaries::find(Some(&old), None).unwrap_err().to_string().contains("13.9"));
        assert!(Binaries::first_of(vec![old], None).unwrap_err().to_string().contains("13.9"));
    }
}
