//! `ephemint serve`: the service, until a signal ends it.

use std::{path::Path, sync::Arc};

use tokio::signal::unix::{SignalKind, signal};

use super::{CommandError, block_on, load};
use crate::{
    app::{Application, StartError},
    clock::SystemClock,
    telemetry::error_chain::ErrorChain,
};

pub(super) fn run(file: Option<&Path>) -> Result<(), CommandError> {
    let config = load(file)?;
    block_on(async {
        // Listened for from the first moment: the first process of a container has no default action for SIGTERM, and a start
        // may wait for a minute until others have migrated.
        let mut stop = std::pin::pin!(stop_signal().map_err(|error| CommandError::Failed(error.into()))?);
        let built = tokio::select! {
            built = Application::build(&config, Arc::new(SystemClock::new())) => built,
            () = &mut stop => return Ok(()),
        };
        let application = built.map_err(|error| match error {
            StartError::Services(error) => CommandError::from(error),
            StartError::Pages(error) => CommandError::Usage(format!("configuration: pages: {}", ErrorChain(&error))),
            error => CommandError::Failed(error.into()),
        })?;
        application.run(stop).await.map_err(|error| CommandError::Failed(error.into()))
    })?
}

/// Ready at the first SIGTERM or SIGINT. A second one ends the process at once.
///
/// # Errors
/// When the signals cannot be listened for.
pub(super) fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::warn!("second signal: stopping at once");
            std::process::exit(1);
        });
    })
}
