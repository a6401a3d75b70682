//! The promises of [`super::connection`] and [`super::server`], held against raw bytes on real sockets.
//!
//! A deadline is proven by waiting for the server to hang up. Where one deadline is tested the others are long, so that
//! only it can be the cause.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use actix_server::ServerHandle;
use actix_web::{App, HttpResponse, web};
use futures_util::stream;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{
    drain::Drain,
    server::{ConnectionLimits, bind, start},
};
use crate::clock::{Clock, SystemClock};

const HEAD: Duration = Duration::from_millis(150);
const LONG: Duration = Duration::from_mins(1);
const PATIENCE: Duration = Duration::from_secs(10);

const LIMITS: ConnectionLimits = ConnectionLimits {
    head_timeout: HEAD,
    keep_alive: LONG,
    write_timeout: LONG,
    max_connections: 100,
    workers: 1,
    shutdown_timeout: PATIENCE,
};

/// What a test and its handlers tell each other.
#[derive(Default)]
struct Signals {
    entered: Notify,
    proceed: Notify,
    body_dropped: Notify,
}

struct NotifyOnDrop(Arc<Signals>);

impl Drop for NotifyOnDrop {
    fn drop(&mut self) {
        self.0.body_dropped.notify_one();
    }
}

struct Harness {
    address: SocketAddr,
    drain: Drain,
    signals: Arc<Signals>,
    handle: ServerHandle,
    running: JoinHandle<std::io::Result<()>>,
}

impl Harness {
    fn start(limits: ConnectionLimits) -> Self {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let drain = Drain::new();
        let signals = Arc::new(Signals::default());
        let data = web::Data::from(Arc::clone(&signals));
        let server = start(listener, "test", limits, drain.clone(), move || {
            App::new()
                .app_data(data.clone())
                .route("/fast", web::to(|| async { "ok" }))
                .route("/echo/{n}", web::to(|n: web::Path<String>| async { n.into_inner() }))
                .route("/length", web::post().to(|body: web::Bytes| async move { body.len().to_string() }))
                .route("/slow", web::to(slow))
                .route("/drip", web::to(drip))
                .route("/gate", web::to(gate))
                .route("/endless", web::to(endless))
        })
        .unwrap();
        Self { address, drain, signals, handle: server.handle(), running: tokio::spawn(server) }
    }

    async fn connect(&self) -> Client {
        Client { socket: TcpStream::connect(self.address).await.unwrap() }
    }
}

async fn slow() -> &'static str {
    sleep(HEAD * 3).await;
    "late"
}

async fn drip() -> HttpResponse {
    let drops = stream::unfold(0, |n| async move {
        sleep(HEAD).await;
        (n < 3).then(|| (Ok::<_, actix_web::Error>(web::Bytes::from_static(b"x")), n + 1))
    });
    HttpResponse::Ok().streaming(drops)
}

async fn gate(signals: web::Data<Signals>) -> &'static str {
    signals.entered.notify_one();
    signals.proceed.notified().await;
    "through"
}

async fn endless(signals: web::Data<Signals>) -> HttpResponse {
    let chunks = stream::unfold(NotifyOnDrop(signals.into_inner()), |guard| async move {
        Some((Ok::<_, actix_web::Error>(web::Bytes::from_static(&[b'x'; 16_384])), guard))
    });
    HttpResponse::Ok().streaming(chunks)
}

struct Client {
    socket: TcpStream,
}

impl Client {
    async fn send(&mut self, bytes: &str) {
        self.socket.write_all(bytes.as_bytes()).await.unwrap();
    }

    async fn get(&mut self, path: &str) {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n")).await;
    }

    /// The head, in lower case, and the body of the next answer that names its length.
    async fn answer(&mut self) -> (String, String) {
        timeout(PATIENCE, async {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(self.socket.read_u8().await.expect("an answer's head"));
            }
            let head = String::from_utf8(head).unwrap().to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
            let mut body = vec![0; length.parse().unwrap()];
            self.socket.read_exact(&mut body).await.unwrap();
            (head, String::from_utf8(body).unwrap())
        })
        .await
        .expect("an answer in time")
    }

    /// Everything until the server hangs up.
    async fn until_closed(&mut self) -> String {
        let mut bytes = Vec::new();
        // A reset is a hang-up too: the server had bytes left that it did not want.
        let _ = timeout(PATIENCE, self.socket.read_to_end(&mut bytes)).await.expect("the server hangs up");
        String::from_utf8(bytes).unwrap()
    }

    async fn is_open_after(&mut self, wait: Duration) -> bool {
        timeout(wait, self.socket.read_u8()).await.is_err()
    }
}

