//! Faults: what can be wrong with an origin, each seen in the field.

use std::time::Duration;

#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// Accepts the request and answers only after a release.
    Silent,
    /// Stops after this many bytes of the body, until a release.
    StallAt(u64),
    /// One byte of the body in each interval, until a release.
    Trickle(Duration),
    /// Resets the connection after this many bytes of the body.
    ResetAt(u64),
    /// Closes the connection cleanly after this many bytes of the body; the length promised more.
    ShortAt(u64),
    /// Announces a length that is wrong by this many bytes; the body has the announced length.
    WrongLength(i64),
    /// Chunked, without a length.
    Chunked,
    /// Chunked, and cleanly ended after this many bytes.
    ChunkedShort(u64),
    /// 200 and the whole content for a ranged request.
    WholeForRange,
    /// 206 with a `Content-Range` that is shifted by one.
    WrongRange,
    /// 206 that names another total size.
    WrongTotal,
    /// Another entity tag than the file has.
    OtherTag,
    /// Nothing but this status.
    Status { code: u16, retry_after: Option<String> },
    /// 302 to this location.
    Redirect(String),
    /// 302 to itself.
    RedirectLoop,
    /// Waits before the head.
    Delay(Duration),
    /// `Content-Encoding: gzip`.
    Encoded,
    /// HEAD is not served.
    NoHead,
    /// Not HTTP.
    Garbage,
}

impl Fault {
    /// This status without `Retry-After`.
    pub fn status(code: u16) -> Self {
        Self::Status { code, retry_after: None }
    }
}
