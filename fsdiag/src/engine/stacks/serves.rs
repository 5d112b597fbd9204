//! Serves: which FUSE operation a thread runs the callback of, by the names of its frames, or whether it waits for one.

use std::sync::LazyLock;

use fsd_events::op::Op;

use super::{
    Seen,
    dispatch::{self, spelled},
};
use crate::engine::{
    fact::{Frame, Thread},
    words::Words,
};

/// The operation whose callback is on the stack.
pub(super) fn operation(thread: &Thread) -> Option<Op> {
    let frames = &thread.frames;
    let named = frames.iter().rev().find_map(|frame| library(frame).or_else(|| python(frame)));
    let called = || dispatch::called(frames).or_else(|| called_by_c(frames)).or_else(|| handed_on(frames));
    named.or_else(called).or_else(|| c_callback(frames)).or_else(|| java(thread))
}

/// Libraries like llfuse, which python's dumps do not show, call a method from nowhere: python's own threads begin in
/// `threading.py`, and the first one in a module.
fn called_by_c(frames: &[Frame]) -> Option<Op> {
    let outermost = frames.last().filter(|frame| frame.file.as_deref().is_some_and(|file| file.ends_with(".py")))?;
    spelled(outermost.function.rsplit('.').next()?)
}

/// `myfs::{impl#2}::getattr::{closure#0}`, which a callback has handed to another thread: gdb does not name the trait of
/// a method, so only such count as no other trait has.
fn handed_on(frames: &[Frame]) -> Option<Op> {
    const PLAIN: &[Op] = &[Op::Read, Op::Write, Op::Open, Op::Flush, Op::Create, Op::Link, Op::Access, Op::Poll];
    let of_trait = |frame: &Frame| {
        let (_, method) = frame.function.split_once("::{impl#")?;
        let (_, method) = method.split_once("}::")?;
        let (method, _) = method.split_once("::{closure#")?;
        spelled(method).filter(|op| !PLAIN.contains(op))
    };
    frames.iter().rev().find_map(of_trait)
}

/// Frames of the libraries that are called like the operation: cgofuse, libfuse, go-fuse, fuser.
fn library(frame: &Frame) -> Option<Op> {
    let name = &*frame.function;
    if !LIBRARIES.any(name) {
        return None;
    }
    let after = |key: &str| name.split_once(key).map(|(_, rest)| rest);
    let plain = after("cgofuse/fuse.host")
        .or_else(|| after("fuse_lib_"))
        .or_else(|| after("fuse_fs_"))
        .or_else(|| after("fs.(*rawBridge)."))
        .or_else(|| after("Filesystem>::").map(|method| method.split("::").next().unwrap_or(method)))?;
    spelled(plain)
}

/// What those frames have in their names: every frame of every dump is asked.
static LIBRARIES: LazyLock<Words> =
    LazyLock::new(|| Words::new(&["cgofuse/fuse.host", "fuse_lib_", "fuse_fs_", "fs.(*rawBridge).", "Filesystem>::"]));

/// fusepy calls `FUSE.release` in `fuse.py`, and that the user's method.
fn python(frame: &Frame) -> Option<Op> {
    if !is_fuse_py(frame) {
        return None;
    }
    let name = frame.function.rsplit('.').next().unwrap_or(&frame.function);
    (!name.starts_with('_')).then(|| spelled(name))?
}

pub(super) fn is_fuse_py(frame: &Frame) -> bool {
    // Debian calls fusepy's so, where python-fuse has the other name; mfusepy has gone on from it.
    const FILES: &[&str] = &["fuse.py", "fusepy.py", "mfusepy.py"];
    frame.file.as_deref().is_some_and(|file| FILES.contains(&file.rsplit('/').next().unwrap_or(file)))
}

/// What a library calls of the C library is no callback: the `read` of its device, say.
pub fn is_of_libc(frame: &Frame) -> bool {
    const WAITS: &[&str] = &["__", "pthread_", "futex_", "lll_", "sem_"];
    let file = frame.file.as_deref().unwrap_or_default();
    let module = frame.module.as_deref().unwrap_or_default();
    let bare = matches!(&*frame.function, "read" | "readv" | "splice" | "ioctl")
        && frame.args.is_empty()
        && !file.ends_with(".py");
    bare || WAITS.iter().any(|start| frame.function.starts_with(start))
        || file.contains("sysdeps/")
        || file.contains("nptl/")
        || module.contains("libc.")
        || module.contains("libpthread")
}

