//! The data directory: made whole or not at all, swept of leftovers, and freed of servers that an earlier run left behind.
//!
//! Everything here runs while the lock of the directory around it is held.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{self, Command},
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{
    account::Account,
    binaries::Binaries,
    error::{EmbeddedPostgresError, failed_to},
    poll,
    postgres::Durability,
    supervisor::{Program, Supervised, describe, last_lines, log_end},
};

/// The kept data.
const DURABLE: &str = "data";
/// Data of one run; the name is never used twice, so a late clean-up cannot hit a later run.
const THROW_AWAY_PREFIX: &str = "throwaway-";
/// Data that initdb has not finished.
const UNFINISHED_PREFIX: &str = "initdb-";

const INITDB_LIMIT: Duration = Duration::from_mins(2);
const FAST_SHUTDOWN_LIMIT: Duration = Duration::from_secs(10);
const IMMEDIATE_SHUTDOWN_LIMIT: Duration = Duration::from_secs(5);
const SWEEP_LIMIT: Duration = Duration::from_secs(5);

/// Where the data of this run lies below `directory`.
pub(super) fn data_directory(directory: &Path, durability: Durability) -> PathBuf {
    match durability {
        Durability::Durable => directory.join(DURABLE),
        Durability::ThrowAway => directory.join(format!("{THROW_AWAY_PREFIX}{}", process::id())),
    }
}

/// The major version that wrote `data`, or nothing when there is no data yet.
pub(super) fn major_of(data: &Path) -> Result<Option<u32>, EmbeddedPostgresError> {
    let file = data.join("PG_VERSION");
    match fs::read_to_string(&file) {
        Ok(text) => {
            let major = text.trim().parse().map_err(io::Error::other).map_err(failed_to("understand", &file))?;
            Ok(Some(major))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed_to("read", &file)(error)),
    }
}

/// Stops servers that earlier runs left behind, then deletes unfinished and throw-away data.
pub(super) fn sweep(directory: &Path) -> Result<(), EmbeddedPostgresError> {
    stop_orphan(&directory.join(DURABLE))?;
    for entry in fs::read_dir(directory).map_err(failed_to("list", directory))? {
        let entry = entry.map_err(failed_to("list", directory))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(THROW_AWAY_PREFIX) || name.starts_with(UNFINISHED_PREFIX) {
            stop_orphan(&entry.path())?;
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Deletes a data directory, again and again if a dying process still writes to it.
pub(super) fn remove(data: &Path) -> Result<(), EmbeddedPostgresError> {
    let mut last = None;
    let done = poll(SWEEP_LIMIT, || match fs::remove_dir_all(data) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            last = Some(error);
            Ok::<_, EmbeddedPostgresError>(None)
        }
        _ => Ok(Some(())),
    })?;
    match (done, last) {
        (None, Some(error)) => Err(failed_to("delete", data)(error)),
        _ => Ok(()),
    }
}

/// Runs initdb beside `data` and renames the result, so that `data` is complete whenever it exists.
pub(super) fn initialise(
    binaries: &Binaries,
    data: &Path,
    account: Option<Account>,
    durability: Durability,
    log: &Path,
) -> Result<(), EmbeddedPostgresError> {
    let unfinished = data.with_file_name(format!("{UNFINISHED_PREFIX}{}", process::id()));
    DirBuilder::new().mode(0o700).create(&unfinished).map_err(failed_to("create", &unfinished))?;
    fs::set_permissions(&unfinished, fs::Permissions::from_mode(0o700))
        .map_err(failed_to("set the mode of", &unfinished))?;
    if let Some(account) = account {
        account.take_over(&unfinished).map_err(failed_to("change the owner of", &unfinished))?;
    }
    let mut program = Program::new(binaries.directory.join("initdb"))
        .arguments(["-U", "ephemint", "-E", "UTF8", "--locale=C", "--auth-local=trust", "--auth-host=reject"])
        .arguments(["--no-instructions", "-D"])
        .arguments([&unfinished]);
    if durability == Durability::ThrowAway {
        program = program.arguments(["--no-sync"]);
    }
    program.account = account;
    program.remove_after = vec![unfinished.clone()];
    let before = log_end(log);
    let mut initdb = Supervised::spawn(&program, log).map_err(failed_to("run", &program.executable))?;
    let ended =
        poll(INITDB_LIMIT, || initdb.try_wait()).map_err(failed_to("wait for the end of", &program.executable))?;
    if !ended.is_some_and(|status| status.success()) {
        let ended = ended.map_or_else(|| "a time-out".to_owned(), describe);
        drop(initdb);
        let failure = EmbeddedPostgresError::Initdb { ended, log: last_lines(log, before) };
        remove(&unfinished)?;
        return Err(failure);
    }
    fs::rename(&unfinished, data).map_err(failed_to("name the new data directory", data))?;
    if let (Durability::Durable, Some(parent)) = (durability, data.parent()) {
        File::open(parent).and_then(|parent| parent.sync_all()).map_err(failed_to("sync", parent))?;
    }
    Ok(())
}

/// Stops a server that still runs in `data`; removes a pid file that names some other process.
fn stop_orphan(data: &Path) -> Result<(), EmbeddedPostgresError> {
    let pid_file = data.join("postmaster.pid");
    let Some(process) = noted_process(&pid_file) else { return Ok(()) };
    let pid = Pid::from_raw(process);
    for (signal, patience) in [(Signal::SIGINT, FAST_SHUTDOWN_LIMIT), (Signal::SIGQUIT, IMMEDIATE_SHUTDOWN_LIMIT)] {
        if !is_server_in(process, data) {
            break;
        }
        // It may end by itself in between, and then there is nobody to signal.
        let _ = kill(pid, signal);
        poll(patience, || Ok::<_, EmbeddedPostgresError>((!is_server_in(process, data)).then_some(())))?;
    }
    if is_server_in(process, data) {
        return Err(EmbeddedPostgresError::Orphan { process, data: data.to_owned() });
    }
    // Postgres deals with the file of a dead process itself. It would take a live one, or a zombie, for its predecessor.
    if kill(pid, None) != Err(Errno::ESRCH) {
        match fs::remove_file(&pid_file) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed_to("delete", &pid_file)(error)),
            _ => {}
        }
    }
    Ok(())
}

