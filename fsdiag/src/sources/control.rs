//! Control: asks a running fsd over its socket, never longer than a limit, and nobody in its place.

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    time::Duration,
};

use fsd_events::control::{Answer, Request};

use super::{kernel::sys, rings::Mount};

/// Asks once. A refusal is an error with the daemon's own words.
///
/// # Errors
/// Nobody listens or somebody else does, no answer within `limit`, an answer that cannot be read, or a refusal.
pub fn ask(found: &Mount, request: &Request, limit: Duration) -> io::Result<Answer> {
    let (mut stream, user) = sys::connect(&found.socket)?;
    if user != found.owner {
        let why = format!("its socket is one of user {user}, and not of user {}", found.owner);
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut text = String::new();
    BufReader::new(stream).read_line(&mut text).map_err(|error| late(error, limit))?;
    match serde_json::from_str(&text) {
        Ok(Answer::Refused(refusal)) => Err(io::Error::other(refusal.message)),
        Ok(answer) => Ok(answer),
        Err(_) if text.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
        Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, format!("an answer of another version: {error}"))),
    }
}

fn late(error: io::Error, limit: Duration) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} s", limit.as_secs()))
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::net::UnixListener, thread};

    use super::*;
    use crate::sources::owned;

    fn answered(with: &'static str) -> io::Result<Answer> {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("s");
        let listener = UnixListener::bind(&socket).unwrap();
        let serve = move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut line = String::new();
            BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
            stream.write_all(with.as_bytes()).unwrap();
            // Without an answer the connection stays open until the client has enough.
            let _ = BufReader::new(stream).read_line(&mut line);
        };
        let server = thread::Builder::new().spawn(serve).unwrap();
        let found = Mount { socket, owner: owned::uid(), ..Mount::default() };
        let answer = ask(&found, &Request::Status, Duration::from_millis(200));
        server.join().unwrap();
        answer
    }

    #[test]
    fn answers_refusals_and_silence_are_told_apart() {
        assert_eq!(answered("{\"answer\":\"done\"}\n").unwrap(), Answer::Done);
        let refused = answered("{\"answer\":\"refused\",\"code\":\"busy\",\"message\":\"later\"}\n").unwrap_err();
        assert_eq!(refused.to_string(), "later");
        assert_eq!(answered("").unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(answered("nonsense\n").unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
