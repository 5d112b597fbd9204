//! Stream: the body of a plain answer.

use std::{io, sync::Arc};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::{io::AsyncReadExt, net::TcpStream, task::coop};

use crate::platform::pages::{Filled, Filling};

use super::{
    framing::{Chunk, Framing},
    idle::{Host, Idle},
};

/// Bytes of one read that has no block to go to.
const READ: usize = 128 << 10;
/// A line between two chunks is not longer.
const LONGEST_LINE: usize = 16 << 10;

pub(in crate::data::origin) struct Stream {
    /// None: all has come.
    socket: Option<TcpStream>,
    /// Read and not given out.
    rest: BytesMut,
    framing: Framing,
    home: Option<(Arc<Idle>, Host)>,
}

impl Stream {
    pub(super) fn new(socket: TcpStream, rest: BytesMut, framing: Framing, home: Option<(Arc<Idle>, Host)>) -> Self {
        let mut stream = Self { socket: Some(socket), rest, framing, home };
        stream.end_if_done();
        stream
    }

    /// The next bytes; None: all has come.
    pub(in crate::data::origin) async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let run = self.run().await?;
        if run == 0 {
            return Ok(None);
        }
        if self.rest.is_empty() && self.more().await? == 0 {
            return self.ended();
        }
        let bytes = self.rest.split_to(run.min(self.rest.len())).freeze();
        self.came(bytes.len());
        Ok(Some(bytes))
    }

    /// The same into a block, which has room.
    pub(in crate::data::origin) async fn fill(&mut self, into: &mut Filling) -> io::Result<Option<Filled>> {
        let run = self.run().await?;
        if run == 0 {
            return Ok(None);
        }
        if !self.rest.is_empty() {
            let filled = into.append(&self.rest[..run.min(self.rest.len())]);
            self.rest.advance(filled.len());
            self.came(filled.len());
            return Ok(Some(filled));
        }
        let Some(socket) = &self.socket else { return Ok(None) };
        let got = loop {
            // An origin that is always ahead must not keep a thread from its other tasks.
            coop::consume_budget().await;
            let room = into.spare();
            let most = run.min(room.len());
            match socket.try_read(&mut room[..most]) {
                Ok(got) => break got,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => socket.readable().await?,
                Err(error) => return Err(error),
            }
        };
        if got == 0 {
            return self.ended();
        }
        self.came(got);
        Ok(Some(into.grow(got)))
    }

    /// How many bytes may come now; 0: all has come. Steps over what lies between chunks.
    async fn run(&mut self) -> io::Result<usize> {
        while let Framing::Chunked(chunk) = self.framing
            && self.framing.run() == 0
            && !self.framing.is_done()
        {
            self.framing = Framing::Chunked(self.line(chunk).await?);
            self.end_if_done();
        }
        Ok(usize::try_from(self.framing.run()).unwrap_or(usize::MAX))
    }

    /// The connection is at its end.
    fn ended<T>(&self) -> io::Result<Option<T>> {
        if self.framing == Framing::End { Ok(None) } else { Err(io::Error::other("it ended")) }
    }

    fn came(&mut self, bytes: usize) {
        self.framing.came(bytes as u64);
        self.end_if_done();
    }

    fn end_if_done(&mut self) {
        if !self.framing.is_done() {
            return;
        }
        let socket = self.socket.take();
        // Bytes behind the end are nobody's: such a connection is not used again.
        if let (Some(socket), Some((idle, host)), true) = (socket, self.home.take(), self.rest.is_empty()) {
            idle.keep(host, socket);
        }
    }

    async fn more(&mut self) -> io::Result<usize> {
        let Some(socket) = &mut self.socket else { return Ok(0) };
        let most = usize::try_from(self.framing.run()).unwrap_or(READ).clamp(1024, READ);
        self.rest.reserve(most);
        socket.read_buf(&mut (&mut self.rest).limit(most)).await
    }

    /// The next line, and what follows it.
    async fn line(&mut self, chunk: Chunk) -> io::Result<Chunk> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line = String::from_utf8_lossy(&self.rest[..end]).trim_end_matches('\r').to_owned();
                self.rest.advance(end + 1);
                return chunk.after(&line).map_err(io::Error::other);
            }
            if self.rest.len() > LONGEST_LINE {
                return Err(io::Error::other("an endless line between chunks"));
            }
            if self.more().await? == 0 {
                return Err(io::Error::other("it ended"));
            }
        }
    }
}
