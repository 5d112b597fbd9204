//! An answer: the head that fits the request, the body that fits the head, and the fault that spoils either.

use std::{
    io,
    net::{Shutdown, TcpStream},
    ops::Range,
    time::{Duration, UNIX_EPOCH},
};

use super::{
    Fault, Request, Versions,
    connection::write_all,
    pages,
    pattern::{fill, seed},
    script::{Entry, Kind, Script},
};

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Keep,
    Close,
}

/// Second of the first version of every file; a later version is an hour younger each.
const BORN: u64 = 1_700_000_000;
const BLOCK: usize = 1 << 18;

struct Shape {
    code: u16,
    headers: Vec<(&'static str, String)>,
    /// Which bytes of the content the body has.
    range: Range<u64>,
    seed: u64,
    text: Option<Vec<u8>>,
}

pub(super) fn answer(stream: &TcpStream, request: &Request, script: &Script) -> io::Result<Next> {
    let (entry, fault, latency, bandwidth, listing) = script.edit(|book| {
        book.requests.push(request.clone());
        let entry = book.entry(&request.path);
        let fault = entry.queued.pop_front().unwrap_or_else(|| entry.always.clone());
        let entry = entry.clone();
        let listing = matches!(entry.kind, Kind::Absent).then(|| pages::index(book, request)).flatten();
        (entry, fault, book.latency, book.bandwidth, listing)
    });
    script.rest(latency);
    match &fault {
        Some(Fault::Silent) => {
            script.stall();
            return Ok(Next::Close);
        }
        Some(Fault::Delay(time)) => script.rest(*time),
        Some(Fault::Garbage) => {
            write_all(stream, b"\x00\x01 this is not HTTP\r\n\r\n")?;
            return Ok(Next::Close);
        }
        _ => {}
    }
    let mut shape = shape(request, &entry, listing);
    spoil(&mut shape, &entry, request, fault.as_ref());
    let sent = send(stream, request, &shape, fault.as_ref(), &Pace { script, bandwidth });
    if sent.is_err() || matches!(fault, Some(Fault::ResetAt(_))) {
        return Ok(Next::Close);
    }
    sent
}

/// The right answer.
fn shape(request: &Request, entry: &Entry, listing: Option<(String, String)>) -> Shape {
    let mut shape = Shape { code: 200, headers: Vec::new(), range: 0..0, seed: 0, text: None };
    if let Some((name, value)) = &entry.required
        && request.header(name) != Some(value)
    {
        shape.code = 401;
        return shape;
    }
    match (&entry.kind, listing) {
        (Kind::Absent, None) => shape.code = 404,
        (Kind::Absent, Some((media_type, text))) => put_text(&mut shape, &media_type, text),
        (Kind::Page { media_type, text }, _) => put_text(&mut shape, media_type, text.clone()),
        (Kind::File { size }, _) => put_file(&mut shape, request, entry, *size),
    }
    shape
}

fn put_text(shape: &mut Shape, media_type: &str, text: String) {
    shape.headers.push(("Content-Type", media_type.to_owned()));
    shape.range = 0..text.len() as u64;
    shape.text = Some(text.into_bytes());
}

fn put_file(shape: &mut Shape, request: &Request, entry: &Entry, size: u64) {
    shape.seed = seed(&request.path, entry.version);
    shape.range = 0..size;
    let (tag, date) = (tag(entry.version), date(entry.version));
    match entry.versions {
        Versions::Tag => shape.headers.push(("ETag", tag.clone())),
        Versions::Weak => shape.headers.push(("ETag", format!("W/{tag}"))),
        Versions::Date | Versions::Nothing => {}
    }
    if entry.versions != Versions::Nothing {
        shape.headers.push(("Last-Modified", date.clone()));
    }
    let strong = entry.versions == Versions::Tag;
    if request.header("if-match").is_some_and(|wanted| !strong || wanted != tag) {
        shape.code = 412;
        shape.range = 0..0;
        return;
    }
    let same = |wanted: &str| (strong && wanted == tag) || (entry.versions != Versions::Nothing && wanted == date);
    let ranged = entry.ranges && request.header("if-range").is_none_or(same);
    if entry.ranges {
        shape.headers.push(("Accept-Ranges", "bytes".to_owned()));
    }
    if let Some(range) = request.range.clone().filter(|_| ranged) {
        put_range(shape, &range, size);
    }
}

fn put_range(shape: &mut Shape, range: &Range<u64>, size: u64) {
    let end = range.end.min(size);
    if range.start >= end {
        shape.code = 416;
        shape.range = 0..0;
        shape.headers.push(("Content-Range", format!("bytes */{size}")));
        return;
    }
    shape.code = 206;
    shape.range = range.start..end;
    shape.headers.push(("Content-Range", format!("bytes {}-{}/{size}", range.start, end - 1)));
}

fn tag(version: u64) -> String {
    format!("\"v{version}\"")
}

/// Last-Modified of a version.
pub(super) fn date(version: u64) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(modified(version)))
}

