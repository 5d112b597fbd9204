//! Listings: a directory as it was last shown, so that the next worker answers while the origin does not.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use fsd_events::{
    ids::{Ino, RunId},
    names::Kind,
};
use serde::{Deserialize, Serialize};

use crate::{
    data::{
        origin::Validator,
        source::{Link, Source},
    },
    names::tree::{Directory, FileInfo, Listing, Node, Tree},
    observe::locks,
    platform::{
        clock,
        runtime_dir::{free_bytes, make_private},
    },
};

/// Names of the largest listing that is kept; one has about 150 bytes.
const MOST: usize = 1 << 16;
/// Listings leave so much room to everything else in the runtime directory.
const SPARE: u64 = 16 << 20;
/// And take so much of it at most, the newest: it is memory, and who walks a large tree lists each directory once.
const ALL: u64 = 32 << 20;
/// A file takes whole pages.
const PAGE: u64 = 4096;

/// Where listings are kept, and for which mount.
#[derive(Clone, Debug)]
pub struct Listings {
    dir: PathBuf,
    run: RunId,
    /// Bytes that all of them take, once it is known what the worker before kept.
    taken: Arc<OnceLock<AtomicU64>>,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    dir: u64,
    /// On the clock that all processes share; None where files are hidden, which a new listing brings.
    fetched_us: Option<u64>,
    hidden: usize,
    nodes: Vec<KeptNode>,
}

#[derive(Serialize, Deserialize)]
struct KeptNode {
    name: String,
    ino: u64,
    /// None: a directory.
    file: Option<KeptFile>,
}

#[derive(Serialize, Deserialize)]
struct KeptFile {
    size: u64,
    modified_us: Option<u64>,
    validator: Validator,
    unversioned: bool,
    link: Link,
}

impl Listings {
    /// In `dir`, which is made when the first is kept.
    pub fn new(dir: PathBuf, run: RunId) -> Self {
        Self { dir, run, taken: Arc::default() }
    }

    /// Keeps what is fetched now and about to be shown. Without room nothing of the directory is kept: what is older
    /// than what the kernel was told would say that names are gone which it has. A local source needs no help. Blocks.
    pub fn keep(&self, source: &Source, dir: Ino, listing: &Listing) {
        if source.is_local() {
            return;
        }
        locks::assert_none_held("keeping a listing");
        if let Err(why) = self.write(source, dir, listing) {
            tracing::debug!("a listing will not outlive the worker: {why}");
            self.forget(dir);
        }
    }

    fn write(&self, source: &Source, dir: Ino, listing: &Listing) -> io::Result<()> {
        let free = self.dir.parent().and_then(free_bytes);
        if listing.len() > MOST || free.is_none_or(|free| free < SPARE) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let nodes: Vec<_> = listing.after(0).iter().filter_map(|node| KeptNode::of(source, node)).collect();
        let hidden = listing.hidden + listing.len() - nodes.len();
        let fetched_us = (hidden == 0).then(clock::now_mono_us);
        let kept = Kept { dir: dir.0, fetched_us, hidden, nodes };
        make_private(&self.dir)?;
        let (path, text) = (self.path(dir), super::checked(&super::form(self.run, &kept)?));
        let new = pages(text.len() as u64);
        if self.taken().load(Ordering::Relaxed).saturating_sub(size(&path)) + new > ALL {
            self.give_up_oldest(new + ALL / 8);
        }
        let old = size(&path);
        // Of one directory only one listing is fetched at a time.
        super::replace(&path, &path.with_extension("new"), &text)?;
        self.taken().fetch_add(new, Ordering::Relaxed);
        self.taken().fetch_sub(old, Ordering::Relaxed);
        Ok(())
    }

    fn taken(&self) -> &AtomicU64 {
        self.taken.get_or_init(|| {
            // What a worker was writing when it died.
            self.all().filter(|path| path.extension().is_some()).for_each(|half| drop(fs::remove_file(half)));
            AtomicU64::new(self.all().map(|path| size(&path)).sum())
        })
    }

