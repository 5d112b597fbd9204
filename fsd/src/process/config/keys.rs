//! Setting: the one list that flags, environment, files, `config show` and docs/CONFIG.md read.

use fsd_events::flags::Flag;

/// What a setting's value may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Bool,
    /// A whole number within both limits.
    Count(u64, u64),
    /// Bytes within both limits, with or without a unit.
    Bytes(u64, u64),
    /// Bytes with a unit; without one a number of chunks, as the seed counted.
    Cache,
    /// Milliseconds within both limits; the user writes a unit, or seconds.
    Time(u64, u64),
    Word(&'static [&'static str]),
    /// A `tracing` filter: a level, or directives per module.
    Filter,
    /// Hosts, with commas between; in a file also an array.
    Hosts,
    /// A path; `~/` is the home directory.
    Path,
    Text,
}

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// As in the file; flags write `-` for `_`, the environment `FSD_` and capitals.
    pub name: &'static str,
    pub kind: Kind,
    /// As a user would write it; empty: none.
    pub default: &'static str,
    pub help: &'static str,
}

const fn key(name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Key {
    Key { name, kind, default, help }
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const TIB: u64 = 1 << 40;
const MINUTE: u64 = 60_000;
const DAY: u64 = 24 * 60 * MINUTE;

/// Every setting, in the order in which they are shown.
pub const KEYS: &[Key] = &[
    key("source", Kind::Text, "", "what to mount: a URL, a manifest or a directory"),
    key("mountpoint", Kind::Path, "", "where to mount it"),
    key(
        "fetch_mode",
        Kind::Word(&["temp-file", "range-lru"]),
        "temp-file",
        "keep bytes in a sparse file, or in memory",
    ),
    key("temp_dir", Kind::Path, "", "directory of the temp files (default: $XDG_CACHE_HOME/fsd)"),
    key(
        "disk_limit",
        Kind::Bytes(0, u64::MAX),
        "0",
        "temp files use at most this much disk; 0: what the disk has free",
    ),
    key("chunk_size", Kind::Bytes(64 * KIB, 64 * MIB), "1MiB", "one range request of range-lru"),
    key("cache_size", Kind::Cache, "256MiB", "memory of range-lru; a number without a unit counts chunks"),
    key("max_concurrent_requests", Kind::Count(1, 256), "16", "requests to the origin at once"),
    key("header_file", Kind::Path, "", "file with HTTP headers for the source, one `Name: value` a line"),
    key("allow_hosts", Kind::Hosts, "", "other hosts whose files index pages may link to; headers are not sent there"),
    key(
        "unsized_limit",
        Kind::Bytes(0, TIB),
        "1GiB",
        "files of unknown length are fetched whole before they are shown, if not larger than this; 0: never shown",
    ),
    key("connect_timeout", Kind::Time(100, DAY), "5s", "limit for connecting to the origin"),
    key("first_byte_timeout", Kind::Time(100, DAY), "10s", "limit for the first byte of an answer"),
    key("inactivity_timeout", Kind::Time(100, DAY), "10s", "limit between two pieces of a body"),
    key("read_timeout", Kind::Time(100, DAY), "60s", "limit for one read of a client; progress does not extend it"),
    key("meta_timeout", Kind::Time(100, DAY), "5s", "limit for names, attributes and listings"),
    key(
        "listing_ttl",
        Kind::Time(100, DAY),
        "30s",
        "a directory listed longer ago is listed again when somebody looks",
    ),
    key("close_timeout", Kind::Time(100, DAY), "10s", "limit for closing a store before the reaper gets it"),
    key("drain_timeout", Kind::Time(0, DAY), "30s", "how long an unmount waits for open files before it aborts"),
    key("threads", Kind::Count(1, 64), "4", "loops that read requests from the kernel"),
    key(
        "allow_other",
        Kind::Bool,
        "false",
        "let other users in (a plain user needs user_allow_other in /etc/fuse.conf)",
    ),
    key("max_background", Kind::Count(1, 65535), "65535", "background requests the kernel may send at once"),
    key("watchdog_interval", Kind::Time(50, 10 * MINUTE), "2s", "how often the watchdog looks"),
    key("stalled_after", Kind::Time(100, DAY), "10s", "age of an operation that counts as a stall"),
    key("events_limit", Kind::Bytes(64 * KIB, TIB), "64MiB", "size at which the event file is rotated"),
    key("events_total", Kind::Bytes(MIB, TIB), "512MiB", "room for all event files of the mount together"),
    key(
        "recorder",
        Kind::Word(&["shared", "heap", "off"]),
        "shared",
        "readable after a crash, in private memory, or without what operations do",
    ),
    key("log_level", Kind::Filter, "info", "messages to show: a level or tracing directives; RUST_LOG does the same"),
    key(
        "log_format",
        Kind::Word(&["text", "json", "seed"]),
        "text",
        "form of the messages; seed: every event in the seed's words",
    ),
    key("runtime_dir", Kind::Path, "", "directory on tmpfs for the socket and the recorder's rings"),
    key("state_dir", Kind::Path, "", "directory for event files and stack dumps (default: $XDG_STATE_HOME/fsd)"),
    key("supervisor", Kind::Bool, "true", "a process of its own keeps the mount when a worker dies (Linux)"),
    key(
        "replace_after",
        Kind::Time(0, DAY),
        "0s",
        "replace a worker whose loops all stand still for so long although it beats; 0: only diagnose it",
    ),
    key("keep_stopped", Kind::Bool, "false", "a worker stopped by SIGSTOP is not replaced"),
    key("enable_app_nap", Kind::Bool, "false", "macOS: let the system put fsd to sleep; without effect elsewhere"),
    key(SKIP_EVICTION.0, Kind::Bool, "false", SKIP_EVICTION.1),
    key(SINGLE_THREAD.0, Kind::Bool, "false", SINGLE_THREAD.1),
    key("debug_lock_events", Kind::Bool, "false", "record every step of every lock"),
    key("debug_all_callbacks", Kind::Bool, "false", "mount so that every callback arrives"),
];

const SKIP_EVICTION: (&str, &str) =
    ("debug_skip_eviction", "Release closes and evicts nothing: if hangs stop, the close path is guilty");
const SINGLE_THREAD: (&str, &str) =
    ("debug_fskit_single_thread", "one request at a time, start to end: if hangs stop, it is a concurrency issue");

/// The setting of that name, with `-` or `_`.
pub fn find(name: &str) -> Option<&'static Key> {
    let name = name.replace('-', "_");
    KEYS.iter().find(|key| key.name == name)
}

/// The known name nearest to a mistyped one.
pub fn nearest(name: &str) -> Option<&'static str> {
    let near = |key: &&Key| strsim::damerau_levenshtein(key.name, &name.to_lowercase());
    let best = KEYS.iter().min_by_key(near)?;
    (near(&best) <= name.len().div_ceil(3)).then_some(best.name)
}

