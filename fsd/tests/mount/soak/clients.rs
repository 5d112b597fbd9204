//! Clients: those who use a mount under soak, each in its own way.

use std::{
    ffi::OsString,
    fs, io,
    path::Path,
    process::Output,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use serde_json::Value;

use super::{
    super::{dice::Dice, support::*},
    ground::{Ground, Kind, Known, Opened},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Client {
    /// Reads a file from its start to its end.
    Whole,
    /// Reads here and there, past what the kernel has.
    Ranges,
    /// Opens and closes.
    Glances,
    Lists,
    /// Asks for attributes.
    Asks,
    /// Stages, reads and unstages.
    Stages,
}

/// What one client did and saw.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) client: Client,
    pub(super) calls: u64,
    /// In words what must never be seen.
    pub(super) wrong: Vec<String>,
}

/// The inner error is wrong whatever the file; the outer one is, unless something may be wrong with it.
type Seen = io::Result<Result<(), String>>;

impl Client {
    pub(super) const ALL: [Self; 8] =
        [Self::Whole, Self::Whole, Self::Ranges, Self::Ranges, Self::Glances, Self::Lists, Self::Asks, Self::Stages];

    pub(super) fn work(self, n: u64, ground: &Ground, origin: &Origin, mounted: &Mounted, stop: &AtomicBool) -> Tally {
        let mut dice = Dice::new(n);
        let mut tally = Tally { client: self, calls: 0, wrong: Vec::new() };
        while !stop.load(Relaxed) && tally.wrong.len() < 10 {
            let known = dice.one_of(&ground.files);
            let seen = self.once(&mut dice, known, ground, origin, mounted);
            let wrong = match seen {
                Ok(seen) => seen.err(),
                Err(error) if known.kind == Kind::Well => Some(format!("{}: {error}", known.name)),
                Err(_) => None,
            };
            tally.wrong.extend(wrong);
            tally.calls += 1;
            // So that four mounts leave something of the processor to each other.
            std::thread::park_timeout(Duration::from_millis(self.pause() + dice.below(60)));
        }
        tally
    }

    fn pause(self) -> u64 {
        if self == Self::Stages { 500 } else { 0 }
    }

    fn once(self, dice: &mut Dice, known: &Known, ground: &Ground, origin: &Origin, mounted: &Mounted) -> Seen {
        let open = || Opened::new(ground, origin, mounted, known);
        match self {
            Self::Whole => whole(&mut open()?, known, dice),
            Self::Ranges => ranges(&mut open()?, known, dice),
            Self::Glances => open().map(|_| Ok(())),
            Self::Lists => lists(known.kind, ground, mounted),
            Self::Asks => asks(known, ground, mounted),
            Self::Stages => {
                let well = ground.of(Kind::Well);
                let known = dice.one_of(&well);
                Ok(stages(known, ground, origin, mounted))
            }
        }
    }
}

fn whole(opened: &mut Opened<'_>, known: &Known, dice: &mut Dice) -> Seen {
    opened.forget()?;
    let mut at = 0;
    while at < known.size {
        let len = 1 + dice.below(128 << 10);
        if let Err(wrong) = opened.read(at, len)? {
            return Ok(Err(wrong));
        }
        at += len;
    }
    Ok(Ok(()))
}

fn ranges(opened: &mut Opened<'_>, known: &Known, dice: &mut Dice) -> Seen {
    for _ in 0..1 + dice.below(8) {
        opened.forget()?;
        let at = dice.below(known.size);
        if let Err(wrong) = opened.read(at, 1 + dice.below(64 << 10))? {
            return Ok(Err(wrong));
        }
    }
    Ok(Ok(()))
}

fn lists(kind: Kind, ground: &Ground, mounted: &Mounted) -> Seen {
    let names = |dir: &Path| -> io::Result<Vec<OsString>> {
        fs::read_dir(dir)?.map(|entry| entry.map(|entry| entry.file_name())).collect()
    };
    let dir = mounted.path(kind.dir());
    let mut seen = ground.call(|| names(&dir))?;
    let mut wanted: Vec<OsString> =
        ground.of(kind).iter().filter_map(|known| Some(Path::new(&known.name).file_name()?.to_owned())).collect();
    seen.sort_unstable();
    wanted.sort_unstable();
    Ok((seen == wanted).then_some(()).ok_or_else(|| format!("{} has {seen:?}", kind.dir())))
}

fn asks(known: &Known, ground: &Ground, mounted: &Mounted) -> Seen {
    let path = mounted.path(&known.name);
    let ask = || Ok(statx(CWD, &path, AtFlags::STATX_FORCE_SYNC, StatxFlags::BASIC_STATS)?);
    let size = ground.call(ask)?.stx_size;
    Ok((size == known.size).then_some(()).ok_or_else(|| format!("{} has {size} bytes", known.name)))
}

/// A command may come while nobody serves, and is then told so; what it was promised holds.
fn stages(known: &Known, ground: &Ground, origin: &Origin, mounted: &Mounted) -> Result<(), String> {
    let said = mounted.fsd(&["stage", &origin.url(&known.name)]);
    let checked = if said.status.success() {
        as_promised(&text(&said.stdout), known, ground, origin)
    } else if nobody_serves(&said) {
        Ok(())
    } else {
        Err(text(&said.stderr))
    };
    unstage_all(mounted);
    checked
}

fn as_promised(said: &str, known: &Known, ground: &Ground, origin: &Origin) -> Result<(), String> {
    let (_, path) = said.trim_end().split_once(' ').ok_or("no id and no path")?;
    let bytes = ground.call(|| fs::read(path)).map_err(|error| format!("{path}: {error}"))?;
    let right = bytes.len() as u64 == known.size && bytes == origin.bytes(&known.name, 0, bytes.len());
    right.then_some(()).ok_or_else(|| format!("{path} has other bytes than {}", known.name))
}

/// Who is told that nobody serves asks again; and what a dying worker has staged, nobody was told of.
fn unstage_all(mounted: &Mounted) {
    await_true("the end of what is staged", || {
        let list: Value = serde_json::from_slice(&mounted.fsd(&["list", "--json"]).stdout).unwrap_or_default();
        let staged = list["staged"].as_array().cloned();
        for id in staged.iter().flatten().filter_map(|item| item["id"].as_str()) {
            mounted.fsd(&["unstage", id]);
        }
        staged.is_some_and(|staged| staged.is_empty())
    });
}

fn nobody_serves(said: &Output) -> bool {
    let why = text(&said.stderr);
    ["does not answer", "ended before it answered"].iter().any(|word| why.contains(word))
}
