//! Plain answers from a server that sends exactly what a test has written.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    sync::{Arc, mpsc},
    time::Duration,
};

use reqwest::{Method, Request, header::HeaderValue};

use crate::platform::pages::{BLOCK, Block, Filling, Home};

use super::{Connection, Failure, Flow, Plain, Stream};

const LIMIT: Duration = Duration::from_secs(10);

struct Nowhere;

impl Home for Nowhere {
    fn back(&self, _block: Block) {}
}

/// Serves one connection after another, and on each one answer after another; tells what it was asked, with the
/// number of the connection. A connection ends with its answers.
fn serve(connections: Vec<Vec<&'static str>>) -> (SocketAddr, mpsc::Receiver<(usize, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = mpsc::channel();
    let serving = std::thread::Builder::new().spawn(move || {
        for (number, answers) in connections.into_iter().enumerate() {
            let (mut socket, _) = listener.accept().unwrap();
            for answer in answers {
                let (mut asked, mut byte) = (Vec::new(), [0]);
                while !asked.ends_with(b"\r\n\r\n") && socket.read(&mut byte).unwrap() == 1 {
                    asked.push(byte[0]);
                }
                tell.send((number, String::from_utf8(asked).unwrap())).unwrap();
                // Who has seen enough hangs up.
                let _ = socket.write_all(answer.as_bytes());
            }
        }
    });
    drop(serving.unwrap());
    (address, told)
}

fn request(address: SocketAddr) -> Request {
    let url = format!("http://{address}/a%20b?c=d").parse().unwrap();
    let mut request = Request::new(Method::GET, url);
    request.headers_mut().insert("x-one", HeaderValue::from_static("1"));
    request
}

fn plain() -> Plain {
    Plain { proxied: false, ..Plain::new(LIMIT) }
}

async fn ask(plain: &Plain, address: SocketAddr) -> Result<Stream, Failure> {
    match plain.send(&request(address), Connection::Kept).await?.flow {
        Flow::Plain(stream) => Ok(stream),
        Flow::Client(_) => panic!("it is plain"),
    }
}

async fn all(mut stream: Stream) -> Result<String, String> {
    let mut bytes = Vec::new();
    while let Some(piece) = stream.next().await.map_err(|error| error.to_string())? {
        bytes.extend_from_slice(&piece);
    }
    Ok(String::from_utf8(bytes).unwrap())
}

async fn filled(mut stream: Stream) -> Result<String, String> {
    let mut block = Filling::new(Block::map().unwrap().remove(0), 0, Arc::new(Nowhere));
    let mut bytes = Vec::new();
    while let Some(piece) = stream.fill(&mut block).await.map_err(|error| error.to_string())? {
        bytes.extend_from_slice(&piece);
    }
    assert_eq!(block.next(), bytes.len().min(BLOCK));
    Ok(String::from_utf8(bytes).unwrap())
}

/// What comes of one answer, in both ways of reading it.
async fn both(answer: &'static str) -> [Result<String, String>; 2] {
    let (address, _told) = serve(vec![vec![answer]]);
    let one = all(ask(&plain(), address).await.ok().unwrap()).await;
    let (address, _told) = serve(vec![vec![answer]]);
    [one, filled(ask(&plain(), address).await.ok().unwrap()).await]
}

#[tokio::test]
async fn a_body_is_read_as_its_head_frames_it() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nnine byte",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nnine byte and more",
        "HTTP/1.0 200 OK\r\n\r\nnine byte",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;x\r\nnine\r\n5\r\n byte\r\n0\r\nX: y\r\n\r\n",
    ] {
        assert_eq!(both(answer).await, [(); 2].map(|()| Ok("nine byte".to_owned())), "{answer}");
    }
}

#[tokio::test]
async fn a_body_that_ends_early_is_an_error() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nnine byte",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nnine\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nnine\r\n0\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nnine byte\r\n0\r\n\r\n",
    ] {
        assert!(both(answer).await.iter().all(Result::is_err), "{answer}");
    }
}

#[tokio::test]
async fn what_is_no_answer_is_an_error_and_not_asked_again() {
    let long: &'static str = format!("HTTP/1.1 200 OK\r\nX: {}", "y".repeat(80_000)).leak();
    for answer in ["HTTP/1.1 200 OK\r\nContent-Le", "nonsense\r\n\r\n", long] {
        let (address, told) = serve(vec![vec![answer]]);
        assert!(matches!(ask(&plain(), address).await, Err(Failure::Broken(_))), "{answer:.40}");
        assert_eq!(told.iter().count(), 1);
    }
    let (address, _told) = serve(vec![vec![""]]);
    assert!(matches!(ask(&plain(), address).await, Err(Failure::Unanswered(_))));
}

#[tokio::test]
async fn a_connection_is_used_again_and_replaced_when_it_has_ended() {
    const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let (address, told) = serve(vec![vec![ANSWER, ANSWER], vec![ANSWER], vec![ANSWER]]);
    let plain = plain();
    for _ in 0..4 {
        assert_eq!(all(ask(&plain, address).await.ok().unwrap()).await, Ok("ok".to_owned()));
    }
    let told: Vec<_> = told.iter().collect();
    assert_eq!(told.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [0, 0, 1, 2]);
    let asked = format!("GET /a%20b?c=d HTTP/1.1\r\nhost: {address}\r\nuser-agent: ");
    assert!(told.iter().all(|(_, text)| text.starts_with(&asked) && text.contains("\r\nx-one: 1\r\n")), "{told:?}");
}

#[tokio::test]
async fn a_connection_with_an_answer_that_was_not_read_to_its_end_is_not_used_again() {
    const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let (address, told) = serve(vec![vec![ANSWER], vec![ANSWER]]);
    let plain = plain();
    drop(ask(&plain, address).await.ok().unwrap());
    assert_eq!(filled(ask(&plain, address).await.ok().unwrap()).await, Ok("ok".to_owned()));
    assert_eq!(told.iter().map(|(number, _)| number).collect::<Vec<_>>(), [0, 1]);
}

#[tokio::test]
async fn who_asks_over_a_new_connection_gives_up_those_that_are_kept() {
    const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let (address, told) = serve(vec![vec![ANSWER, ANSWER], vec![ANSWER, ANSWER]]);
    let plain = plain();
    for connection in [Connection::Kept, Connection::New, Connection::Kept] {
        let Flow::Plain(stream) = plain.send(&request(address), connection).await.ok().unwrap().flow else { panic!() };
        assert_eq!(all(stream).await, Ok("ok".to_owned()));
    }
    let told: Vec<_> = told.iter().map(|(number, text)| (number, text.is_empty())).collect();
    assert_eq!(told, [(0, false), (0, true), (1, false), (1, false)], "the first one is closed");
}
