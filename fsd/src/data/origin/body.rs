//! A body: exactly the promised bytes, each in time, or an error.

use std::{fmt, ops::Range, time::Duration};

use bytes::Bytes;

use crate::platform::pages::{Filled, Filling};

use super::{
    Limit, Meta, OriginError, Resource,
    check::Promise,
    exchange::{Answer, Flow, root_cause},
};

/// The bytes of one answer. Dropping it before its end closes the connection.
pub struct Body {
    flow: Flow,
    from: Resource,
    renewed: Option<Resource>,
    promise: Promise,
    at: u64,
    inactivity: Duration,
}

/// Some bytes of a body.
pub enum Piece {
    /// Where they were to go.
    Filled(Filled),
    /// In memory of their own.
    Own(Bytes),
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("from", &self.from).field("promise", &self.promise).field("at", &self.at).finish()
    }
}

impl Body {
    pub(super) fn new(answer: Answer, promise: Promise, inactivity: Duration) -> Self {
        let at = promise.range.start;
        Self { flow: answer.got.flow, from: answer.from, renewed: answer.renewed, promise, at, inactivity }
    }

    /// What the head of the answer said.
    pub fn meta(&self) -> &Meta {
        &self.promise.meta
    }

    /// Offset of the next byte in the content.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Whether the head did not tell where it ends.
    pub fn is_open_ended(&self) -> bool {
        self.promise.range.end == u64::MAX
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
        let next = async {
            match &mut self.flow {
                Flow::Client(response) => response.chunk().await.map_err(|error| root_cause(&error.without_url())),
                Flow::Plain(stream) => stream.next().await.map_err(|error| error.to_string()),
            }
        };
        let read = tokio::time::timeout(self.inactivity, next).await.ok();
        let piece = self.in_time(read)?;
        self.advance(piece.as_ref().map(Bytes::len))?;
        Ok(piece)
    }

    /// The next piece, read into `into`, which has room, where that is possible; None at the exact end.
    ///
    /// # Errors
    /// As [`Body::chunk`].
    pub async fn fill(&mut self, into: &mut Filling) -> Result<Option<Piece>, OriginError> {
        let Flow::Plain(stream) = &mut self.flow else { return Ok(self.chunk().await?.map(Piece::Own)) };
        let read = tokio::time::timeout(self.inactivity, stream.fill(into)).await.ok();
        let filled = self.in_time(read.map(|read| read.map_err(|error| error.to_string())))?;
        self.advance(filled.as_ref().map(|filled| filled.len()))?;
        Ok(filled.map(Piece::Filled))
    }

    /// None: nothing came in time.
    fn in_time<T>(&self, read: Option<Result<T, String>>) -> Result<T, OriginError> {
        let late = || {
            let at = self.from.to_string();
            OriginError::Timeout { limit: Limit::Inactivity, at, after: self.inactivity }
        };
        read.ok_or_else(late)?.map_err(|why| self.short(&why))
    }

    /// So many bytes came; None: the end.
    fn advance(&mut self, came: Option<usize>) -> Result<(), OriginError> {
        let Range { end, .. } = self.promise.range;
        let Some(came) = came else {
            return if end == u64::MAX || self.at == end { Ok(()) } else { Err(self.short("it ended")) };
        };
        let at = self.at + came as u64;
        if at > end {
            let why = "more bytes than were asked for".to_owned();
            return Err(OriginError::Answer { at: self.from.to_string(), why });
        }
        self.at = at;
        Ok(())
    }

    fn short(&self, why: &str) -> OriginError {
        let Range { start, end } = self.promise.range;
        OriginError::Short { at: self.from.to_string(), got: self.at - start, want: end - start, why: why.to_owned() }
    }
}
