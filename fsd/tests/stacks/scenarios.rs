//! What each dump must show.

use std::{
    env, fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::Command,
};

use fsd_events::stacks::{self, Doing, Frame, NoStack, StackDump, StackSource, Symbols, ThreadBlock};
use fsd_unwind::symbols::Symbolizer;

use crate::crowd::{DEPTH, THREADS};

const FSD: &str = env!("CARGO_BIN_EXE_fsd");

pub(crate) fn malloc_locked() {
    let place = Place::new();
    let text = place.dump(&["malloc", "vfork"], None, &own_binary());
    let dump = sound(&text);
    assert_eq!(dump.header.symbols, Symbols::None);
    assert_eq!(dump.header.mount.as_deref(), Some("/mnt/a \"b\""));
    assert_eq!(dump.threads.len(), THREADS);
    let named = place.named_by_helper();
    let named = sound(&named);
    assert_eq!(named.header.symbols, Symbols::Full);
    every_thread_has_its_stack(&named);
    let in_d = thread(&named, "vfork");
    assert_eq!((in_d.head.state, in_d.head.doing), ('D', Doing::Uninterruptible));
    assert_eq!(in_d.head.stack, StackSource::Procfs);
    assert!(function(in_d, "in_vfork"), "{in_d:?}");
    let waiter = thread(&named, "lock");
    assert!(function(waiter, "on_lock"), "{waiter:?}");
    assert_eq!(waiter.head.doing, Doing::LockWait);
    let wait = waiter.waiting.as_ref().unwrap();
    let dumper = named.threads.iter().find(|thread| thread.head.doing == Doing::Dumper).unwrap();
    assert_eq!(wait.held_by.unwrap().1, Some(dumper.head.tid));
    let lock = &named.locks[0];
    assert_eq!((&*lock.head.name, lock.head.key, lock.holders.len()), ("inode_table", 7, 1));
    assert!(
        lock.waiters.len() >= 5
            && lock.waiters.iter().all(|w| w.at.as_ref().is_some_and(|at| at.0.ends_with("crowd.rs")))
    );
    let caught = named.threads.iter().any(|thread| function(thread, "start_allocator") && function(thread, "Gate"));
    assert!(caught, "no thread in the locked allocator");
}

pub(crate) fn procfs_alone() {
    let place = Place::new();
    place.dump(&["procfs", "vfork"], None, &own_binary());
    let named = place.named_by_helper();
    every_thread_has_its_stack(&sound(&named));
}

pub(crate) fn plain_user() {
    // SAFETY: asks for a number.
    #[expect(unsafe_code, reason = "std does not tell the user id")]
    let root = unsafe { libc::geteuid() } == 0;
    if !root {
        println!("SKIP become another user (found a plain user, needs root)");
        return;
    }
    let place = Place::new();
    let binary = place.copy_of_own_binary();
    let text = place.dump(&["malloc", "vfork"], Some(65534), &binary);
    let mut dump = sound(&text);
    assert!(dump.threads.iter().all(|thread| thread.head.kstack.is_none()), "a plain user reads no kernel stack");
    Symbolizer::new(vec![own_binary()]).name(&mut dump);
    every_thread_has_its_stack(&dump);
    let in_d = thread(&dump, "vfork");
    assert!(in_d.head.wchan.as_deref().is_some_and(|wchan| wchan != "0"), "{:?}", in_d.head);
}

pub(crate) fn stripped() {
    let place = Place::new();
    let binary = place.copy_of_own_binary();
    let tool = Command::new("strip").arg(&binary).status();
    if !tool.is_ok_and(|status| status.success()) {
        println!("SKIP strip a binary (found no strip, needs binutils)");
        return;
    }
    let text = place.dump(&["malloc"], None, &binary);
    let mut bare = sound(&text);
    Symbolizer::new(Vec::new()).name(&mut bare);
    assert!(!bare.threads.iter().any(|thread| function(thread, "descend")), "the copy has names");
    let mut dump = sound(&text);
    Symbolizer::new(vec![own_binary()]).name(&mut dump);
    every_thread_has_its_stack(&dump);
}

pub(crate) fn late_signal() {
    let place = Place::new();
    let texts = place.dumps(&["late"], None, &own_binary());
    let [first, second] = &texts[..] else { panic!("{} dumps", texts.len()) };
    let (first, second) = (sound(first), sound(second));
    assert_eq!(thread(&first, "late").head.stack, StackSource::Procfs);
    let answered = thread(&second, "late");
    assert_eq!(answered.head.stack, StackSource::Signal);
    assert!(answered.frames.len() > 3, "{answered:?}");
}