/// The process id on the first line of a pid file; ids that `kill` would take for a group are never returned.
fn noted_process(pid_file: &Path) -> Option<i32> {
    fs::read_to_string(pid_file).ok()?.lines().next()?.trim().parse().ok().filter(|process| *process > 1)
}

/// Whether `process` is a server that works in `data`, by its command line or its working directory.
fn is_server_in(process: i32, data: &Path) -> bool {
    let line = command_line(process);
    let runs_postgres = line.split(' ').next().is_some_and(|program| program.ends_with("postgres"));
    let works_here = || fs::read_link(format!("/proc/{process}/cwd")).is_ok_and(|directory| directory == data);
    line.contains(&format!("postgres -D {} ", data.display())) || (runs_postgres && works_here())
}

/// The words of a process's command line, each followed by a space; empty for a zombie or none.
fn command_line(process: i32) -> String {
    let bytes = if Path::new("/proc/self").exists() {
        fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default()
    } else {
        let output = Command::new("/bin/ps").args(["-ww", "-o", "command=", "-p", &process.to_string()]).output();
        output.map(|output| output.stdout).unwrap_or_default()
    };
    String::from_utf8_lossy(&bytes).replace(['\0', '\n'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_made_and_throw_away_data_is_swept_and_kept_data_is_not() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["initdb-17", "throwaway-18", "data"] {
            fs::create_dir_all(directory.path().join(name).join("base")).unwrap();
        }
        sweep(directory.path()).unwrap();
        let left: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["data"]);
    }

    #[test]
    fn a_pid_file_that_names_a_stranger_is_removed_and_the_stranger_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        fs::create_dir(&data).unwrap();
        let pid_file = data.join("postmaster.pid");
        // This test itself is the stranger: a signal would end it.
        fs::write(&pid_file, format!("{}\n{}\n", process::id(), data.display())).unwrap();
        sweep(directory.path()).unwrap();
        assert!(!pid_file.exists());
    }

    #[test]
    fn process_ids_that_mean_a_group_are_never_signalled() {
        let directory = tempfile::tempdir().unwrap();
        let pid_file = directory.path().join("postmaster.pid");
        for text in ["0\n", "-1\n", "1\n", "x\n", ""] {
            fs::write(&pid_file, text).unwrap();
            assert_eq!(noted_process(&pid_file), None, "{text:?}");
        }
    }
}
