//! Names: what the addresses of a dump are called, without asking a mount that hangs.

use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::Duration,
};

use fsd_events::stacks::StackDump;
use fsd_unwind::symbols::Symbolizer;

use crate::sources::{
    kernel::mountinfo::{self, Mount},
    ptrace,
};

/// Reading hundreds of megabytes of debug information takes seconds; a network file system may take for ever.
const LIMIT: Duration = Duration::from_secs(60);

/// The dump with names, and what must be said of them: as many as can be had in time, without a file on a FUSE mount.
pub(super) fn of(dump: StackDump<'static>, pid: u32, debug_files: &[PathBuf]) -> (StackDump<'static>, Vec<String>) {
    let cwd = env::current_dir().unwrap_or_default();
    let mut search: Vec<PathBuf> = debug_files.iter().map(|file| mountinfo::lexical(&cwd, file)).collect();
    let may_open = may_open(pid);
    let named = dump.modules.iter().map(|module| PathBuf::from(&*module.path)).chain(search.iter().cloned());
    let left_out = named.filter(|path| !may_open(path));
    let mut said: Vec<String> = left_out
        .map(|path| format!("{} lies on a FUSE mount and is not opened: its functions have no names", path.display()))
        .collect();
    search.push(ptrace::executable(pid));
    let (mut named, (tell, hear)) = (dump.clone(), mpsc::channel());
    let work = move || {
        Symbolizer::opening(search, may_open).name(&mut named);
        // Nobody listens any more where it took too long.
        let _ = tell.send(named);
    };
    // Without a thread there are no names, and the receiver says so at once.
    drop(thread::Builder::new().name("dump-names".to_owned()).spawn(work));
    match hear.recv_timeout(LIMIT) {
        Ok(named) => (named, said),
        Err(_) => {
            said.push("the files with the names could not be read in time: there are none".to_owned());
            (dump, said)
        }
    }
}

/// Whether a file can be opened without a FUSE daemon, which may be the one that hangs; by its name alone.
fn may_open(pid: u32) -> impl Fn(&Path) -> bool + Send + 'static {
    let ours = mountinfo::read().unwrap_or_default();
    let theirs = mountinfo::of_process(pid).unwrap_or_default();
    let executable = ptrace::executable(pid);
    move |path| match path == executable {
        true => fs::read_link(path).is_ok_and(|path| is_off_fuse(&theirs, &path)),
        false => is_off_fuse(&ours, path),
    }
}

fn is_off_fuse(mounts: &[Mount], path: &Path) -> bool {
    !mountinfo::serving(mounts, path).is_some_and(Mount::is_fuse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_on_a_fuse_mount_is_not_opened() {
        let mounts = mountinfo::parse(
            b"22 1 254:0 / / rw - ext4 /dev/vda rw\n30 22 0:39 / /mnt/tools rw - fuse.rclone remote: rw,user_id=0\n",
        );
        assert!(is_off_fuse(&mounts, Path::new("/usr/lib/libc.so.6")) && is_off_fuse(&mounts, Path::new("[vdso]")));
        assert!(!is_off_fuse(&mounts, Path::new("/mnt/tools/bin/app (deleted)")));
    }
}
