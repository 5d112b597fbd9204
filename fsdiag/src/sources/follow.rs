//! Follows a growing file: through rotation, truncation, a link that is bent to another file, and its removal.

use std::{
    fs::{File, Metadata},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::{DirEntryExt, MetadataExt},
    path::{Path, PathBuf},
};

use super::lines::Lines;

/// Read at once.
const BLOCK: usize = 256 << 10;

/// What one look found, beside lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing but perhaps more lines.
    None,
    /// Another file stands there now: its lines follow.
    Switched,
    /// The same file is shorter: it was emptied, and is read from its start.
    Truncated,
    /// There is no such file now; it may come back.
    Gone,
    /// There never was such a file so far.
    Missing,
}

/// A file being followed by its name.
#[derive(Debug)]
pub struct Follow {
    path: PathBuf,
    open: Option<Open>,
    lines: Lines,
    block: Vec<u8>,
}

#[derive(Debug)]
struct Open {
    file: File,
    /// Device and inode.
    id: (u64, u64),
    offset: u64,
}

impl Follow {
    /// From its first line. The file need not exist yet.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), open: None, lines: Lines::default(), block: vec![0; BLOCK] }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes read of the current file and bytes it has.
    pub fn progress(&self) -> (u64, u64) {
        let Some(open) = &self.open else { return (0, 0) };
        (open.offset, open.file.metadata().map_or(open.offset, |meta| meta.len()))
    }

    /// Reads what is there now, at most `limit` bytes; true in the second value: there is more.
    ///
    /// # Errors
    /// When the file cannot be read although it is there.
    pub fn poll(&mut self, limit: usize, mut each: impl FnMut(&[u8])) -> io::Result<(Change, bool)> {
        let mut change = self.settle()?;
        let mut left = limit;
        let mut passed_on = None;
        loop {
            let Some(open) = &mut self.open else { return Ok((change, false)) };
            let room = left.min(self.block.len());
            let got = open.file.read(&mut self.block[..room])?;
            if got > 0 {
                open.offset += got as u64;
                self.lines.feed(&self.block[..got], &mut each);
                left -= got;
                if left == 0 {
                    return Ok((change, true));
                }
                continue;
            }
            // Everything of this file is read: only now may another take its place.
            match (passed_on.take(), self.elsewhere()) {
                // Its last lines may have come since, just before it lost its name.
                (None, Some(meta)) => passed_on = Some(meta),
                (Some(meta), _) => match self.next(&meta)? {
                    Some(next) => {
                        self.finish_line(&mut each);
                        self.open = Some(next);
                        change = Change::Switched;
                    }
                    None => return Ok((change, false)),
                },
                (None, None) => return Ok((change, false)),
            }
        }
    }

    /// Opens the file if it is not, starts anew if it shrank.
    fn settle(&mut self) -> io::Result<Change> {
        let there = std::fs::metadata(&self.path);
        match (&mut self.open, there) {
            (None, Ok(meta)) => {
                self.open = Some(open(&self.path, &meta)?);
                Ok(Change::None)
            }
            (None, Err(_)) => Ok(Change::Missing),
            (Some(open), there) => {
                if open.file.metadata()?.len() < open.offset {
                    open.offset = open.file.seek(SeekFrom::Start(0))?;
                    self.lines.clear();
                    return Ok(Change::Truncated);
                }
                Ok(if there.is_err() { Change::Gone } else { Change::None })
            }
        }
    }

    fn elsewhere(&self) -> Option<Metadata> {
        let meta = std::fs::metadata(&self.path).ok()?;
        (self.open.as_ref()?.id != id(&meta)).then_some(meta)
    }

    /// The file that was written after the one that is open, where names tell it: `events-7.000003.jsonl` comes after
    /// `events-7.000002.jsonl`, and `events-7.jsonl` last. Several may have come since the last look.
    fn successor(&self) -> Option<PathBuf> {
        let (dir, open) = (self.path.parent()?, self.open.as_ref()?);
        let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
        let entries = std::fs::read_dir(dir).ok()?.flatten();
        let name =
            entries.filter(|entry| entry.ino() == open.id.1).find_map(|entry| entry.file_name().into_string().ok())?;
        let (stem, number) = name.strip_suffix(".jsonl")?.rsplit_once('.')?;
        let number: u32 = number.parse().ok()?;
        let next = [format!("{stem}.{:06}.jsonl", number + 1), format!("{stem}.jsonl")];
        next.into_iter().map(|name| dir.join(name)).find(|path| path.exists())
    }

    /// The next file; None: it is gone again. While it is opened its name may go to the file after it: then it has
    /// another name by now.
    fn next(&self, meta: &Metadata) -> io::Result<Option<Open>> {
        loop {
            let name = self.successor();
            let opened = open(name.as_ref().unwrap_or(&self.path), meta);
            match opened {
                _ if self.successor() != name => (),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                opened => return opened.map(Some),
            }
        }
    }

