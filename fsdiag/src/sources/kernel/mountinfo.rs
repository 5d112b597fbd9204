//! Mounts: `/proc/self/mountinfo`, read as text, so that a hung mount is never asked.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs, io,
    os::unix::ffi::OsStringExt as _,
    path::{Component, Path, PathBuf},
};

use super::bounded;

/// One line of mountinfo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Number that `fdinfo` repeats as `mnt_id`.
    pub id: u32,
    pub major: u32,
    pub minor: u32,
    pub root: String,
    pub point: PathBuf,
    pub fstype: String,
    pub source: String,
    /// Per-mount options, a comma, then those of the superblock.
    pub options: String,
}

impl Mount {
    /// Whether a daemon serves it through `/dev/fuse`.
    pub fn is_fuse(&self) -> bool {
        ["fuse", "fuseblk"]
            .iter()
            .any(|t| self.fstype.strip_prefix(t).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
    }

    /// Number of its connection, as fusectl names the directory and the tracepoints write it: the device number
    /// in the kernel's own encoding.
    pub fn connection(&self) -> u64 {
        u64::from(self.major) << 20 | u64::from(self.minor)
    }

    /// What follows `fuse.`: `rclone`, `sshfs`; the source where there is none.
    pub fn kind(&self) -> &str {
        self.fstype.split_once('.').map_or(self.source.as_str(), |(_, kind)| kind)
    }

    /// Value of a mount option (`user_id=0` gives `0`).
    pub fn option(&self, name: &str) -> Option<&str> {
        self.options.split(',').find_map(|o| o.strip_prefix(name)?.strip_prefix('='))
    }
}

/// Every mount of this process's namespace, in the kernel's order.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn read() -> io::Result<Vec<Mount>> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("/proc/self/mountinfo: {error}"));
    Ok(parse(&fs::read("/proc/self/mountinfo").map_err(named)?))
}

/// What processes in other namespaces see mounted, one process for each: such a list has mounts that ours lacks.
pub fn elsewhere(pids: Vec<u32>) -> Vec<(u32, Vec<Mount>)> {
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/mnt")).ok();
    let Some(ours) = namespace("self") else { return Vec::new() };
    let of_pid = move |pid: u32| Some((namespace(&pid.to_string())?, pid, of_process(pid).ok()?));
    let mut seen = BTreeSet::from([ours]);
    let all = bounded::each(pids, of_pid).into_iter().flatten();
    all.filter(|(namespace, ..)| seen.insert(namespace.clone())).map(|(_, pid, mounts)| (pid, mounts)).collect()
}

/// The mounts that a process sees.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn of_process(pid: u32) -> io::Result<Vec<Mount>> {
    Ok(parse(&fs::read(format!("/proc/{pid}/mountinfo"))?))
}

/// Reads mountinfo text; lines that are none are left out.
pub fn parse(text: &[u8]) -> Vec<Mount> {
    text.split(|byte| *byte == b'\n').filter_map(line).collect()
}

/// Bytes, because a mount point need not be UTF-8, and only its very bytes lead to it.
fn line(line: &[u8]) -> Option<Mount> {
    let middle = line.windows(3).position(|at| at == b" - ")?;
    let word = |word: &[u8]| String::from_utf8_lossy(word).into_owned();
    let name = |word: &[u8]| String::from_utf8_lossy(&unescape(word)).into_owned();
    let mut left = line[..middle].split(|byte| *byte == b' ');
    let id = word(left.next()?).parse().ok()?;
    let _parent = left.next()?;
    let device = word(left.next()?);
    let (major, minor) = device.split_once(':')?;
    let root = name(left.next()?);
    let point = unescape(left.next()?);
    let own = word(left.next()?);
    let mut right = line[middle + 3..].split(|byte| *byte == b' ');
    let fstype = name(right.next()?);
    let source = name(right.next()?);
    let options = format!("{own},{}", word(right.next().unwrap_or_default()));
    Some(Mount {
        id,
        major: major.parse().ok()?,
        minor: minor.parse().ok()?,
        root,
        point: PathBuf::from(OsString::from_vec(point)),
        fstype,
        source,
        options,
    })
}

/// Undoes the kernel's octal escapes of blank, tab, newline and backslash.
fn unescape(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let octal =
            bytes.get(at + 1..at + 4).filter(|d| bytes[at] == b'\\' && d.iter().all(|b| (b'0'..=b'7').contains(b)));
        match octal {
            Some(digits) => {
                out.push(digits.iter().fold(0u8, |value, d| value.wrapping_mul(8).wrapping_add(d - b'0')));
                at += 4;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    out
}

/// The topmost FUSE mount at exactly that path, taken lexically: symbolic links are not followed, because that
/// would ask the mount itself.
pub fn at<'a>(mounts: &'a [Mount], path: &Path) -> Option<&'a Mount> {
    mounts.iter().rev().find(|m| m.is_fuse() && m.point == path)
}

/// The mount that serves a path: longest mount point that is a prefix, the last of equals.
pub fn serving<'a>(mounts: &'a [Mount], path: &Path) -> Option<&'a Mount> {
    let holds = mounts.iter().filter(|m| path.starts_with(&m.point));
    holds.max_by_key(|m| m.point.components().count())
}

/// The FUSE mounts that the layers of an overlay lie on, by the letters of its options.
pub fn layers<'a>(mounts: &'a [Mount], overlay: &Mount) -> Vec<&'a Mount> {
    let dirs = ["upperdir", "lowerdir"].into_iter().filter_map(|name| overlay.option(name));
    let dirs = dirs.filter(|_| overlay.fstype == "overlay").flat_map(|dirs| dirs.split(':'));
    dirs.filter_map(|dir| serving(mounts, Path::new(dir))).filter(|mount| mount.is_fuse()).collect()
}

