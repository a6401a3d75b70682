//! The system account that a child process runs as when we are root, because Postgres refuses to run as root.

use std::{
    io,
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
};

use nix::unistd::{Gid, Uid, User, geteuid};

/// A user and its primary group; supplementary groups are dropped with the change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    uid: Uid,
    gid: Gid,
}

impl Account {
    /// The account called `name`, or nothing when the system has none.
    ///
    /// # Errors
    /// When the user database cannot be read.
    pub fn named(name: &str) -> io::Result<Option<Self>> {
        Ok(User::from_name(name)?.map(|user| Self { uid: user.uid, gid: user.gid }))
    }

    /// The first of `postgres` and `nobody` when we are root; nothing when we are not, since then we stay ourselves.
    ///
    /// # Errors
    /// When we are root and the system has neither account.
    pub fn for_postgres() -> io::Result<Option<Self>> {
        if !geteuid().is_root() {
            return Ok(None);
        }
        for name in ["postgres", "nobody"] {
            if let Some(account) = Self::named(name)? {
                return Ok(Some(account));
            }
        }
        Err(io::Error::new(io::ErrorKind::NotFound, "neither the user postgres nor the user nobody exists"))
    }

    /// The numeric user id.
    #[must_use]
    pub fn uid(self) -> u32 {
        self.uid.as_raw()
    }

    /// Makes `command` run as this account; std clears the supplementary groups when root does this.
    pub(super) fn apply(self, command: &mut Command) {
        command.uid(self.uid.as_raw()).gid(self.gid.as_raw());
    }

    /// Gives a file or directory that we have just made to this account; never follows a symbolic link.
    pub(super) fn take_over(self, path: &Path) -> io::Result<()> {
        std::os::unix::fs::lchown(path, Some(self.uid.as_raw()), Some(self.gid.as_raw()))
    }

    /// Whether this account may pass through every directory down to `directory`, as the kernel sees it (ACLs included).
    pub(super) fn can_enter(self, directory: &Path) -> io::Result<bool> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", r#"cd -- "$1""#, "sh"]).arg(directory);
        command.env_clear().current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.apply(&mut command);
        Ok(command.status()?.success())
    }
}