/// Functions of the libraries that wait for requests, and call the callbacks.
const LOOPS: &[&str] = &[
    "fuse_session_loop",
    "fuse_session_receive_buf",
    "fuse_do_work",
    "fuse_loop",
    "fuse_main_real",
    "fuse_chan_rec",
    "fuse_kern_chan_receive",
    "Session::run",
    "Session<FS>::run",
];
static LOOP_NAMES: LazyLock<Words> = LazyLock::new(|| Words::new(LOOPS));

pub(super) fn is_of_libfuse(frame: &Frame) -> bool {
    frame.module.as_deref().is_some_and(|module| module.contains("libfuse"))
}

/// Whether the library itself waits for a request: a callback would be further in.
pub(super) fn awaits_a_request(thread: &Thread) -> bool {
    let runtime =
        |frame: &Frame| ["std::", "<std::", "nix::", "rustix::"].iter().any(|s| frame.function.starts_with(s));
    let inner = thread.frames.iter().find(|frame| !is_of_libc(frame) && !runtime(frame));
    inner.is_some_and(|frame| LOOP_NAMES.any(&frame.function) || is_of_libfuse(frame) && super::doing::reads(thread))
}

/// Whether a FUSE library is on the stack, at whatever.
pub fn shows_library(thread: &Thread) -> bool {
    thread.frames.iter().any(|frame| LOOP_NAMES.any(&frame.function) || dispatch::dispatches(frame))
}

/// Whether a library that hands out requests has called what the thread runs.
pub(super) fn is_called(thread: &Thread) -> bool {
    let of_library = |frame: &Frame| dispatch::dispatches(frame) || LOOP_NAMES.any(&frame.function);
    let called = thread.frames.iter().position(|frame| !is_of_libc(frame) && !of_library(frame));
    called.is_some_and(|at| thread.frames[at..].iter().any(of_library))
}

/// `pf_release (p=0x7f02 "/a", fi=0x7f03)`: only callbacks take a `fuse_file_info`.
fn c_callback(frames: &[Frame]) -> Option<Op> {
    let callback = frames.iter().find(|frame| frame.args.contains(" fi=") || frame.args.starts_with("fi="))?;
    spelled(callback.function.rsplit('_').next()?)
}

fn java(thread: &Thread) -> Option<Op> {
    let fuse = thread.name.as_deref().is_some_and(|name| name.to_ascii_lowercase().contains("fuse"));
    let of_vm = |name: &str| ["java.", "jdk.", "sun."].iter().any(|package| name.starts_with(package));
    let own = thread.frames.iter().filter(|frame| frame.file.as_deref().is_some_and(|file| file.ends_with(".java")));
    // What a callback calls may be called like another one.
    own.rev()
        .filter(|frame| fuse && !of_vm(&frame.function))
        .find_map(|frame| spelled(frame.function.rsplit('.').next()?))
}

/// Whether this thread is the one loop of a single-threaded daemon: nothing else can take a request.
pub(super) fn is_only_loop(thread: &Thread, all: &[Seen<'_>]) -> bool {
    let runs = |thread: &Thread, name: &str| thread.frames.iter().any(|frame| frame.function.ends_with(name));
    let single = runs(thread, "fuse_session_loop")
        || runs(thread, "fuse_loop")
        || runs(thread, "fuse_main_real")
        || runs(thread, "(*FileSystemHost).Mount");
    let many = ["fuse_session_loop_mt", "fuse_loop_mt", "fuse_do_work"];
    // fuser runs one loop in each thread.
    let loops =
        |thread: &Thread| thread.frames.iter().any(|frame| frame.function.starts_with("fuser::session::Session"));
    if loops(thread) {
        return all.iter().filter(|seen| loops(seen.thread)).count() == 1;
    }
    single && !all.iter().any(|seen| many.iter().any(|name| runs(seen.thread, name)))
}
