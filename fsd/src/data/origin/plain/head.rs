//! Head: status and headers of an answer.

use reqwest::{
    StatusCode,
    header::{self, HeaderMap, HeaderName, HeaderValue},
};

/// Headers of one answer, at most.
const MOST: usize = 128;

#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// Of HTTP/1.
    minor: u8,
}

/// The head at the start of `bytes`, and its length; None: more has to come.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Head, usize)>, String> {
    let mut fields = [httparse::EMPTY_HEADER; MOST];
    let mut answer = httparse::Response::new(&mut fields);
    let length = match answer.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let status = StatusCode::from_u16(answer.code.unwrap_or(0)).map_err(|error| error.to_string())?;
    let mut headers = HeaderMap::with_capacity(answer.headers.len());
    for field in answer.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|error| error.to_string())?;
        headers.append(name, HeaderValue::from_bytes(field.value).map_err(|error| error.to_string())?);
    }
    Ok(Some((Head { status, headers, minor: answer.version.unwrap_or(0) }, length)))
}

impl Head {
    /// The connection is good for another request after this answer.
    pub(super) fn stays(&self) -> bool {
        let says = |word: &str| {
            let values = self.headers.get_all(header::CONNECTION).into_iter().filter_map(|value| value.to_str().ok());
            values.flat_map(|value| value.split(',')).any(|said| said.trim().eq_ignore_ascii_case(word))
        };
        if self.minor == 0 { says("keep-alive") } else { !says("close") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_whole_or_not_there_yet_or_wrong() {
        let text = b"HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\nX: 1\r\nX: 2\r\n\r\nbody";
        for short in 0..text.len() - 4 {
            assert!(parse(&text[..short]).unwrap().is_none(), "{short}");
        }
        let (head, length) = parse(text).unwrap().unwrap();
        assert_eq!((head.status.as_u16(), length, head.headers.get_all("x").iter().count()), (206, text.len() - 4, 2));
        assert!(parse(b"\x00\x01 this is not HTTP\r\n\r\n").is_err());
    }

    #[test]
    fn a_connection_stays_unless_somebody_says_otherwise() {
        let stays = |text: &str| parse(text.as_bytes()).unwrap().unwrap().0.stays();
        assert!(stays("HTTP/1.1 200 OK\r\n\r\n"));
        assert!(!stays("HTTP/1.1 200 OK\r\nConnection: x, Close\r\n\r\n"));
        assert!(!stays("HTTP/1.0 200 OK\r\n\r\n"));
        assert!(stays("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n"));
    }
}
