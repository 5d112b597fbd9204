//! Logging: whether a thread stands in a write of its own log, by the whole names of functions.

use crate::engine::fact::{Frame, Thread};

/// Functions of the C library, of Go and of Rust whose output is read by people, behind the last `::` or `.` and without
/// leading or trailing marks of the library.
const PRINTS: &[&str] =
    &["printf", "fprintf", "vprintf", "vfprintf", "dprintf", "vdprintf", "puts", "fputs", "perror", "print", "eprint"];

/// Libraries and Go packages that log.
const LIBRARIES: &[&str] = &[
    "log",
    "slog",
    "logrus",
    "zap",
    "zerolog",
    "glog",
    "klog",
    "tracing_subscriber",
    "env_logger",
    "log4rs",
    "spdlog",
];

/// The innermost frames are a write, to the standard output or error where the descriptor is known, and a function
/// around it prints or logs.
pub(super) fn logs(thread: &Thread) -> bool {
    const INNER: usize = 4;
    const REACH: usize = 12;
    let mut writes = thread.frames.iter().take(INNER).filter(|frame| is_write(&frame.function)).peekable();
    let writes_there = writes.peek().is_some();
    let elsewhere = writes.filter_map(descriptor).any(|fd| !matches!(fd, 1 | 2));
    writes_there && !elsewhere && thread.frames.iter().take(REACH).any(|frame| is_logger(&frame.function))
}

fn is_write(function: &str) -> bool {
    let go =
        ["syscall.", "internal/poll.(*FD).", "os.(*File)."].iter().find_map(|package| function.strip_prefix(package));
    let name = go.unwrap_or_else(|| plain(function));
    matches!(name, "write" | "Write" | "writev" | "libc_write" | "libc_writev" | "write_nocancel" | "IO_new_file_write")
}

/// `fd=2` of gdb, `0x2` of Go's system call.
fn descriptor(frame: &Frame) -> Option<u64> {
    let digits = |text: &str, radix| {
        let end = text.bytes().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(text.len());
        u64::from_str_radix(&text[..end], radix).ok()
    };
    let first = frame.args.split(", ").find_map(|arg| arg.strip_prefix("fd="));
    match (first, frame.args.strip_prefix("0x")) {
        (Some(value), _) => digits(value.strip_prefix("fd@entry=").unwrap_or(value), 10),
        (None, Some(first)) if &*frame.function == "syscall.write" => digits(first, 16),
        _ => None,
    }
}

fn is_logger(function: &str) -> bool {
    let own = function.rsplit(['.', ':']).next().unwrap_or(function);
    let name = plain(own).trim_end_matches("_internal").to_ascii_lowercase();
    let says_log = name.split('_').next() == Some("log") || name.ends_with("_log") || name.ends_with("syslog");
    // `github.com/sirupsen/logrus.(*Entry).Log`, `<tracing_subscriber::fmt::Layer<S> as ...>::on_event`.
    let package = function.rsplit('/').next().unwrap_or(function).trim_start_matches('<');
    let library = package.split(['.', ':']).next().unwrap_or(package);
    says_log
        || PRINTS.contains(&&*name)
        || PRINTS.contains(&name.trim_end_matches("ln"))
        || LIBRARIES.contains(&library)
}

/// `libc_write` of `__GI___libc_write`, `vfprintf_internal` of `__vfprintf_internal`.
fn plain(function: &str) -> &str {
    function.trim_start_matches('_').trim_start_matches("GI_").trim_start_matches('_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thread(frames: &[(&str, &str)]) -> Thread {
        let frame = |(function, args): &(&str, &str)| Frame {
            function: (*function).into(),
            args: (*args).into(),
            ..Frame::default()
        };
        Thread { frames: frames.iter().map(frame).collect(), ..Thread::default() }
    }

    #[test]
    fn who_prints_to_the_standard_error_logs() {
        for frames in [
            &[("__GI___libc_write", "fd=2, buf=0x7f, nbytes=9"), ("__vfprintf_internal", "")][..],
            &[("__internal_syscall_cancel", ""), ("__GI___libc_write", "fd=fd@entry=1"), ("fuse_log", "")],
            &[("write", ""), ("std::io::stdio::_eprint", ""), ("myfs::read", "")],
            &[
                ("syscall.write", "0x2?, {0xc000, 0x9, 0x9}"),
                ("internal/poll.(*FD).Write", ""),
                ("log.(*Logger).output", ""),
            ],
            &[("os.(*File).Write", "0xc00001"), ("github.com/sirupsen/logrus.(*Entry).write", "")],
        ] {
            assert!(logs(&thread(frames)), "{frames:?}");
        }
    }

    #[test]
    fn a_file_of_the_daemon_s_own_is_no_log() {
        for frames in [
            &[("__GI___libc_write", "fd=14, buf=0x7f, nbytes=9"), ("__vfprintf_internal", "")][..],
            &[("write", ""), ("leveldb::log::Writer::EmitPhysicalRecord", ""), ("blogfs_write", "")],
            &[("syscall.write", "0xe, {0xc000, 0x9, 0x9}"), ("log.(*Logger).output", "")],
            &[("pthread_cond_wait", ""), ("cache_write", ""), ("fuse_log", "")],
        ] {
            assert!(!logs(&thread(frames)), "{frames:?}");
        }
    }
}
