//! What can go wrong between `fsd` and an origin. No message holds a query string or a credential.

use std::time::Duration;

/// Which of the limits a request ran into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    Connect,
    FirstByte,
    Inactivity,
    Whole,
}

impl Limit {
    fn words(self) -> &'static str {
        match self {
            Self::Connect => "no connection",
            Self::FirstByte => "no answer",
            Self::Inactivity => "no data",
            Self::Whole => "not complete",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    #[error("{at}: {} after {after:?}", .limit.words())]
    Timeout { limit: Limit, at: String, after: Duration },
    #[error("{at}: cannot connect: {why}")]
    Connect { at: String, why: String },
    #[error("{at}: HTTP {code}")]
    Status { at: String, code: u16, retry_after: Option<Duration> },
    /// The content is no longer the one that was asked for.
    #[error("{at}: changed on the origin: {why}")]
    Changed { at: String, why: String },
    /// The content has no such range; its size, where the answer tells it.
    #[error("{at}: changed on the origin: it has become shorter")]
    Beyond { at: String, size: Option<u64> },
    /// The origin answered a ranged request with the whole content.
    #[error("{at}: the origin does not serve ranges")]
    NoRanges { at: String },
    /// The answer does not fit the request.
    #[error("{at}: wrong answer: {why}")]
    Answer { at: String, why: String },
    /// The body ended or broke before its length.
    #[error("{at}: body ended at {got} of {want} bytes: {why}")]
    Short { at: String, got: u64, want: u64, why: String },
    #[error("{at}: {why}")]
    Redirect { at: String, why: String },
    #[error("{at}: more than {limit} bytes")]
    TooLarge { at: String, limit: usize },
    #[error("not a usable URL: {0}")]
    Url(String),
    #[error("headers: {0}")]
    Headers(String),
    #[error("HTTP client: {0}")]
    Client(String),
}

impl OriginError {
    /// Trying the same request again may help.
    pub fn passing(&self) -> bool {
        match self {
            Self::Timeout { limit, .. } => *limit != Limit::Whole,
            Self::Connect { .. } | Self::Short { .. } => true,
            Self::Status { code, .. } => matches!(code, 408 | 425 | 429 | 500 | 502 | 503 | 504),
            _ => false,
        }
    }

    /// The origin answers 401, 403 or 410: the URL or its credentials are no longer good.
    pub fn refused(&self) -> bool {
        matches!(self, Self::Status { code: 401 | 403 | 410, .. })
    }
}
