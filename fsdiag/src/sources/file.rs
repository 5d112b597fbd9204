//! Files to analyse: plain, compressed, a directory of them, or standard input.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek as _},
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;

use super::{
    copies,
    frames::{self, Frames},
    kernel::mountinfo,
    links, sealed,
    wide::Wide,
};

/// One thing to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    Stdin,
    File(PathBuf),
}

impl Input {
    /// What the report calls it.
    pub fn name(&self) -> String {
        match self {
            Self::Stdin => "-".to_owned(),
            Self::File(path) => path.display().to_string(),
        }
    }

    /// Of a file.
    pub fn path(self) -> Option<PathBuf> {
        match self {
            Self::Stdin => None,
            Self::File(path) => Some(path),
        }
    }

    /// Bytes of it on disk, where that is known.
    pub fn size(&self) -> Option<u64> {
        match self {
            Self::Stdin => None,
            Self::File(path) => path.metadata().ok().map(|meta| meta.len()),
        }
    }

    /// Whether it gives the same when it is opened once more; a pipe does not, whatever its name.
    pub fn can_be_read_again(&self) -> bool {
        match self {
            Self::Stdin => false,
            Self::File(path) => path.metadata().is_ok_and(|meta| meta.is_file()),
        }
    }

    /// The text as UTF-8, decompressed by its first bytes, whatever its name says.
    ///
    /// # Errors
    /// It cannot be opened, is damaged where it says that it is compressed, or is no text, and then what to do about it.
    pub fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        let raw: Box<dyn Read + Send> = match self {
            Self::Stdin => Box::new(io::stdin()),
            Self::File(path) => Box::new(File::open(path)?),
        };
        as_utf8(decompressed(raw)?)
    }

    /// The text from there on, without what stands before it.
    ///
    /// # Errors
    /// It cannot be opened, or its bytes are not those of the text: it is compressed, or in another encoding.
    pub fn open_at(&self, bytes: u64) -> io::Result<Box<dyn Read + Send>> {
        let Self::File(path) = self else { return Err(io::ErrorKind::NotSeekable.into()) };
        if bytes == 0 {
            return self.open();
        }
        let (mut file, mut magic) = (File::open(path)?, [0; 4]);
        let got = read_some(&mut file, &mut magic)?;
        if matches!(magic, [0x1f, 0x8b, ..] | [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0xef, 0xbb, 0xbf, _])
            || frames::begin(&magic[..got])
            || unmarked(&magic[..got]).is_some()
        {
            return Err(io::ErrorKind::NotSeekable.into());
        }
        file.seek(io::SeekFrom::Start(bytes))?;
        Ok(Box::new(file))
    }
}

fn decompressed(mut raw: Box<dyn Read + Send>) -> io::Result<Box<dyn Read + Send>> {
    let mut magic = [0; 4];
    let got = read_some(&mut raw, &mut magic)?;
    let whole = io::Cursor::new(magic).take(got as u64).chain(raw);
    Ok(match &magic[..got] {
        [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(BufReader::new(whole))),
        magic if frames::begin(magic) => Box::new(Frames::new(BufReader::new(whole))),
        _ => Box::new(whole),
    })
}

/// Without a byte order mark; where it tells of another encoding, that is undone.
fn as_utf8(mut text: Box<dyn Read + Send>) -> io::Result<Box<dyn Read + Send>> {
    let mut head = [0; sealed::HEAD];
    let got = read_some(&mut text, &mut head)?;
    let head = &head[..got];
    if let Some(why) = sealed::why(head) {
        return Err(io::Error::new(io::ErrorKind::Unsupported, why));
    }
    let behind = |len: usize, text| io::Cursor::new(head[len..].to_vec()).chain(text);
    Ok(match head {
        [0xff, 0xfe, ..] => Box::new(Wide::new(behind(2, text), u16::from_le_bytes)),
        [0xfe, 0xff, ..] => Box::new(Wide::new(behind(2, text), u16::from_be_bytes)),
        [0xef, 0xbb, 0xbf, ..] => Box::new(behind(3, text)),
        _ => match unmarked(head) {
            Some(unit) => Box::new(Wide::new(behind(0, text), unit)),
            None => Box::new(behind(0, text)),
        },
    })
}