/// Seconds since 1970 of a version.
pub(super) fn modified(version: u64) -> u64 {
    BORN + version * 3600
}

fn spoil(shape: &mut Shape, entry: &Entry, request: &Request, fault: Option<&Fault>) {
    let Some(fault) = fault else { return };
    let size = if let Kind::File { size } = entry.kind { size } else { shape.range.end };
    let mut replace = |name: &'static str, value: String| {
        shape.headers.retain(|header| header.0 != name);
        shape.headers.push((name, value));
    };
    match fault {
        Fault::OtherTag => replace("ETag", tag(entry.version + 1000)),
        Fault::Encoded => replace("Content-Encoding", "gzip".to_owned()),
        Fault::WrongRange if shape.code == 206 => {
            let Range { start, end } = shape.range;
            replace("Content-Range", format!("bytes {}-{end}/{size}", start + 1));
        }
        Fault::WrongTotal if shape.code == 206 => {
            let Range { start, end } = shape.range;
            replace("Content-Range", format!("bytes {start}-{}/{}", end - 1, size + 1));
        }
        Fault::WholeForRange if shape.code == 206 => {
            shape.headers.retain(|header| header.0 != "Content-Range");
            (shape.code, shape.range) = (200, 0..size);
        }
        Fault::Status { code, retry_after } => {
            shape.headers = retry_after.iter().map(|after| ("Retry-After", after.clone())).collect();
            (shape.code, shape.range, shape.text) = (*code, 0..0, None);
        }
        Fault::NoHead if request.method == "HEAD" => {
            (shape.code, shape.range, shape.text) = (501, 0..0, None);
            shape.headers.clear();
        }
        Fault::Redirect(to) => redirect(shape, to.clone()),
        Fault::RedirectLoop => redirect(shape, request.path.clone()),
        Fault::WrongLength(by) => shape.range.end = shape.range.end.saturating_add_signed(*by),
        _ => {}
    }
}

fn redirect(shape: &mut Shape, to: String) {
    (shape.code, shape.range, shape.text) = (302, 0..0, None);
    shape.headers = vec![("Location", to)];
}

struct Pace<'a> {
    script: &'a Script,
    bandwidth: u64,
}

impl Pace<'_> {
    /// Bytes to send at once, and how long that takes.
    fn step(&self) -> (usize, Duration) {
        if self.bandwidth == 0 {
            return (BLOCK, Duration::ZERO);
        }
        let step = (self.bandwidth / 50).clamp(1, BLOCK as u64);
        (usize::try_from(step).unwrap_or(BLOCK), Duration::from_micros(step * 1_000_000 / self.bandwidth))
    }
}

