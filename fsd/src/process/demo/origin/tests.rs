//! The origin against a plain socket: what it promises, and each way in which it breaks the promise.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use super::{Checksum, Fault, Origin, Versions, checksum, first_difference};

const LIMIT: Duration = Duration::from_secs(10);

/// Sends one request and returns the head and everything that came after it.
fn ask(origin: &Origin, request: &str) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(origin.address()).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    write!(stream, "{request}\r\nConnection: close\r\n\r\n").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut all = Vec::new();
    drop(stream.read_to_end(&mut all));
    let head = all.windows(4).position(|four| four == b"\r\n\r\n").map_or(all.len(), |at| at + 4);
    (String::from_utf8_lossy(&all[..head]).into_owned(), all[head..].to_vec())
}

#[test]
fn a_range_has_the_bytes_of_its_place() {
    let origin = Origin::start().unwrap();
    origin.file("a/b", 100_000_000_000);
    let (head, body) = ask(&origin, "GET /a/b HTTP/1.1\r\nRange: bytes=77777777771-77777777780");
    assert!(head.starts_with("HTTP/1.1 206"), "{head}");
    assert!(head.contains("Content-Range: bytes 77777777771-77777777780/100000000000"), "{head}");
    assert_eq!(body, origin.bytes("a/b", 77_777_777_771, 10));
    assert_eq!(first_difference("a/b", 77_777_777_771, &body), None);
    assert_eq!(origin.requests()[0].range, Some(77_777_777_771..77_777_777_781));
}

#[test]
fn the_pattern_is_the_same_however_it_is_cut() {
    let mut whole = vec![0; 1000];
    super::fill(7, 0, &mut whole);
    let mut sum = Checksum::default();
    for start in 0..1000_usize {
        let mut part = [0; 13];
        super::fill(7, start as u64, &mut part);
        let len = part.len().min(1000 - start);
        assert_eq!(part[..len], whole[start..start + len], "at {start}");
        sum.update(&whole[start..=start]);
    }
    let mut at_once = Checksum::default();
    at_once.update(&whole);
    assert_eq!(sum.sum(), at_once.sum());
}

#[test]
fn preconditions_hold_for_the_version_that_is_served() {
    let origin = Origin::start().unwrap();
    origin.file("f", 10);
    assert!(ask(&origin, "GET /f HTTP/1.1\r\nIf-Match: \"v1\"").0.starts_with("HTTP/1.1 200"));
    origin.file("f", 10);
    assert!(ask(&origin, "GET /f HTTP/1.1\r\nIf-Match: \"v1\"").0.starts_with("HTTP/1.1 412"));
    let (head, body) = ask(&origin, "GET /f HTTP/1.1\r\nRange: bytes=2-3\r\nIf-Range: \"v1\"");
    assert!(head.starts_with("HTTP/1.1 200") && body.len() == 10, "{head}");
    origin.versions("f", Versions::Nothing);
    assert!(!ask(&origin, "HEAD /f HTTP/1.1").0.contains("Last-Modified"));
}

#[test]
fn faults_come_in_their_order_and_then_pass() {
    let origin = Origin::start().unwrap();
    origin.file("f", 1000).fault("f", Fault::status(503)).pass("f").fault("f", Fault::ShortAt(10));
    let get = "GET /f HTTP/1.1";
    assert!(ask(&origin, get).0.starts_with("HTTP/1.1 503"));
    assert_eq!(ask(&origin, get).1.len(), 1000);
    assert_eq!(ask(&origin, get).1.len(), 10);
    assert_eq!(ask(&origin, get).1.len(), 1000);
}

#[test]
fn a_stall_lasts_until_the_release() {
    let origin = Origin::start().unwrap();
    origin.file("f", 1000).fault("f", Fault::StallAt(400));
    let mut stream = TcpStream::connect(origin.address()).unwrap();
    write!(stream, "GET /f HTTP/1.1\r\nConnection: close\r\n\r\n").unwrap();
    assert!(origin.wait(LIMIT, |origin| origin.stalled() == 1 && origin.sent() == 400));
    origin.release();
    assert!(origin.wait(LIMIT, |origin| origin.stalled() == 0 && origin.sent() == 1000));
}

#[test]
fn an_upload_is_summed() {
    let origin = Origin::start().unwrap();
    let bytes = {
        origin.file("src", 5000);
        origin.bytes("src", 0, 5000)
    };
    let mut stream = TcpStream::connect(origin.address()).unwrap();
    write!(stream, "PUT /up HTTP/1.1\r\nContent-Length: 5000\r\n\r\n").unwrap();
    stream.write_all(&bytes).unwrap();
    assert!(origin.wait(LIMIT, |origin| origin.uploads().len() == 1));
    let upload = &origin.uploads()[0];
    assert!(upload.complete && upload.bytes == 5000);
    assert_eq!(upload.checksum, checksum("src", 5000));
}

#[test]
fn directories_are_listed() {
    let origin = Origin::start().unwrap();
    origin.file("d/x y", 5).file("d/e/z", 6);
    let text = String::from_utf8(ask(&origin, "GET /d/ HTTP/1.1").1).unwrap();
    assert!(text.contains("\"x y\"") && text.contains("\"e\"") && !text.contains("\"z\""), "{text}");
}
