//! A TCP front of a unix socket that a test can cut, so that the database goes away and comes back.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, UnixStream},
    sync::watch,
};

use super::database::cluster;

/// A way to the run's Postgres over TCP.
pub(crate) struct DatabaseProxy {
    pub(crate) address: SocketAddr,
    cut: watch::Sender<u64>,
    refusing: Arc<AtomicBool>,
}

impl DatabaseProxy {
    /// A way that is open.
    pub(crate) async fn open() -> Self {
        let socket: PathBuf = cluster().await.socket_directory().join(".s.PGSQL.5432");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (cut, cuts) = watch::channel(0);
        let refusing = Arc::new(AtomicBool::new(false));
        let refuses = Arc::clone(&refusing);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                if refuses.load(Ordering::SeqCst) {
                    continue;
                }
                let Ok(mut server) = UnixStream::connect(&socket).await else { continue };
                let mut cuts = cuts.clone();
                cuts.mark_unchanged();
                tokio::spawn(async move {
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => {}
                        _ = cuts.changed() => {}
                    }
                });
            }
        });
        Self { address, cut, refusing }
    }

    /// The URL of a database through this proxy.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgresql://ephemint@{}/{database}?sslmode=disable", self.address)
    }

    /// Drops every connection and refuses new ones.
    pub(crate) fn close(&self) {
        self.refusing.store(true, Ordering::SeqCst);
        self.cut.send_modify(|cuts| *cuts += 1);
    }

    /// Lets connections through again.
    pub(crate) fn reopen(&self) {
        self.refusing.store(false, Ordering::SeqCst);
    }
}
