//! A TCP front of a unix socket that a test can cut, freeze or slow down, so that the database goes away and comes back.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, UnixStream},
    sync::watch,
};

use super::database::cluster;

/// A way to the run's Postgres over TCP.
pub(crate) struct DatabaseProxy {
    pub(crate) address: SocketAddr,
    conduct: watch::Sender<Conduct>,
    budget: Arc<AtomicI64>,
}

/// What a connection has carried that reads sessions for exchanges.
const READS: &[u8] = b"-- session/read_for_exchange:";

/// How the way behaves at the moment.
#[derive(Debug, Clone, Copy, Default)]
struct Conduct {
    refusing: bool,
    frozen: bool,
    delay: Duration,
    /// What the server says where sessions are read stays on its way.
    holding: bool,
    /// How often everything was cut.
    cuts: u64,
    /// Connections with a lower number are black holes for ever.
    stranded: u64,
    /// The number of the next connection.
    next: u64,
}

impl DatabaseProxy {
    /// A way that is open.
    pub(crate) async fn open() -> Self {
        let socket: PathBuf = cluster().await.socket_directory().join(".s.PGSQL.5432");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (conduct, conducts) = watch::channel(Conduct::default());
        let budget = Arc::new(AtomicI64::new(i64::MAX));
        let (numbers, left) = (conduct.clone(), Arc::clone(&budget));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let now = *conducts.borrow();
                if now.refusing {
                    continue;
                }
                let Ok(server) = UnixStream::connect(&socket).await else { continue };
                // Like Postgres itself: nothing waits for the other side's acknowledgement.
                client.set_nodelay(true).unwrap();
                let mut number = 0;
                numbers.send_modify(|conduct| {
                    number = conduct.next;
                    conduct.next += 1;
                });
                let mut cuts = conducts.clone();
                let reads = Arc::new(AtomicBool::new(false));
                let way = |down| Way { number, conduct: conducts.clone(), reads: Arc::clone(&reads), down };
                let (up, down) = (way(false), way(true));
                let left = Arc::clone(&left);
                tokio::spawn(async move {
                    let (from_client, to_client) = client.into_split();
                    let (from_server, to_server) = server.into_split();
                    let unlimited = AtomicI64::new(i64::MAX);
                    tokio::select! {
                        () = up.carry(from_client, to_server, &unlimited) => {}
                        () = down.carry(from_server, to_client, &left) => {}
                        _ = cuts.wait_for(|conduct| conduct.cuts != now.cuts) => {}
                    }
                });
            }
        });
        Self { address, conduct, budget }
    }

    /// The URL of a database through this proxy.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgresql://ephemint@{}/{database}?sslmode=disable", self.address)
    }

    /// Drops every connection and refuses new ones.
    pub(crate) fn close(&self) {
        self.conduct.send_modify(|conduct| {
            conduct.refusing = true;
            conduct.cuts += 1;
        });
    }

    /// Lets connections through again.
    pub(crate) fn reopen(&self) {
        self.conduct.send_modify(|conduct| conduct.refusing = false);
    }

    /// Holds every byte back, on new connections too, without closing anything.
    pub(crate) fn freeze(&self) {
        self.conduct.send_modify(|conduct| conduct.frozen = true);
    }

    /// Lets the bytes that were held back go on their way.
    pub(crate) fn thaw(&self) {
        self.conduct.send_modify(|conduct| conduct.frozen = false);
    }

    /// Turns the connections that exist into black holes for ever; new ones work.
    pub(crate) fn strand(&self) {
        self.conduct.send_modify(|conduct| conduct.stranded = conduct.next);
    }

    /// Delivers what the server says so much later.
    pub(crate) fn delay(&self, delay: Duration) {
        self.conduct.send_modify(|conduct| conduct.delay = delay);
    }

    /// Holds back what the server says on connections over which sessions have been read for exchanges, or lets it go.
    pub(crate) fn hold_readings(&self, holding: bool) {
        self.conduct.send_modify(|conduct| conduct.holding = holding);
    }

    /// Cuts a connection once the server has said that many more bytes; those after it are whole.
    pub(crate) fn cut_after(&self, bytes: i64) {
        self.budget.store(bytes, Ordering::SeqCst);
    }

    /// Whether the cut that was last asked for has happened.
    pub(crate) fn was_cut(&self) -> bool {
        self.budget.load(Ordering::SeqCst) == i64::MAX
    }
}

/// One direction of one connection.
struct Way {
    number: u64,
    conduct: watch::Receiver<Conduct>,
    reads: Arc<AtomicBool>,
    down: bool,
}

impl Way {
    /// Moves bytes until one side closes or the budget is used up.
    async fn carry(mut self, mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, budget: &AtomicI64) {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            if !self.down && buffer[..read].windows(READS.len()).any(|carried| carried == READS) {
                self.reads.store(true, Ordering::SeqCst);
            }
            let (number, reads) = (self.number, self.down && self.reads.load(Ordering::SeqCst));
            let open = |now: &Conduct| !now.frozen && number >= now.stranded && !(now.holding && reads);
            let Ok(conduct) = self.conduct.wait_for(open).await.map(|now| *now) else { return };
            if !conduct.delay.is_zero() {
                tokio::time::sleep(conduct.delay).await;
            }
            let (left, size) = (budget.load(Ordering::SeqCst), i64::try_from(read).unwrap());
            if left < size {
                budget.store(i64::MAX, Ordering::SeqCst);
                let _ = to.write_all(&buffer[..usize::try_from(left).unwrap()]).await;
                return;
            }
            if left != i64::MAX {
                budget.store(left - size, Ordering::SeqCst);
            }
            if to.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    }
}