/// The mount that serves a path which a process named from `base`, a directory on the mount with that number. Where a
/// later mount hides that directory, the path stays below it unless a mount further in takes over; out of it, nothing
/// tells.
pub fn reached<'a>(mounts: &'a [Mount], (id, base): (u32, &Path), path: &Path) -> Option<&'a Mount> {
    let by_letters = serving(mounts, path);
    let hidden = serving(mounts, base).is_some_and(|shown| shown.id != id);
    let further_in = |mount: &&Mount| mount.point.starts_with(base) && mount.point != base;
    match hidden {
        false => by_letters,
        true if !path.starts_with(base) => None,
        true => by_letters.filter(further_in).or_else(|| mounts.iter().find(|mount| mount.id == id)),
    }
}

/// Whether the mount that serves a directory lies on another one of a daemon's: who went there before stands on that.
pub fn hides_another(mounts: &[Mount], dir: &Path) -> bool {
    let Some(shown) = serving(mounts, dir).filter(|mount| mount.is_fuse()) else { return false };
    let below = mounts.iter().filter(|mount| mount.id != shown.id && shown.point.starts_with(&mount.point));
    below.max_by_key(|mount| mount.point.components().count()).is_some_and(Mount::is_fuse)
}

/// An absolute path without `.` and `..`, made without asking the file system.
pub fn lexical(cwd: &Path, path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in cwd.join(path).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            part => out.push(part),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SAMPLE: &[u8] = b"\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:39 / /mnt/a\\040b rw,nosuid,nodev,relatime shared:9 - fuse.rclone remote: rw,user_id=0,group_id=0,allow_other
31 22 0:40 / /mnt/a\\040b rw - fuse.sshfs host:/ rw,user_id=1000
32 22 0:41 / /sys/fs/fuse/connections rw - fusectl none rw
33 22 8:17 / /media/stick rw - fuseblk /dev/sdb1 rw,user_id=0
garbage
";

    #[test]
    fn lines_become_mounts_and_the_last_of_a_path_is_on_top() {
        let mounts = parse(SAMPLE);
        assert_eq!(mounts.len(), 5);
        let top = at(&mounts, Path::new("/mnt/a b")).unwrap();
        assert_eq!((top.connection(), top.kind(), top.option("user_id")), (40, "sshfs", Some("1000")));
        assert!(!mounts[3].is_fuse(), "fusectl is no mount of a daemon");
        assert_eq!(mounts[4].connection(), 8 << 20 | 17, "fuseblk connections are named by the block device");
        assert_eq!(serving(&mounts, Path::new("/mnt/a b/deep/x")).unwrap().id, 31);
        assert_eq!(serving(&mounts, Path::new("/mnt/ab")).unwrap().id, 22);
    }

    #[test]
    fn a_mount_point_that_is_no_utf_8_is_found_by_its_bytes() {
        use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};
        let mounts = parse(b"30 22 0:39 / /mnt/caf\xe9\\040x rw - fuse.rclone remote: rw,user_id=0\n");
        let path = Path::new(OsStr::from_bytes(b"/mnt/caf\xe9 x"));
        assert_eq!(at(&mounts, path).map(Mount::connection), Some(39));
    }

    #[test]
    fn who_stands_below_a_later_mount_asks_the_one_below_it() {
        let mounts = parse(
            b"22 1 254:0 / / rw - ext4 /dev/vda rw\n30 22 0:39 / /mnt/a rw - fuse.below x rw\n\
              31 30 0:40 / /mnt/a/dir rw - fuse.above x rw\n32 31 0:41 / /mnt/a/dir/in rw - fuse.inner x rw\n",
        );
        let dir = Path::new("/mnt/a/dir");
        let found = |id, path: &str| reached(&mounts, (id, dir), Path::new(path)).map(|mount| mount.id);
        assert_eq!(found(31, "/mnt/a/dir/x"), Some(31));
        assert_eq!(found(30, "/mnt/a/dir/x"), Some(30), "it stood there before");
        assert_eq!(found(30, "/mnt/a/dir/in/x"), Some(32));
        assert_eq!(found(30, "/mnt/a/x"), None);
        assert!(hides_another(&mounts, dir) && hides_another(&mounts, Path::new("/mnt/a/dir/in")));
        assert!(!hides_another(&mounts, Path::new("/mnt/a")) && !hides_another(&mounts, Path::new("/mnt")));
    }

    #[test]
    fn the_layers_of_an_overlay_lead_to_the_mount_that_may_hang() {
        let mounts = parse(
            b"22 1 254:0 / / rw - ext4 /dev/vda rw\n30 22 0:39 / /mnt/a rw - fuse.below x rw\n\
              31 22 0:40 / /mnt/o rw - overlay overlay rw,lowerdir=/mnt/a/in:/srv,upperdir=/up,workdir=/w\n",
        );
        let ids = |mount: &Mount| layers(&mounts, mount).iter().map(|layer| layer.id).collect::<Vec<_>>();
        assert_eq!((ids(&mounts[2]), ids(&mounts[1]), ids(&mounts[0])), (vec![30], vec![], vec![]));
    }

    #[test]
    fn paths_are_cleaned_without_the_file_system() {
        assert_eq!(lexical(Path::new("/a/b"), Path::new("../c/./d/")), Path::new("/a/c/d"));
        assert_eq!(lexical(Path::new("/a"), Path::new("/../m")), Path::new("/m"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "[ -~\\\\\n0-9:]{0,200}") {
            let _ = parse(text.as_bytes());
            let _ = unescape(text.as_bytes());
        }
    }
}
