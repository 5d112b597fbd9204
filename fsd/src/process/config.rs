//! Configuration: every setting with its value in force, checked, no default left open.
//!
//! Two stages: [`written::Written`] is what the user said and where; [`Config`] is what the program needs.

pub mod keys;
pub mod value;
pub mod written;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use fsd_events::flags::{DebugFlags, Flag};

use self::{
    keys::KEYS,
    value::Value,
    written::{Origin, Written},
};
use crate::{
    data::{hosts::Hosts, store::FetchMode},
    observe::Form,
};

/// Form of the messages for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
    /// Every event, in the words of the seed's log.
    Seed,
}

/// What `fsd` needs to run a mount. Sizes are bytes. Not `Debug`: the source may carry credentials.
#[derive(Clone)]
pub struct Config {
    /// May carry credentials: show it only through [`redacted`].
    pub source: Option<String>,
    pub mountpoint: Option<PathBuf>,
    pub fetch_mode: FetchMode,
    pub temp_dir: PathBuf,
    /// None: what the disk has free.
    pub disk_limit: Option<u64>,
    pub chunk_size: u64,
    pub cache_size: u64,
    pub max_concurrent_requests: usize,
    pub header_file: Option<PathBuf>,
    /// Other hosts that index pages may link to.
    pub allow_hosts: Hosts,
    /// Largest file of unknown length that is fetched to be shown; 0: none is.
    pub unsized_limit: u64,
    pub connect_timeout: Duration,
    pub first_byte_timeout: Duration,
    pub inactivity_timeout: Duration,
    pub read_timeout: Duration,
    pub meta_timeout: Duration,
    pub listing_ttl: Duration,
    pub close_timeout: Duration,
    pub drain_timeout: Duration,
    pub threads: usize,
    pub allow_other: bool,
    pub max_background: u16,
    pub watchdog_interval: Duration,
    pub stalled_after: Duration,
    pub events_limit: u64,
    pub events_total: u64,
    pub recorder: Form,
    pub log_level: String,
    pub log_format: LogFormat,
    /// None: the first of the usual ones that is fit.
    pub runtime_dir: Option<PathBuf>,
    pub state_dir: PathBuf,
    /// A supervisor owns the mount; false elsewhere than on Linux.
    pub supervisor: bool,
    /// A worker that beats and serves nobody for so long is replaced; None: only diagnosed.
    pub replace_after: Option<Duration>,
    /// A worker that a person has stopped is left alone.
    pub keep_stopped: bool,
    /// macOS only.
    pub enable_app_nap: bool,
    pub flags: DebugFlags,
    /// Configuration files that were read, strongest first.
    pub files: Vec<PathBuf>,
}