impl Key {
    /// The environment variables that set it, strongest first; the second is the seed's.
    pub fn variables(&self) -> Vec<String> {
        let upper = self.name.to_uppercase();
        let mut names = vec![format!("FSD_{upper}"), format!("FSMVP_{upper}")];
        if self.kind == Kind::Filter {
            names.insert(0, "RUST_LOG".to_owned());
        }
        names
    }

    /// The debug flag that it sets, if it is one.
    pub fn flag(&self) -> Option<Flag> {
        Flag::parse(self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_debug_flag_is_a_setting() {
        for flag in Flag::ALL {
            assert_eq!(find(flag.name()).and_then(Key::flag), Some(flag));
        }
    }

    #[test]
    fn the_seeds_keys_are_all_there() {
        for name in [
            "mountpoint",
            "fetch_mode",
            "temp_dir",
            "chunk_size",
            "max_concurrent_requests",
            "cache_size",
            "enable_app_nap",
            "debug_skip_eviction",
            "debug_fskit_single_thread",
        ] {
            let key = find(name).unwrap();
            assert!(key.variables().contains(&format!("FSMVP_{}", name.to_uppercase())));
        }
    }

    #[test]
    fn a_slip_of_the_finger_finds_its_key() {
        assert_eq!(nearest("debug_skip_evicton"), Some("debug_skip_eviction"));
        assert_eq!(nearest("fetchmode"), Some("fetch_mode"));
        assert_eq!(nearest("colour"), None);
    }
}
