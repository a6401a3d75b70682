//! A site of somebody else: one page with forms that write to ours.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};

/// A running site; dropping it ends it.
pub(crate) struct Elsewhere {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Elsewhere {
    /// A page with a form for each of these: the URL that it posts to, and its fields. Its button has the id `form-N`.
    pub(crate) async fn open(forms: &[(String, Vec<(&str, &str)>)]) -> Self {
        let mut page = String::from("<!doctype html><title>Elsewhere</title>");
        for (number, (url, fields)) in forms.iter().enumerate() {
            page += &format!("<form method=post action='{url}'>");
            for (name, value) in fields {
                page += &format!("<input type=hidden name='{name}' value='{value}'>");
            }
            page += &format!("<button id=form-{number}>Win a prize</button></form>");
        }
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{page}",
            page.len()
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let answer = answer.clone();
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        let Ok(byte) = stream.read_u8().await else { return };
                        head.push(byte);
                    }
                    // A browser that has gone on meanwhile does not matter.
                    let _ = stream.write_all(answer.as_bytes()).await;
                });
            }
        });
        Self { address, serving }
    }

    /// Its page under another origin of the same site: ports do not part sites.
    pub(crate) fn same_site(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Its page under another site.
    pub(crate) fn cross_site(&self) -> String {
        format!("http://localhost:{}/", self.address.port())
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
