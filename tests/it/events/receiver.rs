//! A receiver of webhooks on a real socket, which behaves as a test tells it to.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpSocket},
    sync::Notify,
};
use tokio_rustls::TlsAcceptor;

use crate::support::database::eventually;

/// How the receiver answers.
#[derive(Debug, Clone)]
pub(super) enum Conduct {
    /// With this head, which ends the answer.
    Head(String),
    /// With this, again and again, for as long as anybody listens.
    Endless(&'static str, &'static str),
    /// With this head, once the test says so.
    Later(Arc<Notify>, String),
    /// Not at all; the connection stays open.
    Silent,
}

/// One message that has arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Arrived {
    pub(super) request_line: String,
    pub(super) headers: HashMap<String, String>,
    pub(super) body: String,
}

impl Arrived {
    pub(super) fn id(&self) -> &str {
        &self.headers["webhook-id"]
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// A receiver that listens, or has only its port as yet.
pub(super) struct HookReceiver {
    pub(super) address: SocketAddr,
    socket: Option<TcpSocket>,
    conduct: Arc<Mutex<Conduct>>,
    arrived: Arc<Mutex<Vec<Arrived>>>,
}

/// An answer with nothing but a status.
pub(super) fn status(status: u16) -> Conduct {
    Conduct::Head(format!("HTTP/1.1 {status} Told\r\ncontent-length: 0\r\n\r\n"))
}

/// An answer with a status and one header.
pub(super) fn with_header(status: u16, header: &str) -> Conduct {
    Conduct::Head(format!("HTTP/1.1 {status} Told\r\n{header}\r\ncontent-length: 0\r\n\r\n"))
}

impl HookReceiver {
    /// A port of its own at which every connection is refused.
    pub(super) fn refusing() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let address = socket.local_addr().unwrap();
        let conduct = Arc::new(Mutex::new(status(200)));
        Self { address, socket: Some(socket), conduct, arrived: Arc::default() }
    }

    /// One that takes whatever comes.
    pub(super) fn listening() -> Self {
        let mut receiver = Self::refusing();
        receiver.listen();
        receiver
    }

    /// One that speaks TLS.
    pub(super) fn secure(acceptor: TlsAcceptor) -> Self {
        let mut receiver = Self::refusing();
        receiver.serve(Some(acceptor));
        receiver
    }

    /// Opens the port.
    pub(super) fn listen(&mut self) {
        self.serve(None);
    }

    fn serve(&mut self, acceptor: Option<TlsAcceptor>) {
        let listener: TcpListener = self.socket.take().unwrap().listen(64).unwrap();
        let (conduct, arrived) = (Arc::clone(&self.conduct), Arc::clone(&self.arrived));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (conduct, arrived, acceptor) = (Arc::clone(&conduct), Arc::clone(&arrived), acceptor.clone());
                tokio::spawn(async move {
                    match acceptor {
                        None => drop(answer(stream, &conduct, &arrived).await),
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                drop(answer(stream, &conduct, &arrived).await);
                            }
                        }
                    }
                });
            }
        });
    }

    /// Answers like this from now on.
    pub(super) fn conduct(&self, conduct: Conduct) {
        *self.conduct.lock().unwrap() = conduct;
    }

    /// What has arrived so far.
    pub(super) fn arrived(&self) -> Vec<Arrived> {
        self.arrived.lock().unwrap().clone()
    }

    /// Waits until that many messages have arrived, and returns all.
    pub(super) async fn wait_for(&self, messages: usize) -> Vec<Arrived> {
        eventually("messages arrive", async || {
            let arrived = self.arrived();
            (arrived.len() >= messages).then_some(arrived)
        })
        .await
    }
}

/// Reads one request and answers it.
async fn answer(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    conduct: &Mutex<Conduct>,
    arrived: &Mutex<Vec<Arrived>>,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let header = |line: &String| {
        let (name, value) = line.split_once(':').unwrap();
        (name.to_ascii_lowercase(), value.trim().to_owned())
    };
    let headers: HashMap<_, _> = lines[1..].iter().map(header).collect();
    assert_eq!(headers.len(), lines.len() - 1, "no header is given twice");
    let mut body = vec![0; headers["content-length"].parse().unwrap()];
    stream.read_exact(&mut body).await?;
    let conduct = conduct.lock().unwrap().clone();
    let body = String::from_utf8(body).unwrap();
    arrived.lock().unwrap().push(Arrived { request_line: lines[0].clone(), headers, body });
    match conduct {
        Conduct::Head(head) => stream.write_all(head.as_bytes()).await?,
        Conduct::Endless(first, rest) => {
            stream.write_all(first.as_bytes()).await?;
            loop {
                stream.write_all(rest.as_bytes()).await?;
                stream.flush().await?;
                tokio::task::yield_now().await;
            }
        }
        Conduct::Later(now, head) => {
            now.notified().await;
            stream.write_all(head.as_bytes()).await?;
        }
        Conduct::Silent => {}
    }
    stream.flush().await?;
    // Open until the other side leaves.
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.map(drop)
}
