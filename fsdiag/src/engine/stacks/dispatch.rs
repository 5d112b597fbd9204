//! Dispatch: how FUSE libraries call callbacks, and which operation a callback's name tells.

use std::sync::LazyLock;

use fsd_events::op::Op;

use super::serves::{is_of_libc, is_of_libfuse};
use crate::engine::{
    fact::Frame,
    methods::{ALIASES, OF_FILES},
    words::Words,
};

/// What functions have in their names that hand a request to a callback.
const DISPATCHERS: &[&str] = &[
    // go-fuse, before and since 2.7, and bazil.
    "(*Server).handleRequest",
    "(*protocolServer).handleRequest",
    "/fuse.do",
    "fs.(*Server).serve",
    // jacobsa/fuse: gcsfuse, goofys.
    "fuseutil.(*fileSystemServer).handleOp",
    // Rust.
    "fuser::",
    "fuse3::raw::session::",
    "fuse_backend_rs::api::server::",
    "virtiofsd::server::",
    // libfuse, also where a program has it inside.
    "fuse_session_",
    "fuse_ll_process_buf",
    // Java.
    "ru.serce.jnrfuse.",
    "org.cryptomator.jfuse.",
];
static NAMES: LazyLock<Words> = LazyLock::new(|| Words::new(DISPATCHERS));

/// Of those the ones with a function for each operation, which is called like it.
const TELLING: &[&str] = &[
    "/fuse.do",
    "fuse3::raw::session::",
    "fuse_backend_rs::api::server::",
    "virtiofsd::server::",
    "org.cryptomator.jfuse.",
];

/// Whether a library calls callbacks by this frame.
pub(super) fn dispatches(frame: &Frame) -> bool {
    NAMES.any(&frame.function) && NAMES.any(untyped(&frame.function)) || is_of_libfuse(frame) || calls_python(frame)
}

/// python-fuse and pyfuse3 wrap each method.
fn calls_python(frame: &Frame) -> bool {
    let ends = |name: &str| frame.function.ends_with(name);
    ends("__call__") && super::serves::is_fuse_py(frame)
        || ends("wrapper") && frame.file.as_deref().is_some_and(|file| file.ends_with("_pyfuse3.py"))
}

/// The operation whose callback a library has called, by the callback's name or by the caller's.
pub(super) fn called(frames: &[Frame]) -> Option<Op> {
    let outermost = frames.iter().rposition(dispatches)?;
    let inner = frames[..=outermost].iter().rev();
    let telling = |frame: &&Frame| TELLING.iter().any(|part| frame.function.contains(part));
    let told = inner.clone().take_while(|frame| dispatches(frame)).filter(telling);
    let by_library = || told.clone().find_map(|frame| of_method(method(&frame.function)));
    let callback = inner.clone().find(|frame| !dispatches(frame) && !is_of_runtime(&frame.function));
    let by_name = callback.filter(|frame| !is_of_libc(frame)).and_then(|frame| of_method(method(&frame.function)));
    by_library().or(by_name)
}

/// What a language puts between a caller and a closure or a task.
fn is_of_runtime(function: &str) -> bool {
    const RUNTIMES: &[&str] =
        &["core::", "<core::", "std::", "<std::", "alloc::", "<alloc::", "tokio::", "<tokio::", "tracing::"];
    RUNTIMES.iter().any(|runtime| function.starts_with(runtime))
}

/// The method's own name in `main.(*fs).LookUpInode.func1`, `<Fs as Filesystem>::lookup::{{closure}}` and
/// `Server<F>::lookup<u8>`.
fn method(function: &str) -> &str {
    let inner = ["::{{closure", "::{closure", "::{async_"].iter().filter_map(|part| function.find(part)).min();
    let outside = &function[..inner.unwrap_or(function.len())];
    let outside = match outside.rsplit_once(".func") {
        Some((before, number)) if number.starts_with(|c: char| c.is_ascii_digit()) => before,
        _ => outside,
    };
    let plain = untyped(outside);
    plain.rsplit(['.', ':']).next().unwrap_or(plain)
}

/// Without the types at the end, which name the functions of others: `poll<fuse3::raw::session::...>`.
pub(super) fn untyped(function: &str) -> &str {
    function.strip_suffix('>').and_then(before_types).unwrap_or(function)
}

/// What stands before the bracket that the last one closes.
fn before_types(open: &str) -> Option<&str> {
    let mut depth = 1;
    let start = open.rfind(|c| {
        depth += i32::from(c == '>') - i32::from(c == '<');
        depth == 0
    })?;
    Some(open[..start].trim_end_matches(':'))
}

/// The operation of a callback of that name: `LookUpInode`, `doLookup`, `xmp_write_buf`.
fn of_method(method: &str) -> Option<Op> {
    let plain = method.strip_prefix("do").filter(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()));
    let plain = plain.unwrap_or(method);
    let of_file = OF_FILES.iter().find(|(name, _)| *name == plain).map(|row| row.1);
    let ends = plain.match_indices('_').map(|(at, _)| &plain[at + 1..]);
    of_file.or_else(|| spelled(plain)).or_else(|| ends.filter(|end| !end.is_empty()).find_map(spelled))
}

