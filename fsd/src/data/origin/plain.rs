//! Plain: GETs over sockets of our own, whose bodies are read straight into the memory that they are served from.
//!
//! Only without encryption and without a proxy; everything else is the client's.

mod connect;
mod framing;
mod head;
mod idle;
mod stream;

pub(super) use stream::Stream;

use std::{env, fmt::Write as _, io, sync::Arc, time::Duration};

use bytes::{Buf, BytesMut};
use reqwest::{Method, Request, StatusCode, Url, header};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use framing::Framing;
use head::Head;
use idle::{Host, Idle};

use super::exchange::{Connection, Flow, Got, USER_AGENT};

/// A head is not longer.
const LONGEST_HEAD: usize = 64 << 10;
/// Bytes of a head, and with luck of its body, that are read at once.
const FIRST_READ: usize = 16 << 10;

/// Where the environment names a proxy, the client knows when to use it.
const PROXIES: [&str; 4] = ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"];

/// Why there is no answer.
pub(super) enum Failure {
    /// No connection within its limit.
    Late,
    /// The connection broke before the first byte of an answer.
    Unanswered(io::Error),
    Broken(String),
}

pub(super) struct Plain {
    connect: Duration,
    proxied: bool,
    idle: Arc<Idle>,
}

impl Plain {
    pub(super) fn new(connect: Duration) -> Self {
        let proxied = PROXIES.into_iter().any(|name| env::var_os(name).is_some_and(|value| !value.is_empty()));
        Self { connect, proxied, idle: Arc::default() }
    }

    pub(super) fn serves(&self, request: &Request) -> bool {
        !self.proxied && request.method() == Method::GET && request.url().scheme() == "http"
    }

    /// Asks over a kept connection, or a new one.
    pub(super) async fn send(&self, request: &Request, connection: Connection) -> Result<Got, Failure> {
        let (host, text) = (host(request.url()), written(request));
        if connection == Connection::New {
            self.idle.forget(&host);
        }
        while let Some(socket) = self.idle.take(&host) {
            // It may have been closed while it was kept: nothing was answered, so asking again is the same.
            match self.ask(socket, &text, &host).await {
                Err(Failure::Unanswered(_)) => {}
                asked => return asked,
            }
        }
        let made = tokio::time::timeout(self.connect, connect::to(&host)).await.map_err(|_| Failure::Late)?;
        self.ask(made.map_err(Failure::Unanswered)?, &text, &host).await
    }

    async fn ask(&self, mut socket: TcpStream, text: &[u8], host: &Host) -> Result<Got, Failure> {
        socket.write_all(text).await.map_err(Failure::Unanswered)?;
        let mut read = BytesMut::with_capacity(FIRST_READ);
        let head = loop {
            match head::parse(&read).map_err(Failure::Broken)? {
                // Something comes before the answer.
                Some((head, length)) if head.status.is_informational() => {
                    read.advance(length);
                    continue;
                }
                Some((head, length)) => {
                    read.advance(length);
                    break head;
                }
                None if read.len() >= LONGEST_HEAD => return Err(Failure::Broken("an endless head".to_owned())),
                None => {}
            }
            match socket.read_buf(&mut read).await {
                Ok(0) if read.is_empty() => return Err(Failure::Unanswered(io::ErrorKind::ConnectionReset.into())),
                Ok(0) => return Err(Failure::Broken("it ended in the head".to_owned())),
                Ok(_) => {}
                Err(error) if read.is_empty() => return Err(Failure::Unanswered(error)),
                Err(error) => return Err(Failure::Broken(error.to_string())),
            }
        };
        self.answered(head, socket, read, host)
    }

    fn answered(&self, head: Head, socket: TcpStream, rest: BytesMut, host: &Host) -> Result<Got, Failure> {
        let Head { status, headers, .. } = &head;
        let empty = matches!(*status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let framing = if empty { Framing::Length(0) } else { Framing::of(headers).map_err(Failure::Broken)? };
        let home = head.stays().then(|| (Arc::clone(&self.idle), host.clone()));
        let stream = Stream::new(socket, rest, framing, home);
        let (status, length) = (head.status, framing.length());
        Ok(Got { status, headers: head.headers, length, flow: Flow::Plain(stream) })
    }
}

fn host(url: &Url) -> Host {
    let name = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    (name.into(), url.port_or_known_default().unwrap_or(80))
}

fn written(request: &Request) -> Vec<u8> {
    let url = request.url();
    let mut text = format!("GET {}", url.path());
    // Writing to a string does not fail.
    let _ = url.query().map(|query| write!(text, "?{query}"));
    text += " HTTP/1.1\r\n";
    if !request.headers().contains_key(header::HOST) {
        let _ = write!(text, "host: {}", url.host_str().unwrap_or_default());
        let _ = url.port().map(|port| write!(text, ":{port}"));
        text += "\r\n";
    }
    if !request.headers().contains_key(header::USER_AGENT) {
        let _ = write!(text, "user-agent: {USER_AGENT}\r\n");
    }
    let mut text = text.into_bytes();
    for (name, value) in request.headers() {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            text.extend_from_slice(part);
        }
    }
    text.extend_from_slice(b"\r\n");
    text
}

#[cfg(test)]
mod tests;