impl Config {
    /// Gives every setting its value.
    pub fn new(written: &Written) -> Self {
        let take = Take(written);
        let chunk_size = take.size("chunk_size");
        Self {
            source: take.text("source"),
            mountpoint: take.path("mountpoint"),
            fetch_mode: match take.word("fetch_mode").as_str() {
                "range-lru" => FetchMode::RangeLru,
                _ => FetchMode::TempFile,
            },
            temp_dir: take.path("temp_dir").unwrap_or_else(|| base("XDG_CACHE_HOME", ".cache")),
            disk_limit: Some(take.size("disk_limit")).filter(|limit| *limit > 0),
            chunk_size,
            cache_size: take.cache("cache_size", chunk_size),
            max_concurrent_requests: take.number("max_concurrent_requests") as usize,
            header_file: take.path("header_file"),
            allow_hosts: take.hosts("allow_hosts"),
            unsized_limit: take.size("unsized_limit"),
            connect_timeout: take.time("connect_timeout"),
            first_byte_timeout: take.time("first_byte_timeout"),
            inactivity_timeout: take.time("inactivity_timeout"),
            read_timeout: take.time("read_timeout"),
            meta_timeout: take.time("meta_timeout"),
            listing_ttl: take.time("listing_ttl"),
            close_timeout: take.time("close_timeout"),
            drain_timeout: take.time("drain_timeout"),
            threads: take.number("threads") as usize,
            allow_other: take.bool("allow_other"),
            max_background: take.number("max_background") as u16,
            watchdog_interval: take.time("watchdog_interval"),
            stalled_after: take.time("stalled_after"),
            events_limit: take.size("events_limit"),
            events_total: take.size("events_total"),
            recorder: match take.word("recorder").as_str() {
                "heap" => Form::Heap,
                "off" => Form::Off,
                _ => Form::Shared,
            },
            log_level: take.word("log_level"),
            log_format: match take.word("log_format").as_str() {
                "json" => LogFormat::Json,
                "seed" => LogFormat::Seed,
                _ => LogFormat::Text,
            },
            runtime_dir: take.path("runtime_dir"),
            state_dir: take.path("state_dir").unwrap_or_else(state_home),
            supervisor: cfg!(target_os = "linux") && take.bool("supervisor"),
            replace_after: Some(take.time("replace_after")).filter(|time| !time.is_zero()),
            keep_stopped: take.bool("keep_stopped"),
            enable_app_nap: take.bool("enable_app_nap"),
            flags: Flag::ALL.into_iter().fold(DebugFlags::default(), |flags, flag| {
                let value = take.bool(flag.name());
                flags.with(flag, value)
            }),
            files: written.files.clone(),
        }
    }
}

/// The files that are read when none is named, strongest first; the last is the seed's.
pub fn default_files() -> Vec<PathBuf> {
    vec![
        base("XDG_CONFIG_HOME", ".config").join("config.toml"),
        PathBuf::from("/etc/fsd/config.toml"),
        home().join(".fuse-stream-mvp/config.toml"),
    ]
}

/// Adds environment and files to what the flags said.
///
/// # Errors
/// A wrong value, with its place and what is allowed; a named file that is missing.
pub fn complete(mut written: Written, named: Option<&Path>) -> Result<Written, String> {
    let variables: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    written.environment(&variables)?;
    match named {
        Some(path) if !path.exists() => return Err(format!("{}: there is no such file", path.display())),
        Some(path) => written.file(path)?,
        None => default_files().iter().try_for_each(|path| written.file(path))?,
    }
    Ok(written)
}

/// Every setting as `config show` prints it: name, value, origin.
pub fn table(written: &Written) -> Vec<[String; 3]> {
    KEYS.iter()
        .map(|key| {
            let (value, origin) = match written.get(key) {
                Some((Value::Text(text), origin)) if key.name == "source" => (redacted(&text), origin),
                Some((value, origin)) => (value.to_string(), origin),
                None => (String::new(), Origin::Default),
            };
            [key.name.to_owned(), value, origin.to_string()]
        })
        .collect()
}

/// Scheme, host and path of a URL; anything else as it is. Of one whose password holds what ends a host (`#`, `?`, `/`),
/// nobody can tell where the password ends: the scheme alone.
pub fn redacted(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let (authority, tail) = rest.split_at(rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len()));
    let host = authority.rsplit('@').next().unwrap_or_default();
    let port = host.rsplit_once(':').map_or("", |(_, port)| port);
    let plain = tail.starts_with('/') && port.bytes().all(|byte| byte.is_ascii_digit());
    if tail.contains('@') && !plain {
        return format!("{scheme}://...");
    }
    let path = tail.split(['?', '#']).next().unwrap_or_default();
    format!("{scheme}://{host}{path}")
}

/// Typed access to what was written; the table of keys says which kind each has.
struct Take<'a>(&'a Written);