    /// A last line without an end will not get one any more.
    fn finish_line(&mut self, each: &mut impl FnMut(&[u8])) {
        if !self.lines.rest().is_empty() {
            each(self.lines.rest());
        }
        self.lines.clear();
    }
}

fn open(path: &Path, meta: &Metadata) -> io::Result<Open> {
    let file = File::open(path)?;
    let id = file.metadata().map_or_else(|_| id(meta), |own| id(&own));
    Ok(Open { file, id, offset: 0 })
}

fn id(meta: &Metadata) -> (u64, u64) {
    (meta.dev(), meta.ino())
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write as _};

    use super::*;

    fn look(follow: &mut Follow) -> (Change, Vec<String>) {
        let mut lines = Vec::new();
        let (change, _) =
            follow.poll(usize::MAX, |line| lines.push(String::from_utf8_lossy(line).into_owned())).unwrap();
        (change, lines)
    }

    fn append(path: &Path, text: &str) {
        fs::OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn a_half_line_waits_for_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut follow = Follow::new(&path);
        assert_eq!(look(&mut follow).0, Change::Missing);
        append(&path, "one\ntw");
        assert_eq!(look(&mut follow).1, ["one"]);
        append(&path, "o\n");
        assert_eq!(look(&mut follow), (Change::None, vec!["two".into()]));
    }

    #[test]
    fn rotation_loses_no_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        append(&path, "one\n");
        let mut follow = Follow::new(&path);
        look(&mut follow);
        append(&path, "late\n");
        fs::rename(&path, dir.path().join("log.1")).unwrap();
        append(&path, "new\n");
        assert_eq!(look(&mut follow), (Change::Switched, vec!["late".into(), "new".into()]));
    }

    #[test]
    fn no_line_is_lost_however_often_the_file_is_rotated_between_two_looks() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let link = at("events.jsonl");
        append(&at("events-7.jsonl"), "0\n");
        std::os::unix::fs::symlink("events-7.jsonl", &link).unwrap();
        let mut follow = Follow::new(&link);
        assert_eq!(look(&mut follow).1, ["0"]);
        for n in 1..4 {
            fs::rename(at("events-7.jsonl"), at(&format!("events-7.{n:06}.jsonl"))).unwrap();
            append(&at("events-7.jsonl"), &format!("{n}\n"));
        }
        append(&at("events-8.jsonl"), "next run\n");
        fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink("events-8.jsonl", &link).unwrap();
        assert_eq!(look(&mut follow), (Change::Switched, ["1", "2", "3", "next run"].map(String::from).to_vec()));
        assert_eq!(look(&mut follow), (Change::None, Vec::new()));
    }

    #[test]
    fn no_line_is_lost_while_the_file_is_rotated_after_every_one() {
        const LINES: usize = 500;
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().to_owned();
        let write = move || {
            for n in 1..=LINES {
                append(&root.join("events-7.jsonl"), &format!("{n}\n"));
                fs::rename(root.join("events-7.jsonl"), root.join(format!("events-7.{n:06}.jsonl"))).unwrap();
            }
            append(&root.join("events-7.jsonl"), "end\n");
        };
        std::os::unix::fs::symlink("events-7.jsonl", dir.path().join("events.jsonl")).unwrap();
        append(&dir.path().join("events-7.jsonl"), "begin\n");
        let mut follow = Follow::new(&dir.path().join("events.jsonl"));
        let mut lines = look(&mut follow).1;
        let writer = std::thread::Builder::new().spawn(write).unwrap();
        while lines.last().is_none_or(|line| line != "end") {
            lines.extend(look(&mut follow).1);
        }
        writer.join().unwrap();
        let numbers = (1..=LINES).map(|n| n.to_string());
        assert_eq!(lines, std::iter::once("begin".into()).chain(numbers).chain(["end".into()]).collect::<Vec<_>>());
    }

    #[test]
    fn a_file_that_is_emptied_is_read_from_its_start() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        append(&path, "one\ntwo\n");
        let mut follow = Follow::new(&path);
        look(&mut follow);
        fs::write(&path, "x\n").unwrap();
        assert_eq!(look(&mut follow), (Change::Truncated, vec!["x".into()]));
    }

    #[test]
    fn a_link_that_is_bent_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b, link) = (dir.path().join("a"), dir.path().join("b"), dir.path().join("link"));
        append(&a, "a\n");
        append(&b, "b\n");
        std::os::unix::fs::symlink(&a, &link).unwrap();
        let mut follow = Follow::new(&link);
        assert_eq!(look(&mut follow).1, ["a"]);
        fs::remove_file(&link).unwrap();
        assert_eq!(look(&mut follow).0, Change::Gone);
        std::os::unix::fs::symlink(&b, &link).unwrap();
        assert_eq!(look(&mut follow), (Change::Switched, vec!["b".into()]));
    }
}