fn send(
    stream: &TcpStream,
    request: &Request,
    shape: &Shape,
    fault: Option<&Fault>,
    pace: &Pace<'_>,
) -> io::Result<Next> {
    let chunked = matches!(fault, Some(Fault::Chunked | Fault::ChunkedShort(_)));
    let mut head = format!("HTTP/1.1 {} {}\r\n", shape.code, reason(shape.code));
    for (name, value) in &shape.headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &if chunked {
        "Transfer-Encoding: chunked\r\n\r\n".to_owned()
    } else {
        format!("Content-Length: {}\r\n\r\n", shape.range.end - shape.range.start)
    };
    write_all(stream, head.as_bytes())?;
    if request.method == "HEAD" {
        return Ok(Next::Keep);
    }
    let done = send_body(stream, shape, fault, pace, chunked)?;
    if done && chunked {
        write_all(stream, b"0\r\n\r\n")?;
    }
    Ok(if done { Next::Keep } else { Next::Close })
}

/// Sends the body as far as the fault lets it; false when the connection must end here.
fn send_body(
    stream: &TcpStream,
    shape: &Shape,
    fault: Option<&Fault>,
    pace: &Pace<'_>,
    chunked: bool,
) -> io::Result<bool> {
    let (mut step, mut rest) = pace.step();
    let mut trickles = None;
    if let Some(Fault::Trickle(every)) = fault {
        (step, rest) = (1, *every);
        trickles = Some(pace.script.releases());
    }
    let mark = match fault {
        Some(Fault::StallAt(at) | Fault::ResetAt(at) | Fault::ShortAt(at) | Fault::ChunkedShort(at)) => *at,
        _ => u64::MAX,
    };
    let mut mark = shape.range.start.saturating_add(mark).min(shape.range.end);
    let mut block = vec![0; step];
    let mut at = shape.range.start;
    loop {
        while at < mark {
            if trickles.is_some_and(|before| before != pace.script.releases()) {
                ((step, rest), trickles) = (pace.step(), None);
                block.resize(step, 0);
            }
            let len = usize::try_from(mark - at).map_or(step, |left| left.min(step));
            content(shape, at, &mut block[..len]);
            send_block(stream, &block[..len], chunked)?;
            at += len as u64;
            pace.script.edit(|book| book.sent += len as u64);
            pace.script.rest(rest);
        }
        match fault {
            Some(Fault::StallAt(_)) if mark < shape.range.end => pace.script.stall(),
            Some(Fault::ResetAt(_)) if mark < shape.range.end => return reset(stream),
            Some(Fault::ShortAt(_)) if mark < shape.range.end => {
                stream.shutdown(Shutdown::Both)?;
                return Ok(false);
            }
            _ => return Ok(true),
        }
        mark = shape.range.end;
    }
}

fn content(shape: &Shape, at: u64, into: &mut [u8]) {
    let Some(text) = &shape.text else { return fill(shape.seed, at, into) };
    let at = usize::try_from(at).unwrap_or(usize::MAX);
    for (n, byte) in into.iter_mut().enumerate() {
        *byte = text.get(at + n).copied().unwrap_or(b' ');
    }
}

fn send_block(stream: &TcpStream, block: &[u8], chunked: bool) -> io::Result<()> {
    if !chunked {
        return write_all(stream, block);
    }
    write_all(stream, format!("{:x}\r\n", block.len()).as_bytes())?;
    write_all(stream, block)?;
    write_all(stream, b"\r\n")
}

/// Closes so that the client sees a reset and not an end.
fn reset(stream: &TcpStream) -> io::Result<bool> {
    rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO))?;
    Err(io::ErrorKind::ConnectionReset.into())
}

fn reason(code: u16) -> &'static str {
    match code {
        200 => "OK",
        206 => "Partial Content",
        302 => "Found",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        410 => "Gone",
        412 => "Precondition Failed",
        416 => "Range Not Satisfiable",
        429 => "Too Many Requests",
        503 => "Service Unavailable",
        _ => "Scripted",
    }
}
