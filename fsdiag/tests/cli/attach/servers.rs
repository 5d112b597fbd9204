//! Servers that take a question and never answer it: HTTP for rclone and httpdirfs, SFTP for sshfs.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, mpsc},
    thread,
};

pub(super) const FILE: &str = "big.bin";
const SIZE: u64 = 100 << 20;

/// Serves until the test ends; gives the port. Threads and sockets go with the process.
fn serve(name: &str, each: impl Fn(TcpStream) -> Option<()> + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let each = Arc::new(each);
    let accept = move || {
        for stream in listener.incoming().flatten() {
            let each = Arc::clone(&each);
            thread::Builder::new().spawn(move || each(stream)).unwrap();
        }
    };
    thread::Builder::new().name(name.to_owned()).spawn(accept).unwrap();
    port
}

/// A directory with one file whose bytes never come.
pub(super) fn http() -> u16 {
    serve("http", |stream| {
        let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
        let mut out = stream;
        loop {
            let request = lines.next()?.ok()?;
            let mut range = false;
            loop {
                let header = lines.next()?.ok()?;
                range |= header.to_ascii_lowercase().starts_with("range:");
                if header.is_empty() {
                    break;
                }
            }
            answer_http(&mut out, &request, range)?;
        }
    })
}

fn answer_http(out: &mut TcpStream, request: &str, range: bool) -> Option<()> {
    let head = request.starts_with("HEAD");
    if request.contains(FILE) {
        let status = if range && !head { "206 Partial Content" } else { "200 OK" };
        let last = SIZE - 1;
        let ranged = if range && !head { format!("Content-Range: bytes 0-{last}/{SIZE}\r\n") } else { String::new() };
        let headers = "Accept-Ranges: bytes\r\nLast-Modified: Mon, 01 Jan 2024 00:00:00 GMT";
        write!(out, "HTTP/1.1 {status}\r\nContent-Length: {SIZE}\r\n{ranged}{headers}\r\n\r\n").ok()?;
        if !head {
            forever();
        }
        return Some(());
    }
    let page = format!("<html><head><title>Index of /</title></head><body><a href=\"{FILE}\">{FILE}</a></body></html>");
    let body = if head { "" } else { page.as_str() };
    write!(out, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{body}", page.len()).ok()
}

/// The thread stays until the process ends.
fn forever() {
    let (_keep, never) = mpsc::channel::<()>();
    let _ = never.recv();
}

/// A root with one file: names with `hang` in them, and the bytes of the file, are never answered.
pub(super) fn sftp() -> u16 {
    serve("sftp", |mut stream| {
        loop {
            let mut length = [0; 4];
            stream.read_exact(&mut length).ok()?;
            let mut packet = vec![0; u32::from_be_bytes(length) as usize];
            stream.read_exact(&mut packet).ok()?;
            if let Some(reply) = answer_sftp(&packet) {
                let length = u32::try_from(reply.len()).ok()?;
                stream.write_all(&length.to_be_bytes()).ok()?;
                stream.write_all(&reply).ok()?;
            }
        }
    })
}

/// None: never.
fn answer_sftp(packet: &[u8]) -> Option<Vec<u8>> {
    const INIT: u8 = 1;
    const VERSION: u8 = 2;
    const OPEN: u8 = 3;
    const CLOSE: u8 = 4;
    const READ: u8 = 5;
    const LSTAT: u8 = 7;
    const FSTAT: u8 = 8;
    const STAT: u8 = 17;
    const STATUS: u8 = 101;
    const HANDLE: u8 = 102;
    const ATTRS: u8 = 105;
    let id = packet.get(1..5)?;
    let reply = |kind: u8, body: &[u8]| Some([&[kind], id, body].concat());
    let text = String::from_utf8_lossy(packet.get(5..)?);
    match *packet.first()? {
        INIT => Some([&[VERSION][..], &3u32.to_be_bytes()].concat()),
        LSTAT | STAT if text.contains("hang") => None,
        LSTAT | STAT if text.contains(FILE) => reply(ATTRS, &attributes(0o100_644)),
        LSTAT | STAT if text.ends_with('/') || text.ends_with('.') => reply(ATTRS, &attributes(0o040_755)),
        FSTAT => reply(ATTRS, &attributes(0o100_644)),
        OPEN => reply(HANDLE, &[0, 0, 0, 1, b'h']),
        READ => None,
        CLOSE => reply(STATUS, &[0; 12]),
        _ => reply(STATUS, &[&[0, 0, 0, 2][..], &[0; 8]].concat()),
    }
}

/// Size and permissions.
fn attributes(mode: u32) -> Vec<u8> {
    [&5u32.to_be_bytes()[..], &SIZE.to_be_bytes(), &mode.to_be_bytes()].concat()
}