/// How two bytes make a character in a text that does not begin with a mark: its first two are of ASCII.
fn unmarked(head: &[u8]) -> Option<fn([u8; 2]) -> u16> {
    match head {
        [1..=0x7f, 0, 1..=0x7f, 0, ..] => Some(u16::from_le_bytes),
        [0, 1..=0x7f, 0, 1..=0x7f, ..] => Some(u16::from_be_bytes),
        _ => None,
    }
}

fn read_some(raw: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while got < into.len() {
        match raw.read(&mut into[got..]) {
            Ok(0) => break,
            Ok(n) => got += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}

/// Turns what the user named into inputs: a directory into its files, a rotated set into its order of writing.
/// The second value says what could not be used.
pub fn collect(named: &[PathBuf]) -> (Vec<Input>, Vec<String>) {
    let (mut inputs, mut problems) = (Vec::new(), Vec::new());
    for path in named {
        if path.as_os_str() == "-" {
            inputs.push(Input::Stdin);
        } else if path.is_dir() {
            match files_of(path, &mut problems) {
                Ok(files) if files.is_empty() => problems.push(format!("{}: no files in it", path.display())),
                Ok(files) => inputs.extend(files.into_iter().map(Input::File)),
                Err(error) => problems.push(format!("{}: {error}", path.display())),
            }
        } else {
            inputs.push(Input::File(path.clone()));
        }
    }
    inputs.sort_by_key(order);
    inputs.dedup_by(|a, b| same(a, b));
    copies::leave_out(&mut inputs, &mut problems);
    (inputs, problems)
}

fn same(a: &Input, b: &Input) -> bool {
    match (a, b) {
        (Input::File(a), Input::File(b)) => {
            a == b || a.canonicalize().ok().is_some_and(|a| b.canonicalize().ok() == Some(a))
        }
        (a, b) => a == b,
    }
}

/// Files, not hidden, one level deep, and links to such of other directories, as those of `/var/log/containers` are.
fn files_of(dir: &Path, problems: &mut Vec<String>) -> io::Result<Vec<PathBuf>> {
    let (mut files, mut mounts) = (Vec::new(), None);
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        let kind = entry.file_type()?;
        let path = entry.path();
        if hidden {
            continue;
        }
        if kind.is_file() {
            files.push(path);
        } else if kind.is_symlink() {
            let mounts = mounts.get_or_insert_with(|| mountinfo::read().unwrap_or_default());
            match links::leads_out(&path, dir, mounts) {
                Ok(target) => files.extend(target.map(|_| path)),
                Err(error) => problems.push(format!("{}: {error}", path.display())),
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Which log a file is a piece of, and which piece: `log.2.gz` was written before `log.1`, and that before `log`;
/// `log-20261118` before `log-20261119`, `log.old` before `log`.
pub fn piece(path: &Path) -> (PathBuf, (bool, u64)) {
    let stem = unpacked(path);
    let name = stem.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let earlier = name.strip_suffix(".old").map(|base| (base.to_owned(), 0)).or_else(|| written_until(name));
    if let Some((base, when)) = earlier {
        return (stem.with_file_name(base), (false, when));
    }
    let Some((base, piece)) = name.rsplit_once(['.', '-']).and_then(|(base, end)| Some((base, number(end)?))) else {
        return (stem, (true, 0));
    };
    let dated = name.as_bytes()[base.len()] == b'-';
    match (dated, piece) {
        (false, ..1000) => (stem.with_file_name(base), (false, u64::MAX - piece)),
        (_, 19_700_101..=99_991_231) => (stem.with_file_name(base), (false, piece)),
        _ => (stem, (true, 0)),
    }
}

/// The name of a log without the moment at which it was rotated, and that as a number: `log.2026-11-20`,
/// `log-2026112001`, `0.log.20261120-130500`, `rclone-2026-11-20T10-00-00.000.log`.
fn written_until(name: &str) -> Option<(String, u64)> {
    /// Digits of a moment in milliseconds.
    const DIGITS: usize = 17;
    let is_part = |c: char| c.is_ascii_digit() || matches!(c, '-' | '_' | 'T' | '.');
    name.match_indices(['.', '-', '_']).find_map(|(at, before)| {
        let rest = &name[at + 1..];
        let long = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        let when = rest[..long].trim_end_matches(['.', '-', '_']);
        let (end, shape) = (&rest[when.len()..], when.replace(|c: char| c.is_ascii_digit(), "0"));
        let is_whole = match &*shape {
            "0000000000" | "000000000000" | "00000000000000" => end.is_empty(),
            "00000000-000000" => end.is_empty() && before == ".",
            _ => shape.starts_with("0000-00-00") && matches!(end, "" | ".log" | ".json" | ".jsonl"),
        };
        let digits: String = when.chars().filter(char::is_ascii_digit).take(DIGITS).collect();
        let is_date = digits.starts_with("19") || digits.starts_with("20");
        let number = format!("{digits:0<DIGITS$}").parse().ok().filter(|_| is_whole && is_date)?;
        Some((format!("{}{end}", &name[..at]), number))
    })
}

/// The number behind the last dot of a name, of a piece or of the thread that the file is about, and what it is
/// behind.
pub fn numbered(path: &Path) -> (PathBuf, Option<u64>) {
    let stem = unpacked(path);
    match stem.extension().and_then(|end| number(end.to_str()?)) {
        Some(n) => (stem.with_extension(""), Some(n)),
        None => (stem, None),
    }
}

/// The name without what packing adds.
pub(super) fn unpacked(path: &Path) -> PathBuf {
    let mut stem = path.to_owned();
    while stem.extension().is_some_and(|e| e == "gz" || e == "zst") {
        stem.set_extension("");
    }
    stem
}

fn number(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn order(input: &Input) -> (PathBuf, (bool, u64)) {
    match input {
        Input::File(path) => piece(path),
        Input::Stdin => (PathBuf::new(), (true, 0)),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_rotated_set_is_read_in_its_order_of_writing() {
        let names = ["d/log", "d/log.1", "d/log.10.gz", "d/log.2.zst"].map(PathBuf::from);
        let (inputs, _) = collect(&names);
        let order: Vec<_> = inputs.iter().map(Input::name).collect();
        assert_eq!(order, ["d/log.10.gz", "d/log.2.zst", "d/log.1", "d/log"]);
        let names = ["d/log", "d/log-20261119", "d/log-20261118.gz", "d/a-1"].map(PathBuf::from);
        let order: Vec<_> = collect(&names).0.iter().map(Input::name).collect();
        assert_eq!(order, ["d/a-1", "d/log-20261118.gz", "d/log-20261119", "d/log"]);
        let stems = names.map(|name| piece(&name).0);
        assert_eq!(stems, ["d/log", "d/log", "d/log", "d/a-1"].map(PathBuf::from));
        let names = [
            "d/log",
            "d/log.2026-11-20",
            "d/log-2026112001.gz",
            "d/log.20261120-130500",
            "d/log-2026-11-20T10-00-00.000",
            "d/log.old",
        ];
        assert!(names.iter().all(|name| piece(Path::new(name)).0 == Path::new("d/log")));
        let rclone = piece(Path::new("rclone-2026-11-20T10-00-00.000.log.gz"));
        assert_eq!(rclone, (PathBuf::from("rclone.log"), (false, 20_261_120_100_000_000)));
        for alone in ["stacks-20261122-095933.log", "gdb-1.txt", "trace-2026-11-22.txt", "x-1234567890"] {
            assert_eq!(piece(Path::new(alone)), (PathBuf::from(alone), (true, 0)), "{alone}");
        }
        let numbered = ["x.7.gz", "x.31988", "x"].map(|name| numbered(Path::new(name)));
        assert_eq!(numbered, [Some(7), Some(31988), None].map(|n| (PathBuf::from("x"), n)));
    }

    #[test]
    fn compressed_files_are_known_by_their_first_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut packer = flate2::write::GzEncoder::new(File::create(&path).unwrap(), flate2::Compression::fast());
        packer.write_all(b"hello\n").unwrap();
        packer.finish().unwrap();
        let mut text = String::new();
        Input::File(path).open().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello\n");
    }

    #[test]
    fn tiny_files_and_directories_are_taken() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a"), "x").unwrap();
        std::fs::write(dir.path().join(".hidden"), "x").unwrap();
        let (inputs, problems) = collect(&[dir.path().to_owned()]);
        assert_eq!((inputs.len(), problems.len()), (1, 0));
        let mut text = String::new();
        inputs[0].open().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "x");
    }
}
