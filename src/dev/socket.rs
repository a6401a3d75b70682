//! The directory of the server's Unix socket, and whether the server answers there.
//!
//! Whoever can reach the socket is the superuser (there is no password), so the directory's mode is the protection. It lies
//! outside the data directory because the address of a Unix socket is limited to 107 bytes.

use std::{
    env,
    fs::{self, DirBuilder, Permissions},
    io::{self, ErrorKind, Read, Write},
    os::unix::{
        fs::{DirBuilderExt, MetadataExt, PermissionsExt},
        net::UnixStream,
    },
    path::{Path, PathBuf},
    time::Duration,
};

use nix::unistd::geteuid;

use super::{
    account::Account,
    directory::short_hash,
    error::{EmbeddedPostgresError, failed_to},
};

/// Names the socket file only; nothing listens on a TCP port.
pub(super) const PORT: u16 = 5432;

const ANSWER_LIMIT: Duration = Duration::from_secs(1);

/// Where the socket of the server that works in `data` belongs: in the user's runtime directory, else in `/tmp`.
pub(super) fn directory_for(data: &Path, account: Option<Account>) -> PathBuf {
    // Another account cannot enter our runtime directory.
    let runtime = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|_| account.is_none());
    let base = runtime.filter(|base| is_suitable(base)).unwrap_or_else(|| PathBuf::from("/tmp"));
    base.join(format!("ephemint-{}-{}", geteuid(), short_hash(data)))
}

/// Short, ours, and without the characters that Postgres takes for a list.
fn is_suitable(base: &Path) -> bool {
    let plain = |text: &str| {
        text.len() <= 40
            && text.chars().all(|character| character.is_ascii_alphanumeric() || "/._-".contains(character))
    };
    base.is_absolute()
        && base.to_str().is_some_and(plain)
        && base.metadata().is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == geteuid().as_raw())
}

/// Makes the directory, or takes it over from an earlier run; refuses one that anybody else could have made or may enter.
pub(super) fn claim(path: &Path, account: Option<Account>) -> Result<(), EmbeddedPostgresError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => {
            fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(failed_to("set the mode of", path))?;
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => check(path, account)?,
        Err(error) => return Err(failed_to("create", path)(error)),
    }
    if let Some(account) = account {
        account.take_over(path).map_err(failed_to("change the owner of", path))?;
    }
    clear(path);
    Ok(())
}

fn check(path: &Path, account: Option<Account>) -> Result<(), EmbeddedPostgresError> {
    let metadata = path.symlink_metadata().map_err(failed_to("inspect", path))?;
    // Ours as well: an earlier run may have died before it gave the directory to the account.
    let owners = [Some(geteuid().as_raw()), account.map(Account::uid)];
    let fault = if !metadata.is_dir() {
        "it is not a directory"
    } else if !owners.contains(&Some(metadata.uid())) {
        "it belongs to another user"
    } else if metadata.mode() & 0o777 != 0o700 {
        "other users may enter it"
    } else {
        return Ok(());
    };
    Err(EmbeddedPostgresError::Untrusted { path: path.to_owned(), fault })
}

/// Deletes the socket and its lock file, which a killed server leaves behind.
fn clear(path: &Path) {
    for name in [format!(".s.PGSQL.{PORT}"), format!(".s.PGSQL.{PORT}.lock")] {
        // Usually absent; a file that stays makes the server say so itself.
        let _ = fs::remove_file(path.join(name));
    }
}

/// Deletes the directory of a server that has stopped.
pub(super) fn remove(path: &Path) {
    clear(path);
    // A leftover is checked and used again by the next start.
    let _ = fs::remove_dir(path);
}

/// Whether a startup packet is answered by an authentication message; a server that is still starting sends an error.
pub(super) fn answers(directory: &Path) -> bool {
    ask(directory).is_ok_and(|answer| answer == b'R')
}

fn ask(directory: &Path) -> io::Result<u8> {
    let mut stream = UnixStream::connect(directory.join(format!(".s.PGSQL.{PORT}")))?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    stream.set_write_timeout(Some(ANSWER_LIMIT))?;
    // PostgreSQL documentation, "Message Formats": StartupMessage of protocol 3.0, then Terminate.
    let parameters = b"user\0ephemint\0database\0postgres\0\0";
    let length = u32::try_from(parameters.len() + 8).map_err(io::Error::other)?;
    let mut packet = length.to_be_bytes().to_vec();
    packet.extend(196_608_u32.to_be_bytes());
    packet.extend(parameters);
    packet.extend(b"X\0\0\0\x04");
    stream.write_all(&packet)?;
    let mut first = [0];
    stream.read_exact(&mut first)?;
    // Let the server finish, so that it has no broken connection to log.
    let _ = stream.take(64 * 1024).read_to_end(&mut Vec::new());
    Ok(first[0])
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn refused(path: &Path) -> &'static str {
        match claim(path, None) {
            Err(EmbeddedPostgresError::Untrusted { fault, .. }) => fault,
            other => panic!("not refused: {other:?}"),
        }
    }

    #[test]
    fn a_socket_directory_of_somebody_else_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let mut foreign = PathBuf::from("/usr");
        if geteuid().is_root() {
            foreign = parent.path().join("foreign");
            DirBuilder::new().mode(0o700).create(&foreign).unwrap();
            std::os::unix::fs::chown(&foreign, Some(54_321), None).unwrap();
        }
        assert_eq!(refused(&foreign), "it belongs to another user");
    }

    #[test]
    fn a_socket_directory_that_others_may_enter_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        fs::set_permissions(parent.path(), Permissions::from_mode(0o711)).unwrap();
        assert_eq!(refused(parent.path()), "other users may enter it");
    }

    #[test]
    fn a_symbolic_link_in_place_of_the_socket_directory_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let link = parent.path().join("link");
        symlink(parent.path(), &link).unwrap();
        assert_eq!(refused(&link), "it is not a directory");
    }

    #[test]
    fn the_socket_address_stays_short_however_deep_the_data_lies() {
        let deep = PathBuf::from(format!("/{}", "deep/".repeat(100)));
        let socket = directory_for(&deep, None).join(".s.PGSQL.5432");
        assert!(socket.as_os_str().len() <= 103, "{}", socket.display());
    }
}
