//! The scripted origin: an HTTP/1.1 server on loopback with endless files, and with faults on request.
//!
//! Files have a size and a known pattern of bytes and are never stored, so a test can serve 100 GiB.

mod answer;
mod connection;
mod fault;
mod pages;
mod pattern;
mod script;

pub use fault::Fault;
pub use pages::IndexStyle;
pub use pattern::{Checksum, checksum, fill, first_difference};
pub use script::{Request, Upload, Versions};

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    time::Duration,
};

use script::Script;

/// A running origin; it ends when dropped.
#[derive(Debug)]
pub struct Origin {
    script: Arc<Script>,
    address: SocketAddr,
}

impl Origin {
    /// Serves on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When no port can be bound or no thread started.
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let script = Arc::new(Script::default());
        let served = Arc::clone(&script);
        std::thread::Builder::new().name("origin".to_owned()).spawn(move || accept(&listener, &served))?;
        Ok(Self { script, address })
    }

    /// The URL of `path`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{}", self.address, path.trim_start_matches('/'))
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves a file of `size` pattern bytes; replacing one gives it other bytes, tag and time.
    pub fn file(&self, path: &str, size: u64) -> &Self {
        self.script.edit(|book| book.put_file(path, size));
        self
    }

    /// Forgets a file: 404 from now on.
    pub fn remove(&self, path: &str) -> &Self {
        self.script.edit(|book| book.remove(path));
        self
    }

    /// Serves `text` as it is.
    pub fn page(&self, path: &str, media_type: &str, text: &str) -> &Self {
        self.script.edit(|book| book.put_page(path, media_type, text));
        self
    }

    /// How directories are listed.
    pub fn list_as(&self, style: IndexStyle) -> &Self {
        self.script.edit(|book| book.index = style);
        self
    }

    /// What answers say about the version of this file.
    pub fn versions(&self, path: &str, versions: Versions) -> &Self {
        self.script.edit(|book| book.entry(path).versions = versions);
        self
    }

    /// Ranges are ignored for this file, as simple servers do.
    pub fn no_ranges(&self, path: &str) -> &Self {
        self.script.edit(|book| book.entry(path).ranges = false);
        self
    }

    /// 401 without this header.
    pub fn require(&self, path: &str, name: &str, value: &str) -> &Self {
        self.script.edit(|book| book.entry(path).required = Some((name.to_ascii_lowercase(), value.to_owned())));
        self
    }

    /// The next request for `path` meets this fault; further calls queue up.
    pub fn fault(&self, path: &str, fault: Fault) -> &Self {
        self.script.edit(|book| book.entry(path).queued.push_back(Some(fault)));
        self
    }

    /// The next request for `path` that is not answered otherwise is answered well.
    pub fn pass(&self, path: &str) -> &Self {
        self.script.edit(|book| book.entry(path).queued.push_back(None));
        self
    }

    /// Every request for `path` beyond the queued ones meets this fault.
    pub fn always(&self, path: &str, fault: Fault) -> &Self {
        self.script.edit(|book| book.entry(path).always = Some(fault));
        self
    }

    /// Forgets every fault; what stalls goes on stalling.
    pub fn heal(&self) -> &Self {
        self.script.edit(|book| book.heal());
        self
    }

    /// Waits this long before each head.
    pub fn latency(&self, latency: Duration) -> &Self {
        self.script.edit(|book| book.latency = latency);
        self
    }

    /// Waits this long before the first request of each connection is read.
    pub fn connecting(&self, latency: Duration) -> &Self {
        self.script.edit(|book| book.connecting = latency);
        self
    }

    /// Bytes per second of each connection; 0: no limit.
    pub fn bandwidth(&self, bytes: u64) -> &Self {
        self.script.edit(|book| book.bandwidth = bytes);
        self
    }

    /// Lets everything go on that stalls or trickles now.
    pub fn release(&self) -> &Self {
        self.script.edit(|book| book.releases += 1);
        self
    }

    /// Every request so far, in order of arrival.
    pub fn requests(&self) -> Vec<Request> {
        self.script.look(|book| book.requests.clone())
    }

    /// Requests for `path`, whatever the query.
    pub fn requests_of(&self, path: &str) -> Vec<Request> {
        let path = format!("/{}", path.trim_start_matches('/'));
        self.requests().into_iter().filter(|request| request.path == path).collect()
    }

    /// Answers that stall at this moment.
    pub fn stalled(&self) -> usize {
        self.script.look(|book| book.stalled)
    }

    /// Bytes of bodies written to sockets.
    pub fn sent(&self) -> u64 {
        self.script.look(|book| book.sent)
    }

    /// Bodies received by PUT.
    pub fn uploads(&self) -> Vec<Upload> {
        self.script.look(|book| book.uploads.clone())
    }

    /// Waits until `ready`, at most `limit`; false when it did not come true.
    pub fn wait(&self, limit: Duration, ready: impl Fn(&Self) -> bool) -> bool {
        self.script.wait(limit, || ready(self))
    }

    /// The bytes `range` of the present version of `path`, to compare with.
    pub fn bytes(&self, path: &str, start: u64, len: usize) -> Vec<u8> {
        self.bytes_of(path, self.version(path), start, len)
    }

    /// How often `path` has been given other bytes; its first version is 1.
    pub fn version(&self, path: &str) -> u64 {
        self.script.look(|book| book.version(path))
    }

    /// The same of one of its versions.
    pub fn bytes_of(&self, path: &str, version: u64, start: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        fill(pattern::seed(path, version), start, &mut bytes);
        bytes
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.script.end();
        drop(TcpStream::connect(self.address));
    }
}

fn accept(listener: &TcpListener, script: &Arc<Script>) {
    for stream in listener.incoming() {
        if script.ended() {
            return;
        }
        let Ok(stream) = stream else { continue };
        let script = Arc::clone(script);
        let serve = move || connection::serve(&stream, &script);
        let started = std::thread::Builder::new().name("origin-conn".to_owned()).stack_size(1 << 18).spawn(serve);
        drop(started);
    }
}

#[cfg(test)]
mod tests;
