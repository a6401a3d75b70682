//! Tells a service manager how far the service is, where one asks for it: the protocol of `sd_notify(3)`.

use std::{env, os::unix::net::UnixDatagram, path::Path};

use crate::telemetry::error_chain::ErrorChain;

/// What there is to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// Requests are answered.
    Ready,
    /// The way out has begun.
    Stopping,
}

impl Progress {
    fn message(self) -> &'static [u8] {
        match self {
            Self::Ready => b"READY=1",
            Self::Stopping => b"STOPPING=1",
        }
    }
}

/// Tells the manager that `NOTIFY_SOCKET` names. It is told nothing else, so a manager that cannot be told only waits longer.
pub(super) fn tell(progress: Progress) {
    let Some(socket) = env::var_os("NOTIFY_SOCKET") else { return };
    if let Err(error) = send(Path::new(&socket), progress) {
        tracing::warn!(error = %ErrorChain(&error), "the service manager was not told: {progress:?}");
    }
}

fn send(socket: &Path, progress: Progress) -> std::io::Result<()> {
    UnixDatagram::unbound()?.send_to(progress.message(), socket).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manager_hears_it_in_its_own_words() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        for (progress, words) in [(Progress::Ready, "READY=1"), (Progress::Stopping, "STOPPING=1")] {
            send(&path, progress).unwrap();
            let mut heard = [0; 32];
            let length = manager.recv(&mut heard).unwrap();
            assert_eq!(&heard[..length], words.as_bytes());
        }
    }

    #[test]
    fn nobody_there_is_an_error_and_no_more() {
        assert!(send(Path::new("/nonexistent/notify"), Progress::Ready).is_err());
    }
}