pub(super) fn spelled(name: &str) -> Option<Op> {
    let name = name.trim_end_matches('_');
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    let alias = ALIASES.iter().find(|(alias, _)| *alias == plain).map(|row| row.1);
    alias.or_else(|| Op::from_spelling(&plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(inner_first: &[&str]) -> Vec<Frame> {
        inner_first.iter().map(|name| Frame { function: (*name).into(), ..Frame::default() }).collect()
    }

    #[test]
    fn callbacks_in_go_tell_their_operation() {
        for (names, op) in [
            (
                &[
                    "sync.(*Mutex).Lock",
                    "vfs.(*fileSystem).find",
                    "github.com/hanwen/go-fuse/v2/fuse.doLookup",
                    "github.com/hanwen/go-fuse/v2/fuse.(*protocolServer).handleRequest.func1",
                    "github.com/hanwen/go-fuse/v2/fuse.(*protocolServer).handleRequest",
                    "github.com/hanwen/go-fuse/v2/fuse.(*Server).handleRequest",
                    "github.com/hanwen/go-fuse/v2/fuse.(*Server).loop",
                ][..],
                Some(Op::Lookup),
            ),
            (
                &[
                    "main.(*fileSystem).lookUpOrCreateInode",
                    "main.(*fileSystem).LookUpInode",
                    "github.com/googlecloudplatform/gcsfuse/v2/internal/fs/wrappers.(*errorMapping).LookUpInode.func1",
                    "github.com/jacobsa/fuse/fuseutil.(*fileSystemServer).handleOp",
                    "github.com/jacobsa/fuse/fuseutil.(*fileSystemServer).ServeOps.func2",
                ],
                Some(Op::Lookup),
            ),
            (
                &["main.(*store).ReleaseFileHandle", "github.com/jacobsa/fuse/fuseutil.(*fileSystemServer).handleOp"],
                Some(Op::Release),
            ),
            (
                &[
                    "main.(*dir).ReadDirAll",
                    "bazil.org/fuse/fs.(*Server).handleRequest",
                    "bazil.org/fuse/fs.(*Server).serve",
                ],
                Some(Op::Readdir),
            ),
        ] {
            assert_eq!(called(&frames(names)), op, "{names:?}");
        }
    }

    #[test]
    fn callbacks_in_rust_tell_their_operation() {
        for (names, op) in [
            (
                &[
                    "futex_wait",
                    "<hang::Fs as fuse3::raw::filesystem::Filesystem>::open::{{closure}}",
                    "fuse3::raw::session::Session<FS>::handle_open::{{closure}}",
                    "tokio::runtime::task::core::Core<T,S>::poll",
                ][..],
                Some(Op::Open),
            ),
            (
                &[
                    "std::sync::poison::mutex::Mutex::lock<()>",
                    "rs::{impl#0}::lookup::{async_fn#0}",
                    "fuse3::raw::session::{impl#6}::handle_lookup::{async_fn#0}::{async_block#0}<rs::Fs>",
                    "tracing::instrument::{impl#2}::poll<fuse3::raw::session::{impl#6}::handle_lookup::{async_fn#0}>",
                    "tokio::runtime::task::core::Core::poll<Instrumented<fuse3::raw::session::{impl#6}::x<rs::Fs>>>",
                ],
                Some(Op::Lookup),
            ),
            (&["main.x", "tokio::runtime::task::raw::RawTask::poll<fuse3::raw::session::Session<FS>>"], None),
            (
                &[
                    "pthread_mutex_lock",
                    "<passthrough::Fs as filesystem::FileSystem>::getattr",
                    "fuse_backend_rs::api::server::sync_io::<impl fuse_backend_rs::api::server::Server<F>>::getattr",
                    "fuse_backend_rs::api::server::sync_io::<impl fuse_backend_rs::api::server::Server<F>>::handle_message",
                ],
                Some(Op::Getattr),
            ),
            (
                &["hang::{impl#0}::readdir<hang::Fs>", "fuser::request::Request::dispatch_req<hang::Fs>"],
                Some(Op::Readdir),
            ),
        ] {
            assert_eq!(called(&frames(names)), op, "{names:?}");
        }
    }

    #[test]
    fn callbacks_in_other_languages_tell_their_operation() {
        for (names, op) in [
            (
                &["pthread_mutex_lock", "lo_write_buf", "do_write_buf", "fuse_session_process_buf_int"][..],
                Some(Op::Write),
            ),
            (&["fs.Memory.getattr", "ru.serce.jnrfuse.AbstractFuseFS.lambda$init$0"], Some(Op::Getattr)),
            (&["read", "fuse_session_receive_buf", "fuse_session_loop"], None),
            (&["main.(*cache).read", "main.main"], None),
        ] {
            assert_eq!(called(&frames(names)), op, "{names:?}");
        }
    }

    #[test]
    fn a_method_s_own_name_is_found_among_types() {
        for (function, name) in [
            ("main.(*fs).LookUpInode.func1", "LookUpInode"),
            ("main.(*fs).Read", "Read"),
            ("a::Session<FS>::handle_open::{{closure}}", "handle_open"),
            ("a::{impl#0}::read::{closure#0}", "read"),
            ("a::b::read<alloc::vec::Vec<u8>>", "read"),
            ("a::b::read::<u8>", "read"),
            ("<A<B> as C>::lookup", "lookup"),
            ("odd>", "odd>"),
        ] {
            assert_eq!(method(function), name, "{function}");
        }
    }
}
