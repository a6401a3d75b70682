//! The directory of `ephemint dev`, and the secrets that are made in it once.

use std::{
    fs::{self, DirBuilder, OpenOptions, Permissions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::random;

/// Why the directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    /// It, or something in it, cannot be read or written.
    #[error("{} cannot be used", path.display())]
    Io {
        /// What.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No random bytes for a secret.
    #[error("no secret could be made")]
    Random(#[from] random::RandomFailed),
}

/// Where everything is kept. A temporary one is deleted when dropped.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    temporary: bool,
}

impl Directory {
    /// A directory that stays; made if it is not there.
    ///
    /// # Errors
    /// [`EnvironmentError::Io`].
    pub fn kept(path: &Path) -> Result<Self, EnvironmentError> {
        // The database's account must be able to pass through; what is secret in it has its own permissions.
        let made = DirBuilder::new().recursive(true).mode(0o755).create(path);
        let path = made.and_then(|()| path.canonicalize()).map_err(io_error(path))?;
        Ok(Self { path, temporary: false })
    }

    /// A new directory that goes with the program.
    ///
    /// # Errors
    /// [`EnvironmentError`].
    pub fn temporary() -> Result<Self, EnvironmentError> {
        let suffix = u64::from_be_bytes(random::bytes()?);
        let path = std::env::temp_dir().join(format!("ephemint-dev-{suffix:016x}"));
        DirBuilder::new().mode(0o755).create(&path).map_err(io_error(&path))?;
        Ok(Self { path, temporary: true })
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if self.temporary {
            // What cannot be deleted stays in the system's temporary directory.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// What must stay the same from one start to the next.
pub struct Secrets {
    master_key: String,
}

impl Secrets {
    /// Reads the secrets of a directory, or makes them at the first start.
    ///
    /// # Errors
    /// [`EnvironmentError`].
    pub fn read_or_make(directory: &Path) -> Result<Self, EnvironmentError> {
        let file = directory.join("master.key");
        match fs::read_to_string(&file) {
            Ok(text) => Ok(Self { master_key: text.trim().to_owned() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let master_key = STANDARD.encode(random::bytes::<32>()?);
                write_secret(&file, &master_key)?;
                Ok(Self { master_key })
            }
            Err(error) => Err(io_error(&file)(error)),
        }
    }

    /// The master key, as the setting takes it.
    #[must_use]
    pub fn master_key(&self) -> &str {
        &self.master_key
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Secrets(…)")
    }
}

/// Writes a secret that only its owner can read; whole or not at all.
///
/// # Errors
/// [`EnvironmentError::Io`].
pub fn write_secret(file: &Path, secret: &str) -> Result<(), EnvironmentError> {
    let partial = file.with_extension("partial");
    let write = || {
        let mut opened = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
        opened.set_permissions(Permissions::from_mode(0o600))?;
        writeln!(opened, "{secret}")?;
        opened.sync_all()?;
        fs::rename(&partial, file)
    };
    write().map_err(io_error(file))
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> EnvironmentError + use<> {
    let path = path.to_owned();
    move |source| EnvironmentError::Io { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_made_once_and_only_their_owner_reads_them() {
        let directory = Directory::temporary().unwrap();
        let made = Secrets::read_or_make(directory.path()).unwrap().master_key().to_owned();
        assert_eq!(Secrets::read_or_make(directory.path()).unwrap().master_key(), made);
        let permissions = fs::metadata(directory.path().join("master.key")).unwrap().permissions();
        assert_eq!(permissions.mode() & 0o777, 0o600);
    }

    #[test]
    fn a_temporary_directory_goes_when_it_is_dropped() {
        let directory = Directory::temporary().unwrap();
        let path = directory.path().to_owned();
        assert!(path.is_dir());
        drop(directory);
        assert!(!path.exists());
    }
}
