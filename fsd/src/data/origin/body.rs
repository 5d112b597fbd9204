//! A body: exactly the promised bytes, each in time, or an error.

use std::{fmt, ops::Range, time::Duration};

use bytes::Bytes;
use reqwest::Response;

use super::{
    Limit, Meta, OriginError, Resource,
    check::Promise,
    exchange::{Answer, root_cause},
};

/// The bytes of one answer. Dropping it before its end closes the connection.
pub struct Body {
    response: Response,
    from: Resource,
    renewed: Option<Resource>,
    promise: Promise,
    at: u64,
    inactivity: Duration,
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("from", &self.from).field("promise", &self.promise).field("at", &self.at).finish()
    }
}

impl Body {
    pub(super) fn new(answer: Answer, promise: Promise, inactivity: Duration) -> Self {
        let at = promise.range.start;
        Self { response: answer.response, from: answer.from, renewed: answer.renewed, promise, at, inactivity }
    }

    /// What the head of the answer said.
    pub fn meta(&self) -> &Meta {
        &self.promise.meta
    }

    /// Offset of the next byte in the content.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// The resource to use from now on, when the source had to give a fresh one.
    pub fn renewed(&self) -> Option<&Resource> {
        self.renewed.as_ref()
    }

    /// The next piece; None at the exact end.
    ///
    /// # Errors
    /// When nothing came for the inactivity limit, or the body ends early or late.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, OriginError> {
        let Ok(read) = tokio::time::timeout(self.inactivity, self.response.chunk()).await else {
            let at = self.from.to_string();
            return Err(OriginError::Timeout { limit: Limit::Inactivity, at, after: self.inactivity });
        };
        let piece = read.map_err(|error| self.short(&root_cause(&error.without_url())))?;
        let Some(piece) = piece else {
            let Range { end, .. } = self.promise.range;
            return if end == u64::MAX || self.at == end { Ok(None) } else { Err(self.short("it ended")) };
        };
        let at = self.at + piece.len() as u64;
        if at > self.promise.range.end {
            let why = "more bytes than were asked for".to_owned();
            return Err(OriginError::Answer { at: self.from.to_string(), why });
        }
        self.at = at;
        Ok(Some(piece))
    }

    fn short(&self, why: &str) -> OriginError {
        let Range { start, end } = self.promise.range;
        OriginError::Short { at: self.from.to_string(), got: self.at - start, want: end - start, why: why.to_owned() }
    }
}