#[tokio::test]
async fn a_slow_first_head_is_closed() {
    let harness = Harness::start(LIMITS);
    let mut silent = harness.connect().await;
    let mut partial = harness.connect().await;
    partial.send("GET /fast HTTP/1.1\r\nhost:").await;
    assert_eq!(silent.until_closed().await, "");
    assert!(partial.until_closed().await.starts_with("HTTP/1.1 408 "));
}

#[tokio::test]
async fn a_slow_second_head_is_closed() {
    let harness = Harness::start(LIMITS);
    let mut client = harness.connect().await;
    client.get("/fast").await;
    client.answer().await;
    let clock = SystemClock::new();
    client.send("GET /fast HTTP/1.1\r\n").await;
    let answer = client.until_closed().await;
    let waited = clock.monotonic();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(waited >= HEAD, "{waited:?}");
}

#[tokio::test]
async fn a_trickled_head_gains_no_time_by_each_byte() {
    let harness = Harness::start(LIMITS);
    let mut client = harness.connect().await;
    client.get("/fast").await;
    client.answer().await;
    let (mut reader, mut writer) = client.socket.split();
    let trickle = async {
        while writer.write_all(b"G").await.is_ok() {
            sleep(HEAD / 5).await;
        }
    };
    let mut rest = Vec::new();
    timeout(PATIENCE, async {
        tokio::select! { _ = reader.read_to_end(&mut rest) => (), () = trickle => () }
    })
    .await
    .expect("the server hangs up");
}

#[tokio::test]
async fn a_handler_may_take_longer_than_head_and_keep_alive() {
    let harness = Harness::start(ConnectionLimits { keep_alive: HEAD, ..LIMITS });
    let mut client = harness.connect().await;
    client.get("/slow").await;
    assert_eq!(client.answer().await.1, "late");
}

