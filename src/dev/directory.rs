//! The directory that an embedded Postgres lives in: made, checked, moved where the server can reach it, and locked.
//!
//! The directory itself stays ours; only what the server must own inside it is given to its account.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io::{self, Read, Write as _},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    process,
};

use nix::{fcntl::OFlag, unistd::geteuid};

use super::{
    account::Account,
    error::{EmbeddedPostgresError, failed_to},
};
use crate::crypto::fingerprint;

/// Where a directory moves whose own place the server's account cannot reach.
pub(super) const RELOCATED: &str = "/var/lib/ephemint";

const LOCK_FILE: &str = "dev.lock";

/// A directory that is ours alone until this value is dropped or this process ends.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) path: PathBuf,
    pub(super) relocated: bool,
    _lock: File,
}

impl Directory {
    /// Makes and locks `requested`, or its stand-in below `elsewhere` when `account` cannot enter it.
    pub(super) fn claim(
        requested: &Path,
        account: Option<Account>,
        elsewhere: &Path,
    ) -> Result<Self, EmbeddedPostgresError> {
        let mut path = make(requested, account)?;
        let mut relocated = false;
        if let Some(account) = account
            && !account.can_enter(&path).map_err(failed_to("try to enter", &path))?
        {
            make(elsewhere, Some(account))?;
            path = make(&elsewhere.join(format!("dev-{}", short_hash(&path))), Some(account))?;
            relocated = true;
        }
        let lock = lock(&path)?;
        Ok(Self { path, relocated, _lock: lock })
    }

    /// Deletes the lock and, if nothing else is left in it, the directory; the lock is still held while this runs.
    pub(super) fn remove(&self) {
        // Leftovers are harmless, and the next start deals with them.
        let _ = fs::remove_file(self.path.join(LOCK_FILE));
        let _ = fs::remove_dir(&self.path);
    }
}

/// Sixteen hexadecimal digits that name a path, the same in every build.
pub(super) fn short_hash(path: &Path) -> String {
    fingerprint::short_hex(path.as_os_str().as_encoded_bytes())
}

/// Makes `path` if it is absent, refuses it if others could tamper with it, and returns its canonical form.
fn make(path: &Path, account: Option<Account>) -> Result<PathBuf, EmbeddedPostgresError> {
    if !path.exists() {
        // The account must pass through, but has nothing to list here.
        let mode = if account.is_some() { 0o711 } else { 0o700 };
        DirBuilder::new().recursive(true).mode(mode).create(path).map_err(failed_to("create", path))?;
        // Whatever the umask took away.
        fs::set_permissions(path, Permissions::from_mode(mode)).map_err(failed_to("set the mode of", path))?;
    }
    let path = path.canonicalize().map_err(failed_to("resolve", path))?;
    let metadata = path.metadata().map_err(failed_to("inspect", &path))?;
    let fault = if !metadata.is_dir() {
        "it is not a directory"
    } else if metadata.uid() != geteuid().as_raw() {
        "it belongs to another user"
    } else if metadata.mode() & 0o022 != 0 {
        "others may write to it"
    } else {
        return Ok(path);
    };
    Err(EmbeddedPostgresError::Untrusted { path, fault })
}

fn lock(directory: &Path) -> Result<File, EmbeddedPostgresError> {
    let path = directory.join(LOCK_FILE);
    loop {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(OFlag::O_NOFOLLOW.bits())
            .open(&path)
            .map_err(failed_to("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(EmbeddedPostgresError::AlreadyRunning {
                    directory: directory.to_owned(),
                    process: holder(&mut file),
                });
            }
            Err(TryLockError::Error(source)) => return Err(failed_to("lock", &path)(source)),
        }
        // A holder that has just gone may have deleted the file between our open and our lock.
        if is_still_at(&file, &path) {
            note_holder(&mut file).map_err(failed_to("write", &path))?;
            return Ok(file);
        }
    }
}

fn is_still_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), path.metadata()) {
        (Ok(held), Ok(named)) => (held.dev(), held.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

fn note_holder(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.write_all(format!("{}\n", process::id()).as_bytes())
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_held_once_and_free_again_afterwards() {
        let parent = tempfile::tempdir().unwrap();
        let place = parent.path().join("place");
        let held = Directory::claim(&place, None, parent.path()).unwrap();
        let error = Directory::claim(&place, None, parent.path()).unwrap_err();
        assert!(
            matches!(error, EmbeddedPostgresError::AlreadyRunning { process: Some(id), .. } if id == process::id()),
            "{error}"
        );
        drop(held);
        Directory::claim(&place, None, parent.path()).unwrap();
    }

    #[test]
    fn a_directory_that_every_user_may_write_to_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        fs::set_permissions(parent.path(), Permissions::from_mode(0o777)).unwrap();
        let error = Directory::claim(parent.path(), None, parent.path()).unwrap_err();
        assert!(matches!(error, EmbeddedPostgresError::Untrusted { .. }), "{error}");
    }

    #[test]
    fn a_directory_out_of_the_accounts_reach_is_replaced_by_one_within() {
        // Only root can try another account; everybody else is always within their own reach.
        let account = Account::for_postgres().unwrap();
        let parent = tempfile::tempdir().unwrap();
        let open = tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir().unwrap();
        let elsewhere = open.path().join("elsewhere");
        fs::set_permissions(parent.path(), Permissions::from_mode(0o700)).unwrap();
        let claimed = Directory::claim(&parent.path().join("place"), account, &elsewhere).unwrap();
        assert_eq!(claimed.relocated, account.is_some());
        assert_eq!(claimed.path.starts_with(elsewhere.canonicalize().unwrap_or(elsewhere)), account.is_some());
    }

    #[test]
    fn a_removed_directory_leaves_nothing_behind() {
        let parent = tempfile::tempdir().unwrap();
        let place = parent.path().join("place");
        let held = Directory::claim(&place, None, parent.path()).unwrap();
        held.remove();
        assert!(!place.exists());
    }
}
