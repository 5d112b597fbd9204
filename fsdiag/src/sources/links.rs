//! Links: where they lead, found without asking any FUSE file system, because one that hangs would not answer.

use std::{
    collections::VecDeque,
    env,
    ffi::OsString,
    fs, io,
    path::{Component, Path, PathBuf},
};

use super::kernel::mountinfo::{self, Mount};

/// The file that a link of a directory leads to, if it is one of another directory: those of the same one would count
/// twice. None: none of these; an error: it leads into a FUSE mount, unless the directory itself is on that one.
pub(super) fn leads_out(link: &Path, dir: &Path, mounts: &[Mount]) -> io::Result<Option<PathBuf>> {
    let (Some(target), Some(dir)) = (resolved(link, dir, mounts)?, resolved(dir, dir, mounts)?) else {
        return Ok(None);
    };
    Ok(Some(target).filter(|target| target.parent() != Some(&dir) && target.is_file()))
}

/// A path without links, each part of which is asked for only where that is safe; None: it leads nowhere.
fn resolved(path: &Path, dir: &Path, mounts: &[Mount]) -> io::Result<Option<PathBuf>> {
    /// As the kernel has it.
    const MOST: usize = 40;
    let cwd = env::current_dir().unwrap_or_default();
    let asked = mountinfo::serving(mounts, &mountinfo::lexical(&cwd, dir)).map(|mount| mount.id);
    let mut rest = parts(&cwd.join(path));
    let (mut done, mut links) = (PathBuf::from("/"), 0);
    while let Some(part) = rest.pop_front() {
        if part == ".." {
            done.pop();
            continue;
        }
        let next = done.join(&part);
        if mountinfo::serving(mounts, &next).is_some_and(|mount| mount.is_fuse() && Some(mount.id) != asked) {
            return Err(io::Error::other(
                "leads into a FUSE mount, and is not followed: name the file itself to read it",
            ));
        }
        let Ok(target) = fs::read_link(&next) else {
            done = next;
            continue;
        };
        links += 1;
        if links > MOST {
            return Ok(None);
        }
        if target.is_absolute() {
            done = PathBuf::from("/");
        }
        rest = parts(&target).into_iter().chain(rest).collect();
    }
    Ok(Some(done))
}

fn parts(path: &Path) -> VecDeque<OsString> {
    let names = |part: Component<'_>| match part {
        Component::Normal(_) | Component::ParentDir => Some(part.as_os_str().to_owned()),
        _ => None,
    };
    path.components().filter_map(names).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_is_followed_as_the_kernel_does_but_into_no_fuse_mount() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("logs/in")).unwrap();
        fs::create_dir_all(root.join("mnt")).unwrap();
        fs::write(root.join("logs/in/0.log"), "x").unwrap();
        fs::write(root.join("mnt/1.log"), "x").unwrap();
        let links = root.join("links");
        fs::create_dir(&links).unwrap();
        for (name, target) in [
            ("far", "../logs/in/0.log"),
            ("turns", "far"),
            ("same", "own"),
            ("loops", "loops"),
            ("gone", "../nothing"),
            ("mounted", "../logs/to/1.log"),
        ] {
            symlink(target, links.join(name)).unwrap();
        }
        fs::write(links.join("own"), "x").unwrap();
        symlink(root.join("mnt"), root.join("logs/to")).unwrap();
        let table =
            format!("22 1 254:0 / / rw - ext4 /dev/vda rw\n30 22 0:39 / {}/mnt rw - fuse.x x rw\n", root.display());
        let mounts = mountinfo::parse(table.as_bytes());
        let led = |name: &str| leads_out(&links.join(name), &links, &mounts).map_err(drop);
        let far = Ok(Some(root.join("logs/in/0.log")));
        assert_eq!((led("far"), led("turns")), (far.clone(), far));
        assert_eq!((led("same"), led("loops"), led("gone"), led("mounted")), (Ok(None), Ok(None), Ok(None), Err(())));
    }
}
