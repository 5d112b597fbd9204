//! Ground: the files of a mount under soak, what may be wrong with each, and what was seen of them so far.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use rustix::fs::{Advice, fadvise};

use super::super::support::*;

/// No call of a client may take longer, whatever is wrong: the limit of a read for each that the kernel makes of one,
/// on a machine that is busy.
pub(super) const PATIENCE: Duration = Duration::from_secs(75);

/// One byte, pages with one more, what stays in memory, and what does not.
const SIZES: [u64; 6] = [1, 4097, 100 << 10, (1 << 20) + 3, (5 << 20) + 1, 12 << 20];

/// What may be wrong with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing, ever: whoever reads it sees no error.
    Well,
    Faulty,
    /// It gets other bytes now and then.
    Changing,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Well, Self::Faulty, Self::Changing];

    pub(super) fn dir(self) -> &'static str {
        match self {
            Self::Well => "well",
            Self::Faulty => "faulty",
            Self::Changing => "changing",
        }
    }
}

pub(super) struct Known {
    pub(super) name: String,
    pub(super) size: u64,
    pub(super) kind: Kind,
}

#[derive(Default)]
pub(super) struct Ground {
    pub(super) files: Vec<Known>,
    bytes: AtomicU64,
    calls: AtomicU64,
    errors: AtomicU64,
    worst_us: AtomicU64,
}

impl Ground {
    /// Puts the files at the origin.
    pub(super) fn lay(origin: &Origin) -> Self {
        let mut ground = Self::default();
        for (kind, size) in Kind::ALL.into_iter().flat_map(|kind| SIZES.map(|size| (kind, size))) {
            let name = format!("{}/{size}.bin", kind.dir());
            origin.file(&name, size);
            ground.files.push(Known { name, size, kind });
        }
        ground
    }

    pub(super) fn of(&self, kind: Kind) -> Vec<&Known> {
        self.files.iter().filter(|known| known.kind == kind).collect()
    }

    /// One call into the mount, and how long it takes.
    pub(super) fn call<T>(&self, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let start = now();
        let result = call();
        let took = u64::try_from(start.elapsed().as_micros()).unwrap();
        self.worst_us.fetch_max(took, Relaxed);
        self.calls.fetch_add(1, Relaxed);
        self.errors.fetch_add(u64::from(result.is_err()), Relaxed);
        result
    }

    pub(super) fn worst(&self) -> Duration {
        Duration::from_micros(self.worst_us.load(Relaxed))
    }

    pub(super) fn done(&self) -> String {
        let [calls, errors, mib] =
            [self.calls.load(Relaxed), self.errors.load(Relaxed), self.bytes.load(Relaxed) >> 20];
        format!("{calls} calls, {errors} errors, {mib} MiB compared, worst {:.1} s", self.worst().as_secs_f64())
    }

    /// Each file to its end, now that nothing is wrong any more. The first look may find that it has changed.
    pub(super) fn check_all(&self, origin: &Origin, mounted: &Mounted) {
        for known in &self.files {
            let whole = || Opened::new(self, origin, mounted, known)?.read(0, known.size);
            let mut last = whole();
            await_true("the right bytes", || {
                let right = matches!(last, Ok(Ok(())));
                if !right {
                    last = whole();
                }
                assert!(!matches!(last, Ok(Err(_))), "{last:?}");
                right
            });
        }
    }
}

/// An open file, whose bytes are all of one version.
pub(super) struct Opened<'a> {
    ground: &'a Ground,
    origin: &'a Origin,
    known: &'a Known,
    file: File,
    /// Those that all bytes so far can be of.
    possible: Option<Vec<u64>>,
}

impl<'a> Opened<'a> {
    pub(super) fn new(ground: &'a Ground, origin: &'a Origin, mounted: &Mounted, known: &'a Known) -> io::Result<Self> {
        let file = ground.call(|| File::open(mounted.path(&known.name)))?;
        Ok(Self { ground, origin, known, file, possible: None })
    }

    /// Forgets what the kernel has of it, so that the daemon is asked.
    pub(super) fn forget(&self) -> io::Result<()> {
        Ok(fadvise(&self.file, 0, None, Advice::DontNeed)?)
    }

    /// Reads, at most to the end of the file, and compares. The inner error is what must never be.
    pub(super) fn read(&mut self, at: u64, len: u64) -> io::Result<Result<(), String>> {
        let len = usize::try_from(len.min(self.known.size - at)).unwrap();
        let mut bytes = vec![0; len];
        let read = self.ground.call(|| self.file.read_exact_at(&mut bytes, at));
        if read.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::UnexpectedEof) {
            return Ok(Err(format!("{} became shorter than {}", self.known.name, at + len as u64)));
        }
        read?;
        self.ground.bytes.fetch_add(len as u64, Relaxed);
        let (origin, known) = (self.origin, self.known);
        let possible = self.possible.get_or_insert_with(|| (1..=origin.version(&known.name)).collect());
        possible.retain(|version| is_of(origin, &known.name, *version, at, &bytes));
        let right = !possible.is_empty();
        Ok(right.then_some(()).ok_or_else(|| format!("{}: wrong or mixed bytes in {at}+{len}", known.name)))
    }
}

/// Most versions are told apart by their first bytes.
fn is_of(origin: &Origin, name: &str, version: u64, at: u64, bytes: &[u8]) -> bool {
    let head = bytes.len().min(64);
    origin.bytes_of(name, version, at, head) == bytes[..head]
        && origin.bytes_of(name, version, at, bytes.len()) == bytes
}
