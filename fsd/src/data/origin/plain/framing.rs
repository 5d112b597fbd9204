//! Framing: where a body ends.

use reqwest::header::{self, HeaderMap};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// So many bytes are still to come.
    Length(u64),
    Chunked(Chunk),
    /// Where the connection ends.
    End,
}

/// What comes next of a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunk {
    /// The line that says how long a chunk is.
    Size,
    /// So many bytes of a chunk.
    Bytes(u64),
    /// The end of its line.
    After,
    /// Lines until an empty one.
    Trailer,
    Done,
}

impl Framing {
    /// As these headers have it.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, String> {
        let values = |name| headers.get_all(name).into_iter().map(|value| value.to_str().unwrap_or("?").trim());
        if let Some(codings) = values(header::TRANSFER_ENCODING).next_back() {
            let last = codings.rsplit(',').next().unwrap_or_default().trim();
            return Ok(if last.eq_ignore_ascii_case("chunked") { Self::Chunked(Chunk::Size) } else { Self::End });
        }
        let mut lengths = values(header::CONTENT_LENGTH).flat_map(|value| value.split(',').map(str::trim));
        let Some(first) = lengths.next() else { return Ok(Self::End) };
        if lengths.any(|length| length != first) {
            return Err("two lengths".to_owned());
        }
        let digits = first.bytes().all(|byte| byte.is_ascii_digit());
        let length = first.parse().ok().filter(|_| digits).ok_or_else(|| "a length that is no number".to_owned())?;
        Ok(Self::Length(length))
    }

    /// Bytes of the body, where they were announced.
    pub(super) fn length(self) -> Option<u64> {
        if let Self::Length(length) = self { Some(length) } else { None }
    }

    /// Bytes that may come now without anything between them.
    pub(super) fn run(self) -> u64 {
        match self {
            Self::Length(left) | Self::Chunked(Chunk::Bytes(left)) => left,
            Self::Chunked(_) => 0,
            Self::End => u64::MAX,
        }
    }

    /// So many of them came.
    pub(super) fn came(&mut self, bytes: u64) {
        match self {
            Self::Length(left) => *left -= bytes,
            Self::Chunked(Chunk::Bytes(left)) if *left == bytes => *self = Self::Chunked(Chunk::After),
            Self::Chunked(Chunk::Bytes(left)) => *left -= bytes,
            Self::Chunked(_) | Self::End => {}
        }
    }

    /// All of it has come, and the connection is free.
    pub(super) fn is_done(self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunked(Chunk::Done))
    }
}

impl Chunk {
    /// What follows `line`, which comes where no bytes do.
    pub(super) fn after(self, line: &str) -> Result<Self, String> {
        match self {
            Self::Size => {
                let digits = line.split(';').next().unwrap_or_default().trim();
                let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
                match u64::from_str_radix(digits, 16).ok().filter(|_| plain) {
                    None => Err("a chunk without a size".to_owned()),
                    Some(0) => Ok(Self::Trailer),
                    Some(size) => Ok(Self::Bytes(size)),
                }
            }
            Self::After if line.is_empty() => Ok(Self::Size),
            Self::After => Err("a chunk that is longer than it said".to_owned()),
            Self::Trailer if line.is_empty() => Ok(Self::Done),
            same => Ok(same),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(fields: &[(&'static str, &'static str)]) -> Result<Framing, String> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        Framing::of(&headers)
    }

    #[test]
    fn a_body_ends_where_its_head_says() {
        assert_eq!(of(&[("content-length", "12")]), Ok(Framing::Length(12)));
        assert_eq!(of(&[("content-length", "12"), ("content-length", "12")]), Ok(Framing::Length(12)));
        assert!(of(&[("content-length", "12"), ("content-length", "13")]).is_err());
        assert!(of(&[("content-length", "+12")]).is_err() && of(&[("content-length", "-1")]).is_err());
        assert_eq!(of(&[]), Ok(Framing::End));
        let chunked = Ok(Framing::Chunked(Chunk::Size));
        assert_eq!(of(&[("transfer-encoding", "gzip, Chunked"), ("content-length", "3")]), chunked);
    }

    #[test]
    fn chunks_follow_each_other_or_are_wrong() {
        assert_eq!(Chunk::Size.after("1f;x=y"), Ok(Chunk::Bytes(31)));
        assert_eq!(Chunk::Size.after("0"), Ok(Chunk::Trailer));
        for bad in ["", "x", "-1", "+1", "11111111111111111"] {
            assert!(Chunk::Size.after(bad).is_err(), "{bad}");
        }
        assert_eq!(Chunk::After.after(""), Ok(Chunk::Size));
        assert!(Chunk::After.after("more").is_err());
        assert_eq!(Chunk::Trailer.after("X: 1"), Ok(Chunk::Trailer));
        assert_eq!(Chunk::Trailer.after(""), Ok(Chunk::Done));
    }
}