pub(crate) fn deep() {
    let place = Place::new();
    place.dump(&["deep"], None, &own_binary());
    let named = place.named_by_helper();
    let dump = sound(&named);
    let deep = thread(&dump, "deep");
    let elided = deep.frames.iter().find_map(|f| if let Frame::Elided(n) = f { Some(*n) } else { None });
    assert!(elided.is_some_and(|n| n > 500), "{elided:?}");
    assert!(function(deep, "asleep") && function(deep, "descend_far"), "both ends of the stack are there");
    assert!(!deep.frames.contains(&Frame::Truncated));
}

pub(crate) fn limits() {
    let place = Place::new();
    let texts = place.dumps(&["limits"], None, &own_binary());
    assert!(texts.len() <= 3, "{} files are kept, not 3", texts.len());
    texts.iter().for_each(|text| drop(sound(text)));
}

pub(crate) fn library() {
    let place = Place::new();
    let text = place.dump(&["library"], None, &own_binary());
    let dump = sound(&text);
    let known = |name: &str| dump.modules.iter().any(|module| module.path.contains(name));
    let loaded = ["libnss_compat", "libutil", "libanl"].into_iter().any(known);
    assert!(known("libc.so") && loaded, "{:?}", dump.modules);
}

/// A directory for dumps, and the process that writes them.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        fs::create_dir(dir.path().join("dumps")).unwrap();
        fs::set_permissions(dir.path().join("dumps"), fs::Permissions::from_mode(0o777)).unwrap();
        Self(dir)
    }

    fn copy_of_own_binary(&self) -> PathBuf {
        let copy = self.0.path().join("crowd");
        fs::copy(own_binary(), &copy).unwrap();
        copy
    }

    fn dumps_dir(&self) -> PathBuf {
        self.0.path().join("dumps")
    }

    /// Runs the crowd and returns the first dump.
    fn dump(&self, words: &[&str], uid: Option<u32>, binary: &Path) -> String {
        self.dumps(words, uid, binary).swap_remove(0)
    }

    /// Runs the crowd and returns all dumps it left, oldest first.
    fn dumps(&self, words: &[&str], uid: Option<u32>, binary: &Path) -> Vec<String> {
        let mut command = Command::new("timeout");
        command.args(["-s", "KILL", "60"]).arg(binary).arg("crowd").arg(self.dumps_dir()).args(words);
        if let Some(uid) = uid {
            command.uid(uid).gid(uid);
        }
        let out = command.output().unwrap();
        let (said, complained) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        assert!(out.status.success(), "{:?} {said} {complained}", out.status);
        said.lines().filter(|line| line.starts_with("cold")).for_each(|line| println!("  {words:?}: {line}"));
        self.files().iter().map(|file| fs::read_to_string(file).unwrap()).collect()
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<_> = fs::read_dir(self.dumps_dir()).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    /// Lets `fsd symbolize` replace the first dump, as the dumper does.
    fn named_by_helper(&self) -> String {
        let file = self.files().swap_remove(0);
        let out = Command::new(FSD).arg("symbolize").arg(&file).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        fs::read_to_string(file).unwrap()
    }
}

fn own_binary() -> PathBuf {
    env::current_exe().unwrap()
}

fn sound(text: &str) -> StackDump<'_> {
    let read = stacks::read(text);
    assert!(read.is_sound(), "{:?}\n{text}", read.problems);
    read.dump
}

fn thread<'d, 't>(dump: &'d StackDump<'t>, comm: &str) -> &'d ThreadBlock<'t> {
    dump.threads.iter().find(|thread| thread.head.comm == comm).unwrap()
}

fn functions<'d>(thread: &'d ThreadBlock<'_>) -> impl Iterator<Item = &'d str> {
    thread.frames.iter().filter_map(|frame| match frame {
        Frame::Call { function, .. } => function.as_deref(),
        _ => None,
    })
}

fn function(thread: &ThreadBlock<'_>, part: &str) -> bool {
    functions(thread).any(|function| function.contains(part))
}

/// All but the dumper: from the stuck call through thirteen frames to the start of the thread.
fn every_thread_has_its_stack(dump: &StackDump<'_>) {
    assert_eq!(dump.threads.iter().filter(|t| t.head.stack == StackSource::None(NoStack::Dumper)).count(), 1);
    for thread in &dump.threads {
        if thread.head.stack == StackSource::None(NoStack::Dumper) {
            continue;
        }
        let depth = functions(thread).filter(|function| function.contains("crowd::descend")).count();
        assert_eq!(depth, DEPTH as usize, "{thread:#?}");
        assert!(!thread.frames.contains(&Frame::Truncated), "{thread:#?}");
    }
}
