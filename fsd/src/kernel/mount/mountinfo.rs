//! Mountinfo: what is mounted where, as the kernel tells without touching any mount.

use std::{
    ffi::OsString,
    io,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

/// One line of `/proc/self/mountinfo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MountLine {
    /// Number of the mount; `fdinfo` of an open file names it too.
    pub(super) id: u64,
    pub(super) major: u32,
    /// For FUSE the number of the connection.
    pub(super) minor: u32,
    pub(super) dir: PathBuf,
    pub(super) kind: String,
    pub(super) source: String,
}

impl MountLine {
    pub(super) fn is_fuse(&self) -> bool {
        self.kind == "fuse" || self.kind.starts_with("fuse.")
    }

    pub(super) fn is_ours(&self) -> bool {
        self.kind == "fuse.fsd"
    }
}

/// Every mount that this process sees; a line that cannot be read is skipped. On one directory the last one counts.
///
/// # Errors
/// Where nothing is seen: this process may have no descriptor left, and that says nothing about mounts.
pub(super) fn read() -> io::Result<Vec<MountLine>> {
    let text = std::fs::read("/proc/self/mountinfo")?;
    Ok(text.split(|byte| *byte == b'\n').filter_map(parse).collect())
}

/// What is on top of `dir`, as far as that is seen.
pub(super) fn top(dir: &Path) -> Option<MountLine> {
    read().ok()?.into_iter().rfind(|line| line.dir == dir)
}

fn parse(line: &[u8]) -> Option<MountLine> {
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let text = |at: usize| fields.get(at).and_then(|field| std::str::from_utf8(field).ok());
    let (major, minor) = text(2)?.split_once(':')?;
    let dash = fields.iter().position(|field| *field == b"-")?;
    Some(MountLine {
        id: text(0)?.parse().ok()?,
        major: major.parse().ok()?,
        minor: minor.parse().ok()?,
        dir: PathBuf::from(OsString::from_vec(unescape(fields.get(4)?))),
        kind: text(dash + 1)?.to_owned(),
        source: String::from_utf8_lossy(&unescape(fields.get(dash + 2)?)).into_owned(),
    })
}

/// Space, tab, newline and backslash stand as a backslash and three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        let digits = tail.get(..3).filter(|digits| *first == b'\\' && digits.iter().all(|d| matches!(d, b'0'..=b'7')));
        if let Some(digits) = digits {
            out.push(digits.iter().fold(0_u8, |value, digit| value.wrapping_mul(8).wrapping_add(digit - b'0')));
            rest = &tail[3..];
        } else {
            out.push(*first);
            rest = tail;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_spaces_and_optional_fields_is_read() {
        let line = br"72 29 0:47 / /mnt/a\040b\134c ro,nosuid shared:3 master:1 - fuse.fsd http://h/\040x ro,user_id=0";
        let got = parse(line).unwrap();
        assert_eq!((got.id, got.major, got.minor), (72, 0, 47));
        assert_eq!(got.dir, Path::new(r"/mnt/a b\c"));
        assert_eq!((got.kind.as_str(), got.source.as_str()), ("fuse.fsd", "http://h/ x"));
        assert!(got.is_fuse() && got.is_ours());
    }

    #[test]
    fn garbage_is_skipped() {
        for line in ["", "x", "1 2 3", "1 2 a:b / / rw - ext4", r"1 2 0:1 / /\04 rw - fuse"] {
            assert_eq!(parse(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn the_root_is_mounted() {
        assert!(read().unwrap().iter().any(|line| line.dir == Path::new("/")));
        assert!(top(Path::new("/proc")).is_some_and(|line| !line.is_fuse()));
    }
}