    fn all(&self) -> impl Iterator<Item = PathBuf> {
        fs::read_dir(&self.dir).into_iter().flatten().flatten().map(|entry| entry.path())
    }

    /// Makes room for so many bytes: what was listed longest ago goes first.
    fn give_up_oldest(&self, room: u64) {
        let kept = self.all().filter(|path| path.extension().is_none());
        let mut kept: Vec<_> =
            kept.filter_map(|path| Some((fs::metadata(&path).ok()?.modified().ok()?, path))).collect();
        kept.sort_unstable();
        for (_, path) in kept {
            if self.taken().load(Ordering::Relaxed) + room <= ALL {
                return;
            }
            self.remove(&path);
        }
    }

    fn remove(&self, path: &Path) {
        let (taken, old) = (self.taken(), size(path));
        if fs::remove_file(path).is_ok() {
            taken.fetch_sub(old, Ordering::Relaxed);
        }
    }

    /// The source does not have that directory. Blocks.
    pub fn forget(&self, dir: Ino) {
        self.remove(&self.path(dir));
    }

    /// What an earlier worker showed, and when that was fetched; without the time when it must be fetched again. Blocks.
    pub fn recall(&self, source: &Source, tree: &Tree, dir: &Directory) -> Option<(Listing, Option<Instant>)> {
        locks::assert_none_held("recalling a listing");
        let kept: Kept = super::read(&self.path(dir.ino), self.run)?;
        let of = |node: KeptNode| node.node(source, tree, dir);
        let nodes: Option<Vec<Node>> = (kept.dir == dir.ino.0).then(|| kept.nodes.into_iter().map(of).collect())?;
        let nodes = nodes?;
        let dead = nodes.iter().any(|node| tree.is_forsaken(node.ino));
        let age = kept.fetched_us.map(|us| Duration::from_micros(clock::now_mono_us().saturating_sub(us)));
        let fetched = age.filter(|_| !dead).and_then(|age| clock::now().checked_sub(age));
        Some((Listing::new(nodes, kept.hidden), fetched))
    }

    fn path(&self, dir: Ino) -> PathBuf {
        self.dir.join(format!("{:016x}", dir.0))
    }
}

/// What the file takes; 0 where there is none.
fn size(path: &Path) -> u64 {
    fs::symlink_metadata(path).map_or(0, |file| pages(file.len()))
}

fn pages(bytes: u64) -> u64 {
    bytes.next_multiple_of(PAGE)
}

impl KeptNode {
    /// None for a file that only this worker has.
    fn of(source: &Source, node: &Node) -> Option<Self> {
        let file = match &node.file {
            Some(info) => Some(KeptFile::of(source, info)?),
            None => None,
        };
        Some(Self { name: node.name.to_string(), ino: node.ino.0, file })
    }

    /// None when it is not what was handed out under that number.
    fn node(self, source: &Source, tree: &Tree, dir: &Directory) -> Option<Node> {
        let Self { name, ino, file } = self;
        let kind = if file.is_some() { Kind::File } else { Kind::Dir };
        if !tree.is_of(Ino(ino), dir.ino, &name, kind) {
            return None;
        }
        let Some(file) = file else { return Some(Node::dir(&name, Ino(ino))) };
        let place = source.find(&dir.path, &name, file.link)?;
        let KeptFile { size, modified_us, validator, unversioned, .. } = file;
        let info = FileInfo { size, modified_us, validator, place, unversioned, staged: false };
        Some(Node::file(&name, Ino(ino), info))
    }
}

impl KeptFile {
    fn of(source: &Source, info: &FileInfo) -> Option<Self> {
        let link = source.link(&info.place)?;
        let FileInfo { size, modified_us, validator, unversioned, .. } = info.clone();
        Some(Self { size, modified_us, validator, unversioned, link })
    }
}

#[cfg(test)]
mod tests {
    use fsd_events::names::ROOT;

    use super::*;
    use crate::data::{
        hosts::Hosts,
        origin::{Origin, OriginConfig, Resource},
        source::{Listed, ListedKind, Place, SourceSpec},
    };