#[tokio::test]
async fn an_answer_may_take_longer_than_head_and_keep_alive() {
    let harness = Harness::start(ConnectionLimits { keep_alive: HEAD, ..LIMITS });
    let mut client = harness.connect().await;
    client.get("/drip").await;
    let answer = client.until_closed().await;
    assert!(answer.ends_with("\r\n0\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn a_body_may_take_longer_than_a_head() {
    let harness = Harness::start(LIMITS);
    let mut client = harness.connect().await;
    client.send("POST /length HTTP/1.1\r\nhost: test\r\ncontent-length: 6\r\n\r\n").await;
    for _ in 0..6 {
        sleep(HEAD / 2).await;
        client.send("x").await;
    }
    assert_eq!(client.answer().await.1, "6");
    assert!(client.is_open_after(HEAD * 2).await, "a body's bytes are not the next head's");
}

#[tokio::test]
async fn an_idle_connection_outlives_the_head_timeout_but_not_the_keep_alive() {
    let keep_alive = Duration::from_secs(1);
    let harness = Harness::start(ConnectionLimits { keep_alive, ..LIMITS });
    let mut client = harness.connect().await;
    client.get("/fast").await;
    client.answer().await;
    sleep(HEAD * 3).await;
    let clock = SystemClock::new();
    client.get("/fast").await;
    client.answer().await;
    assert_eq!(client.until_closed().await, "");
    let waited = clock.monotonic();
    assert!(waited >= keep_alive, "{waited:?}");
}

#[actix_web::test]
async fn a_server_runs_in_an_actix_system_too() {
    let harness = Harness::start(LIMITS);
    let mut client = harness.connect().await;
    client.get("/slow").await;
    assert_eq!(client.answer().await.1, "late");
    client.send("GET").await;
    client.until_closed().await;
    harness.handle.stop(true).await;
    harness.running.await.unwrap().unwrap();
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let harness = Harness::start(LIMITS);
    let mut client = harness.connect().await;
    let requests =
        (0..20).map(|n| format!("GET /echo/{n} HTTP/1.1\r\nhost: test\r\n\r\n")).collect::<Vec<_>>().concat();
    client.send(&requests).await;
    for n in 0..20 {
        assert_eq!(client.answer().await.1, n.to_string());
    }
    assert!(client.is_open_after(HEAD * 2).await);
}

#[tokio::test]
async fn a_partial_pipelined_head_counts_as_idle() {
    let harness = Harness::start(ConnectionLimits { keep_alive: HEAD, ..LIMITS });
    let mut client = harness.connect().await;
    client.send("GET /fast HTTP/1.1\r\nhost: test\r\n\r\nGET /fa").await;
    assert_eq!(client.answer().await.1, "ok");
    client.until_closed().await;
}

#[tokio::test]
async fn a_partial_pipelined_head_is_closed_in_time_once_it_goes_on() {
    let harness = Harness::start(LIMITS);
    let mut client = harness.connect().await;
    client.send("GET /slow HTTP/1.1\r\nhost: test\r\n\r\n").await;
    client.send("GET /fa").await;
    assert_eq!(client.answer().await.1, "late");
    client.send("st").await;
    assert!(client.until_closed().await.starts_with("HTTP/1.1 408 "));
}

#[tokio::test]
async fn a_chunked_body_that_nobody_reads_cannot_hold_the_connection() {
    let harness = Harness::start(LIMITS);
    let mut client = harness.connect().await;
    client.send("POST /fast HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n").await;
    assert_eq!(client.answer().await.1, "ok");
    client.send("1\r\nx\r\n").await;
    client.until_closed().await;
}

#[tokio::test]
async fn a_request_for_an_upgrade_is_answered_and_closed() {
    let harness = Harness::start(LIMITS);
    for request in [
        "GET /fast HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        "GET /fast HTTP/1.1\r\nhost: test\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\n\r\n",
        "CONNECT test:443 HTTP/1.1\r\nhost: test:443\r\n\r\n",
    ] {
        let mut client = harness.connect().await;
        client.send(request).await;
        let (head, _) = client.answer().await;
        assert!(head.contains("\r\nconnection: close\r\n"), "{head}");
        client.until_closed().await;
    }
}

#[tokio::test]
async fn a_client_that_takes_no_bytes_is_cut_off() {
    let harness = Harness::start(ConnectionLimits { write_timeout: HEAD, ..LIMITS });
    let mut client = harness.connect().await;
    client.get("/endless").await;
    timeout(PATIENCE, harness.signals.body_dropped.notified()).await.expect("the answer is given up");
    client.until_closed().await;
}

#[tokio::test]
async fn connections_over_the_cap_wait_for_a_free_place() {
    let harness = Harness::start(ConnectionLimits { max_connections: 2, ..LIMITS });
    let mut first = harness.connect().await;
    let mut second = harness.connect().await;
    for client in [&mut first, &mut second] {
        client.get("/fast").await;
        client.answer().await;
    }
    let mut third = harness.connect().await;
    third.get("/fast").await;
    assert!(third.is_open_after(HEAD * 2).await, "answered over the cap");
    drop(first);
    assert_eq!(third.answer().await.1, "ok");
}

#[tokio::test]
async fn draining_asks_to_close_and_a_stop_lets_requests_finish() {
    let harness = Harness::start(LIMITS);
    let mut busy = harness.connect().await;
    let mut reused = harness.connect().await;
    let mut idle = harness.connect().await;
    for client in [&mut reused, &mut idle] {
        client.get("/fast").await;
        let (head, _) = client.answer().await;
        assert!(!head.contains("connection: close"), "{head}");
    }
    busy.get("/gate").await;
    harness.signals.entered.notified().await;

    harness.drain.begin();
    reused.get("/fast").await;
    let (head, _) = reused.answer().await;
    assert!(head.contains("\r\nconnection: close\r\n"), "{head}");
    reused.until_closed().await;
    assert!(idle.is_open_after(HEAD).await, "an idle connection is closed while draining");

    let stopped = harness.handle.stop(true);
    assert_eq!(idle.until_closed().await, "");
    harness.signals.proceed.notify_one();
    let (head, body) = busy.answer().await;
    assert_eq!(body, "through");
    assert!(head.contains("\r\nconnection: close\r\n"), "{head}");
    timeout(PATIENCE, stopped).await.expect("the server stops");
    harness.running.await.unwrap().unwrap();
}
