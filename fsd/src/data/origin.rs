//! The origin: HTTP with limits, retries and exact answers. The only home of the HTTP client.

mod attempts;
mod body;
mod check;
mod clients;
mod error;
mod exchange;
mod plain;
mod resource;

pub use body::{Body, Piece};
pub use error::{Limit, OriginError};
pub use resource::{Renew, Resource, Sealed};

use std::{
    fmt,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use fsd_events::ids::OpId;
use reqwest::{Method, header};
use serde::{Deserialize, Serialize};

use attempts::Pace;
use exchange::{Ask, Exchange};

/// Tells one version of a content from another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
#[derive(Clone)]
pub struct Origin {
    shared: Arc<Shared>,
}

struct Shared {
    config: OriginConfig,
    exchange: Exchange,
    pace: Pace,
    stalled: AtomicBool,
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Origin").field("config", &self.shared.config).finish_non_exhaustive()
    }
}

impl Origin {
    /// # Errors
    /// When the HTTP client cannot be set up.
    pub fn new(config: OriginConfig) -> Result<Self, OriginError> {
        let exchange = Exchange::new(&config)?;
        let shared = Shared { config, exchange, pace: Pace::default(), stalled: AtomicBool::new(false) };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Asks for size and version.
    ///
    /// # Errors
    /// After the configured attempts, or at the limit for the whole.
    pub async fn head(&self, r: &Resource, op: OpId) -> Result<Meta, OriginError> {
        let ask = Ask { method: Method::HEAD, range: None, expect: Validator::None, op };
        self.bounded(r, async {
            let answer = self.attempt(r, &ask).await?;
            check::identity(&answer)?;
            Ok(check::meta(&answer))
        })
        .await
    }

    /// Where `r` leads to after its redirects.
    ///
    /// # Errors
    /// As [`Origin::head`].
    pub async fn destination(&self, r: &Resource, op: OpId) -> Result<Resource, OriginError> {
        let ask = Ask { method: Method::HEAD, range: None, expect: Validator::None, op };
        self.bounded(r, async { self.attempt(r, &ask).await.map(|answer| answer.from) }).await
    }

    /// Starts to fetch `range`, or everything, of the version `expect`.
    ///
    /// # Errors
    /// After the configured attempts; at once when the content has changed or the answer is not exactly `range`.
    pub async fn get(
        &self,
        r: &Resource,
        range: Option<Range<u64>>,
        expect: &Validator,
        op: OpId,
    ) -> Result<Body, OriginError> {
        let ask = Ask { method: Method::GET, range, expect: expect.clone(), op };
        let answer = self.attempt(r, &ask).await?;
        let promise = check::promise(&answer, &ask)?;
        Ok(Body::new(answer, promise, self.shared.config.inactivity))
    }

    /// Fetches a page of at most `limit` bytes.
    ///
    /// # Errors
    /// After the configured attempts, at the limit for the whole, or when it is larger.
    pub async fn text(&self, r: &Resource, limit: usize, op: OpId) -> Result<Page, OriginError> {
        self.bounded(r, self.page(r, limit, op)).await
    }

    async fn page(&self, r: &Resource, limit: usize, op: OpId) -> Result<Page, OriginError> {
        let ask = Ask { method: Method::GET, range: None, expect: Validator::None, op };
        let answer = self.attempt(r, &ask).await?;
        let promise = check::promise(&answer, &ask)?;
        let media_type = answer.header(header::CONTENT_TYPE).unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let from = answer.from.clone();
        let mut body = Body::new(answer, promise, self.shared.config.inactivity);
        let mut bytes = Vec::new();
        while let Some(piece) = body.chunk().await? {
            if bytes.len() + piece.len() > limit {
                return Err(OriginError::TooLarge { at: r.to_string(), limit });
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(Page { from, media_type, text: String::from_utf8_lossy(&bytes).into_owned() })
    }

    /// The last request for names or sizes ran into a limit, and none has succeeded since.
    pub fn stalled(&self) -> bool {
        self.shared.stalled.load(Ordering::Relaxed)
    }

    /// Puts the limit for the whole on `work` and remembers whether the origin stalls.
    async fn bounded<T>(
        &self,
        r: &Resource,
        work: impl Future<Output = Result<T, OriginError>>,
    ) -> Result<T, OriginError> {
        let whole = self.shared.config.whole;
        let late = || OriginError::Timeout { limit: Limit::Whole, at: r.to_string(), after: whole };
        let result = tokio::time::timeout(whole, work).await.unwrap_or_else(|_| Err(late()));
        let stalled = matches!(result, Err(OriginError::Timeout { .. }));
        self.shared.stalled.store(stalled, Ordering::Relaxed);
        result
    }
}

#[cfg(test)]
#[cfg(feature = "failpoints")]
mod tests;