    const RUN: RunId = RunId(7);
    const URL: &str = "http://user:CANARY@host/dir/?token=CANARY";

    fn source() -> Source {
        let origin = Origin::new(OriginConfig::default()).unwrap();
        let spec = SourceSpec::parse(URL).unwrap();
        let led_to = Some(Resource::parse(URL).unwrap().seal());
        let open = Source::resume(&spec, origin, Hosts::default(), led_to);
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(open).unwrap()
    }

    fn file(name: &str, url: &str) -> Listed {
        let place = Place::Remote(Resource::parse(URL).unwrap().join(url).unwrap());
        let kind = ListedKind::File { size: Some(5), validator: Validator::None, modified_us: None, place };
        Listed { name: name.into(), kind }
    }

    #[test]
    fn a_listing_comes_back_as_it_was_and_without_the_secrets_of_the_source() {
        let place = tempfile::tempdir().unwrap();
        let listings = Listings::new(place.path().join("listings"), RUN);
        let (source, tree) = (source(), Tree::open(None, RUN).unwrap());
        let root = tree.directory(ROOT).unwrap();
        let all = vec![file("a b", "a%20b"), file("c", "https://other/c?signed"), file("d", "/dir//d")];
        let listing = tree.listing(&root, all);
        listings.keep(&source, ROOT, &listing);
        let (again, fetched) = listings.recall(&source, &tree, &root).unwrap();
        assert!(fetched.is_some());
        for (old, new) in listing.after(0).iter().zip(again.after(0)) {
            let (old_file, new_file) = (old.file.as_ref().unwrap(), new.file.as_ref().unwrap());
            assert_eq!((&old.name, old.ino, old.cookie), (&new.name, new.ino, new.cookie));
            assert_eq!((old_file.size, &old_file.place), (new_file.size, &new_file.place));
        }
        let text = fs::read_to_string(listings.path(ROOT)).unwrap();
        assert!(!text.contains("CANARY"), "{text}");
        tree.forsake(listing.after(0)[0].ino);
        assert!(listings.recall(&source, &tree, &root).unwrap().1.is_none(), "one of it is dead: asked again");
        let strange = Tree::open(None, RUN).unwrap();
        assert!(listings.recall(&source, &strange, &root).is_none(), "numbers that nobody was given");
        fs::write(listings.path(ROOT), text.replace("a b", "a c")).unwrap();
        assert!(listings.recall(&source, &tree, &root).is_none(), "damaged");
    }

    #[test]
    fn listings_take_no_more_room_than_they_may_and_the_oldest_go() {
        let place = tempfile::tempdir().unwrap();
        let dir = place.path().join("listings");
        let (source, tree) = (source(), Tree::open(None, RUN).unwrap());
        let root = tree.directory(ROOT).unwrap();
        let listing = tree.listing(&root, vec![file("a", "a")]);
        let listings = Listings::new(dir.clone(), RUN);
        let keep = |ino, seconds| {
            listings.keep(&source, Ino(ino), &listing);
            let file = fs::File::options().write(true).open(listings.path(Ino(ino))).unwrap();
            file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
        };
        let all = || (2..7).filter(|ino| listings.path(Ino(*ino)).exists()).collect::<Vec<_>>();
        for (ino, seconds) in [(2, 9), (3, 7), (4, 8)] {
            keep(ino, seconds);
        }
        // As if others took all of the rest.
        listings.taken().fetch_add(ALL - 3 * PAGE, Ordering::Relaxed);
        keep(4, 8);
        assert_eq!(all(), [2, 3, 4], "the same again takes no more");
        listings.give_up_oldest(PAGE);
        keep(5, 9);
        assert_eq!(all(), [2, 4, 5]);
        keep(6, 9);
        assert_eq!(all(), [6], "some room is made at once");
        fs::write(dir.join("half.new"), "secret").unwrap();
        let next = Listings::new(dir.clone(), RUN);
        assert_eq!(next.taken().load(Ordering::Relaxed), PAGE, "the next worker counts what is there");
        assert!(!dir.join("half.new").exists());
    }
}