impl Take<'_> {
    fn value(&self, name: &str) -> Option<Value> {
        let key = keys::find(name).expect("every name used here stands in KEYS");
        self.0.get(key).map(|(value, _)| value)
    }

    fn text(&self, name: &str) -> Option<String> {
        self.value(name).map(|value| value.to_string()).filter(|text| !text.is_empty())
    }

    fn word(&self, name: &str) -> String {
        self.text(name).unwrap_or_default()
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        self.text(name).map(PathBuf::from)
    }

    fn hosts(&self, name: &str) -> Hosts {
        match self.value(name) {
            Some(Value::Hosts(hosts)) => hosts,
            _ => Hosts::default(),
        }
    }

    fn bool(&self, name: &str) -> bool {
        matches!(self.value(name), Some(Value::Bool(true)))
    }

    fn number(&self, name: &str) -> u64 {
        match self.value(name) {
            Some(Value::Number(n) | Value::Size(n) | Value::Chunks(n)) => n,
            _ => 0,
        }
    }

    fn size(&self, name: &str) -> u64 {
        self.number(name)
    }

    fn cache(&self, name: &str, chunk_size: u64) -> u64 {
        match self.value(name) {
            Some(Value::Chunks(n)) => n.saturating_mul(chunk_size),
            _ => self.size(name),
        }
    }

    fn time(&self, name: &str) -> Duration {
        match self.value(name) {
            Some(Value::Time(time)) => time,
            _ => Duration::ZERO,
        }
    }
}

fn home() -> PathBuf {
    std::env::home_dir().unwrap_or_else(|| PathBuf::from("/"))
}

/// `$VARIABLE/fsd`, else `~/FALLBACK/fsd`.
fn base(variable: &str, fallback: &str) -> PathBuf {
    let named = std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    named.unwrap_or_else(|| home().join(fallback)).join("fsd")
}

fn state_home() -> PathBuf {
    if cfg!(target_os = "macos") {
        return home().join("Library/Logs/FuseStream");
    }
    base("XDG_STATE_HOME", ".local/state")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_what_the_table_says() {
        let config = Config::new(&Written::default());
        assert_eq!(config.fetch_mode, FetchMode::TempFile);
        assert_eq!((config.threads, config.chunk_size, config.cache_size), (4, 1 << 20, 256 << 20));
        assert_eq!((config.watchdog_interval.as_secs(), config.stalled_after.as_secs()), (2, 10));
        assert_eq!((config.meta_timeout.as_secs(), config.close_timeout.as_secs()), (5, 10));
        assert_eq!((config.disk_limit, config.flags), (None, DebugFlags::default()));
        assert_eq!(config.max_background, u16::MAX);
    }

    #[test]
    fn a_cache_counted_in_chunks_follows_the_chunk_size() {
        let mut written = Written::default();
        for (name, text) in [("chunk_size", "2MiB"), ("cache_size", "8")] {
            written.offer(keys::find(name).unwrap(), text, Origin::Flag).unwrap();
        }
        assert_eq!(Config::new(&written).cache_size, 16 << 20);
    }

    #[test]
    fn a_shown_source_has_no_secret() {
        assert_eq!(redacted("https://user:pw@host:8080/a/b?token=canary#x"), "https://host:8080/a/b");
        assert_eq!(redacted("https://host?token=canary"), "https://host");
        assert_eq!(redacted("/srv/files"), "/srv/files");
        assert_eq!(redacted("http://host:8080/@scope/a"), "http://host:8080/@scope/a");
        assert_eq!(redacted("http://user:pw@host/@scope#canary@"), "http://host/@scope");
        for password in ["can#ary", "can?ary", "can/ary", "can\\ary", "can#a/ry", "#canary", "1#canary", "can@a#ry"] {
            let shown = redacted(&format!("http://user:{password}@host/"));
            assert!(!["can", "ary", "ry", "1"].iter().any(|part| shown.contains(part)), "{password}: {shown}");
        }
        let mut written = Written::default();
        written.offer(keys::find("source").unwrap(), "http://u:canary@h/?canary", Origin::Flag).unwrap();
        assert!(!format!("{:?}", table(&written)).contains("canary"));
    }
}
