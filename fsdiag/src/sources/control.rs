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
    // A listener that takes no connection any more is not waited for: no limit of a socket covers that.
    let (mut stream, user) = sys::connect(&found.socket).map_err(|error| late(error, limit))?;
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
    use std::{
        os::unix::net::{UnixListener, UnixStream},
        thread,
    };

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
    #[expect(unsafe_code, reason = "the standard library has no word for a short queue")]
    fn a_daemon_that_takes_no_connection_any_more_does_not_answer() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("s");
        let listener = UnixListener::bind(&socket).unwrap();
        // SAFETY: plain numbers, of a socket that lives.
        assert_eq!(unsafe { libc::listen(std::os::fd::AsRawFd::as_raw_fd(&listener), 0) }, 0);
        let _in_the_queue = UnixStream::connect(&socket).unwrap();
        let found = Mount { socket, owner: owned::uid(), ..Mount::default() };
        let answer = ask(&found, &Request::Status, Duration::from_secs(600));
        assert_eq!(answer.unwrap_err().kind(), io::ErrorKind::TimedOut);
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
