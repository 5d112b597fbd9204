//! The origin: HTTP with limits, retries and exact answers. The only home of the HTTP client.

mod error;
mod resource;

pub use error::{Limit, OriginError};
pub use resource::{Renew, Resource, Sealed};

use std::{ops::Range, time::Duration};

use bytes::Bytes;
use fsd_events::ids::OpId;

/// Tells one version of a content from another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Validator {
    /// A strong entity tag, with its quotes.
    Strong(String),
    /// Last-Modified as the origin wrote it, with the size.
    Dated { modified: String, size: Option<u64> },
    /// Not known (yet): a store takes over what the first answer brings; brings it none, all data must come
    /// from that one answer.
    #[default]
    None,
}

/// What an origin says about a content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// Exact length in bytes; None: not told.
    pub size: Option<u64>,
    pub validator: Validator,
    /// Last-Modified, microseconds since 1970.
    pub modified_us: Option<u64>,
    /// `Accept-Ranges: bytes` was announced; many servers serve ranges without saying so.
    pub ranges: bool,
}

/// Limits of every request.
#[derive(Clone, Debug)]
pub struct OriginConfig {
    pub connect: Duration,
    /// From the request to the head of the answer.
    pub first_byte: Duration,
    /// Between two pieces of a body.
    pub inactivity: Duration,
    /// For pages and heads: everything, with redirects and retries.
    pub whole: Duration,
    /// Further attempts after the first.
    pub retries: u32,
    /// Shortest wait before a further attempt; doubled each time, with jitter.
    pub backoff: Duration,
    /// Longest wait before a further attempt, also when the origin asks for more.
    pub backoff_limit: Duration,
    pub redirects: u32,
}

impl Default for OriginConfig {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            first_byte: Duration::from_secs(10),
            inactivity: Duration::from_secs(10),
            whole: Duration::from_secs(30),
            retries: 2,
            backoff: Duration::from_millis(200),
            backoff_limit: Duration::from_secs(5),
            redirects: 5,
        }
    }
}

/// A page in memory: an index, a manifest.
#[derive(Clone, Debug)]
pub struct Page {
    /// Where it came from in the end, after redirects.
    pub from: Resource,
    /// Media type without parameters, lower case.
    pub media_type: String,
    pub text: String,
}

/// The HTTP client with its limits. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Origin {
    _config: std::sync::Arc<OriginConfig>,
}

/// The bytes of one answer, exactly as many as were asked for, or an error.
#[derive(Debug)]
pub struct Body {
    meta: Meta,
}

impl Body {
    /// What the head of the answer said.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The next piece; None at the exact end.
    ///
    /// # Errors
    /// When nothing came for the inactivity limit, or the body ends early or late.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, OriginError> {
        Ok(None)
    }
}

impl Origin {
    /// # Errors
    /// When the TLS configuration of the machine cannot be used.
    pub fn new(config: OriginConfig) -> Result<Self, OriginError> {
        Ok(Self { _config: std::sync::Arc::new(config) })
    }

    /// Asks for size and version.
    ///
    /// # Errors
    /// After the configured attempts.
    pub async fn head(&self, r: &Resource, _op: OpId) -> Result<Meta, OriginError> {
        Err(OriginError::Status { at: r.to_string(), code: 501, retry_after: None })
    }

    /// Starts to fetch `range`, or everything, of the version `expect`.
    ///
    /// # Errors
    /// After the configured attempts; at once when the content has changed or the answer is not exactly `range`.
    pub async fn get(
        &self,
        r: &Resource,
        _range: Option<Range<u64>>,
        _expect: &Validator,
        _op: OpId,
    ) -> Result<Body, OriginError> {
        Err(OriginError::Status { at: r.to_string(), code: 501, retry_after: None })
    }

    /// Fetches a page of at most `limit` bytes.
    ///
    /// # Errors
    /// After the configured attempts, or when it is larger.
    pub async fn text(&self, r: &Resource, _limit: usize, _op: OpId) -> Result<Page, OriginError> {
        Err(OriginError::Status { at: r.to_string(), code: 501, retry_after: None })
    }

    /// The last requests for names or sizes ran into a limit, and none has succeeded since.
    pub fn stalled(&self) -> bool {
        false
    }
}
