//! A connection: requests are read one after another, and bodies of uploads.

use std::{
    io::{self, BufRead, BufReader, Read},
    net::TcpStream,
    ops::Range,
};

use super::{
    Checksum, Request, Upload,
    answer::{Next, answer},
    script::Script,
};

/// Serves a connection to its end; what goes wrong with it is the client's affair.
pub(super) fn serve(stream: &TcpStream, script: &Script) {
    drop(stream.set_nodelay(true));
    drop(converse(stream, script));
}

fn converse(stream: &TcpStream, script: &Script) -> io::Result<()> {
    let mut input = BufReader::with_capacity(1 << 16, stream);
    script.rest(script.look(|book| book.connecting));
    while let Some(request) = read_request(&mut input)? {
        if script.ended() {
            return Ok(());
        }
        if request.method == "PUT" || request.method == "POST" {
            receive(&mut input, stream, &request, script)?;
        } else if answer(stream, &request, script)? == Next::Close {
            return Ok(());
        }
    }
    Ok(())
}

fn read_request(input: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if input.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let method = words.next().unwrap_or_default().to_owned();
    let target = words.next().unwrap_or("/");
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query.to_owned())));
    let path = percent_encoding::percent_decode_str(path).decode_utf8_lossy().into_owned();
    let headers = read_headers(input)?;
    let range = headers.iter().find(|header| header.0 == "range").and_then(|header| parse_range(&header.1));
    Ok(Some(Request { method, path, query, range, headers }))
}

fn read_headers(input: &mut impl BufRead) -> io::Result<Vec<(String, String)>> {
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 || line.trim().is_empty() {
            return Ok(headers);
        }
        if let Some((name, value)) = line.split_once(':') {
            headers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
}

fn parse_range(text: &str) -> Option<Range<u64>> {
    let (start, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let end = if last.is_empty() { u64::MAX } else { last.parse::<u64>().ok()? + 1 };
    Some(start.parse().ok()?..end)
}

/// Takes in an upload and says what its checksum is.
fn receive(input: &mut impl BufRead, stream: &TcpStream, request: &Request, script: &Script) -> io::Result<()> {
    if request.header("expect").is_some() {
        write_all(stream, b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let mut sum = Checksum::default();
    let announced = request.header("content-length").and_then(|length| length.parse::<u64>().ok());
    let (bytes, complete) = match announced {
        Some(length) => {
            let bytes = absorb(&mut input.take(length), &mut sum)?;
            (bytes, bytes == length)
        }
        None => absorb_chunks(input, &mut sum)?,
    };
    let upload = Upload { path: request.path.clone(), bytes, checksum: sum.sum(), complete };
    let report = format!("{{\"bytes\":{bytes},\"checksum\":\"{:016x}\"}}\n", upload.checksum);
    script.edit(|book| {
        book.requests.push(request.clone());
        book.uploads.push(upload);
    });
    let head = format!("HTTP/1.1 201 Created\r\nContent-Length: {}\r\n\r\n{report}", report.len());
    write_all(stream, head.as_bytes())
}

fn absorb(input: &mut impl Read, sum: &mut Checksum) -> io::Result<u64> {
    let mut block = vec![0; 1 << 16];
    let mut bytes = 0;
    loop {
        let got = input.read(&mut block)?;
        if got == 0 {
            return Ok(bytes);
        }
        sum.update(&block[..got]);
        bytes += got as u64;
    }
}

fn absorb_chunks(input: &mut impl BufRead, sum: &mut Checksum) -> io::Result<(u64, bool)> {
    let mut bytes = 0;
    loop {
        let mut line = String::new();
        input.read_line(&mut line)?;
        let Ok(length) = u64::from_str_radix(line.trim(), 16) else { return Ok((bytes, false)) };
        let got = absorb(&mut input.take(length), sum)?;
        bytes += got;
        input.read_line(&mut String::new())?;
        if got < length || length == 0 {
            return Ok((bytes, got == length));
        }
    }
}

pub(super) fn write_all(mut stream: &TcpStream, bytes: &[u8]) -> io::Result<()> {
    io::Write::write_all(&mut stream, bytes)
}
