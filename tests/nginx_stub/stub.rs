//! An HTTP/1.1 server that records what it is asked, byte for byte, and answers whatever a test wants, badly too.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
};

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Which of the stub's connections it came on, from 0.
    pub(crate) connection: usize,
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// The value of a header that occurs once; nothing when it is absent.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(found, _)| found.eq_ignore_ascii_case(name));
        let value = found.next().map(|(_, value)| value.as_str());
        assert_eq!(found.next(), None, "{name} occurs twice");
        value
    }
}

/// What a stub does with a request.
pub(crate) enum Reply {
    /// Sends these bytes and waits for the next request.
    Send(Vec<u8>),
    /// Sends these bytes, then everything back that it receives.
    SendThenEcho(Vec<u8>),
    /// Closes the connection without a word.
    Close,
    /// Says nothing until the other side gives up.
    Silence,
}

/// An answer with a body of known length.
pub(crate) fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Reply {
    let mut text = format!("HTTP/1.1 {status} Stub\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        text.extend([name, ": ", value, "\r\n"]);
    }
    text.extend(["\r\n", body]);
    Reply::Send(text.into_bytes())
}

type Behaviour = dyn Fn(&Request) -> Reply + Send + Sync;

/// A running stub; dropping it ends it.
pub(crate) struct Stub {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Request>>>,
    ended: Arc<AtomicBool>,
}

impl Stub {
    pub(crate) fn start(behaviour: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let behaviour: Arc<Behaviour> = Arc::new(behaviour);
        let seen = Arc::<Mutex<Vec<Request>>>::default();
        let ended = Arc::<AtomicBool>::default();
        let stub = Self { address, seen: Arc::clone(&seen), ended: Arc::clone(&ended) };
        thread::spawn(move || {
            for (connection, stream) in listener.incoming().enumerate() {
                if ended.load(SeqCst) {
                    return;
                }
                let (behaviour, seen) = (Arc::clone(&behaviour), Arc::clone(&seen));
                // A peer that goes away in the middle is part of the game.
                thread::spawn(move || serve(stream?, connection, &*behaviour, &seen));
            }
        });
        stub
    }

    /// Everything that was asked so far.
    pub(crate) fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    /// The one request that was asked.
    pub(crate) fn seen_once(&self) -> Request {
        let seen = self.seen();
        assert_eq!(seen.len(), 1, "{seen:#?}");
        seen[0].clone()
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.ended.store(true, SeqCst);
        // Wakes the accepting thread.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(
    stream: TcpStream,
    connection: usize,
    behaviour: &Behaviour,
    seen: &Mutex<Vec<Request>>,
) -> std::io::Result<()> {
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    while let Some(request) = read_request(&mut reader, connection)? {
        let reply = behaviour(&request);
        seen.lock().unwrap().push(request);
        match reply {
            Reply::Send(bytes) => writer.write_all(&bytes)?,
            Reply::SendThenEcho(bytes) => {
                writer.write_all(&bytes)?;
                std::io::copy(&mut reader, &mut writer)?;
                return Ok(());
            }
            Reply::Close => return Ok(()),
            Reply::Silence => {
                std::io::copy(&mut reader, &mut std::io::sink())?;
                return Ok(());
            }
        }
    }
    Ok(())
}

/// A whole request with its body; nothing at the end of the connection.
fn read_request(reader: &mut BufReader<TcpStream>, connection: usize) -> std::io::Result<Option<Request>> {
    let first = read_line(reader)?;
    let mut words = first.split(' ').map(str::to_owned);
    let (Some(method), Some(target), Some(version)) = (words.next(), words.next(), words.next()) else {
        return Ok(None);
    };
    assert_eq!(version, "HTTP/1.1", "keep-alive needs it");
    let headers = read_headers(reader)?;
    let mut request = Request { connection, method, target, headers, body: Vec::new() };
    if request.header("transfer-encoding").is_some() {
        loop {
            let size = usize::from_str_radix(&read_line(reader)?, 16).expect("a chunk size");
            let start = request.body.len();
            request.body.resize(start + size, 0);
            reader.read_exact(&mut request.body[start..])?;
            read_line(reader)?;
            if size == 0 {
                break;
            }
        }
    } else if let Some(length) = request.header("content-length") {
        request.body = vec![0; length.parse().expect("a length")];
        reader.read_exact(&mut request.body)?;
    }
    Ok(Some(request))
}

/// Header lines up to the empty line.
pub(crate) fn read_headers(reader: &mut impl BufRead) -> std::io::Result<Vec<(String, String)>> {
    let mut headers = Vec::new();
    loop {
        let line = read_line(reader)?;
        match line.split_once(':') {
            Some((name, value)) => headers.push((name.to_owned(), value.trim().to_owned())),
            None => return Ok(headers),
        }
    }
}

/// One line without its end; empty at the end of the connection.
pub(crate) fn read_line(reader: &mut impl BufRead) -> std::io::Result<String> {
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line)?;
    Ok(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned())
}
