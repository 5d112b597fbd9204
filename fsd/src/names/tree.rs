//! The tree: directories as they were last listed, over the name table that never forgets an inode.

mod disputes;
mod listing;

use std::{
    collections::HashMap,
    fmt, io,
    mem::take,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use fsd_events::{
    ids::{Ino, RunId},
    names::{self, FORSAKEN, Kind, NAME_MAX, ROOT},
};

use crate::{
    data::{
        origin::Validator,
        source::{Listed, ListedKind},
    },
    observe::locks::RwLock,
    platform::clock,
};

use super::{DIRECTORY, TREE, table::NameTable};
use disputes::Disputes;

pub use listing::{DOT, DOT_DOT, FileInfo, Listing, Node};

/// Bytes of the largest file that a kernel knows; to a name with a larger one it says EIO.
const FILE_MAX: u64 = i64::MAX as u64;

/// All directories of a mount.
pub struct Tree {
    table: NameTable,
    dirs: RwLock<HashMap<u64, Arc<Directory>>>,
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tree({} names)", self.table.len())
    }
}

/// One directory.
#[derive(Debug)]
pub struct Directory {
    pub ino: Ino,
    pub parent: Ino,
    /// As the mount shows it; empty for the root.
    pub path: Arc<str>,
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    listing: Option<Arc<Listing>>,
    /// When it was fetched; None: never, or it must be fetched again. Unused when `fixed`.
    fetched: Option<Instant>,
    /// Made here, not fetched: never too old.
    fixed: bool,
    /// So often an inode of it died, or a file of it was revealed.
    changes: u64,
    disputes: Disputes,
}

/// How old a listing may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// Whatever is there.
    Any,
    /// Fetched after that time.
    Since(Instant),
}

impl Age {
    /// Whether what was fetched then is new enough.
    pub fn allows(self, fetched: Option<Instant>) -> bool {
        match self {
            Self::Any => true,
            Self::Since(time) => fetched.is_some_and(|at| at >= time),
        }
    }
}

impl Tree {
    /// # Errors
    /// When the shared file cannot be made.
    pub fn open(shared: Option<&Path>, run: RunId) -> io::Result<Self> {
        let table = NameTable::open(shared, run)?;
        let root = Arc::new(Directory::new(ROOT, ROOT, Arc::from("")));
        let dirs = RwLock::new(&TREE, HashMap::from([(ROOT.0, root)]));
        Ok(Self { table, dirs })
    }

    /// The directory with that inode, also if only an earlier worker handed it out.
    pub fn directory(&self, ino: Ino) -> Option<Arc<Directory>> {
        if let Some(found) = self.dirs.read().get(&ino.0) {
            return Some(Arc::clone(found));
        }
        let record = self.table.find(ino).filter(|found| found.kind == Kind::Dir)?;
        let path = self.table.path(ino)?;
        let made = Arc::new(Directory::new(ino, record.parent, path.into()));
        Some(Arc::clone(self.dirs.write().entry(ino.0).or_insert(made)))
    }

    /// The directory that a file's inode was handed out for, and its name there.
    pub fn home(&self, ino: Ino) -> Option<(Arc<Directory>, String)> {
        let record = self.table.find(ino).filter(|found| found.kind == Kind::File)?;
        Some((self.directory(record.parent)?, record.name().to_owned()))
    }

    /// The directory that a file's inode was handed out for, and its node in the last listing. The second is None
    /// when there is no listing or no such version in it.
    pub fn file(&self, ino: Ino) -> Option<(Arc<Directory>, Option<Node>)> {
        let record = self.table.find(ino).filter(|found| found.kind == Kind::File)?;
        let home = self.directory(record.parent)?;
        let listing = home.state.read().listing.clone();
        let node = listing.and_then(|l| l.find(record.name()).filter(|node| node.ino == ino).cloned());
        Some((home, node))
    }

    /// Whether the inode was ever handed out, and what for.
    pub fn kind(&self, ino: Ino) -> Option<Kind> {
        self.table.kind(ino)
    }

    /// Whether the inode was handed out for that name below `parent`.
    pub fn is_of(&self, ino: Ino, parent: Ino, name: &str, kind: Kind) -> bool {
        let record = self.table.find(ino);
        record.is_some_and(|found| found.parent == parent && found.kind == kind && found.name() == name)
    }

    /// Path without a leading slash; empty for the root, None for an unknown inode. Takes no lock.
    pub fn path(&self, ino: Ino) -> Option<String> {
        self.table.path(ino)
    }

    /// The version that the first answer named of a file whose listing names none, as a number; 0: nobody knows it.
    /// It outlives the worker, as the kernel's pages of the file do. Takes no lock.
    pub fn settled(&self, ino: Ino) -> u32 {
        self.table.settled(ino)
    }

    /// Settles it.
    pub fn settle(&self, ino: Ino, version: u32) {
        self.table.settle(ino, version);
    }

    /// The kernel is about to be told of the inode once more. Takes no lock, and outlives the worker. Where a worker dies
    /// between this and the reply, or the reply finds nobody, the count stays too high: what is known of the inode is
    /// then kept for longer than it need be.
    pub fn look_up(&self, ino: Ino) {
        self.table.look_up(ino);
    }

    /// The kernel forgets so many of these times; true when none is left.
    pub fn forget(&self, ino: Ino, lookups: u64) -> bool {
        self.table.forget(ino, lookups)
    }

    /// Number of names ever handed out.
    pub fn names(&self) -> u64 {
        self.table.len()
    }

    /// The inode of a directory below `parent`. None when the table is full or the name too long.
    pub fn dir_ino(&self, parent: Ino, name: &str) -> Option<Ino> {
        (name.len() <= NAME_MAX).then(|| self.table.intern(parent, name, 0, Kind::Dir))?
    }

    /// The inode of one version of a file below `parent`. None when the table is full or the name too long.
    pub fn file_ino(&self, parent: Ino, name: &str, version: u64) -> Option<Ino> {
        let mut version = version.max(1);
        if name.len() > NAME_MAX {
            return None;
        }
        loop {
            let ino = self.table.intern(parent, name, version, Kind::File)?;
            if !self.is_forsaken(ino) {
                return Some(ino);
            }
            version = names::hash(version, b"gone").max(1);
        }
    }

    /// The content behind an inode is not what its name promised: the inode is dead, and the directory must be
    /// listed again, which gives the name a new one.
    pub fn forsake(&self, ino: Ino) {
        self.table.settle(ino, FORSAKEN);
        if let Some((home, _)) = self.home(ino) {
            let mut state = home.state.write();
            state.fetched = None;
            state.changes += 1;
        }
    }

    /// The first answer to a reader of a file told its length, in bytes: what the page of its directory says may be wrong
    /// for long.
    pub fn hear(&self, ino: Ino, told: u64) {
        let Some((home, Some(Node { name, file: Some(file), .. }))) = self.file(ino) else { return };
        if file.staged || told == file.size && home.state.read().disputes.is_empty() {
            return;
        }
        home.state.write().disputes.hear(&name, (file.size, file.modified_us), ino, told, clock::now());
    }

    pub fn is_forsaken(&self, ino: Ino) -> bool {
        self.table.settled(ino) == FORSAKEN
    }

    /// Makes a listing of what a source said. Names that cannot be shown are left out.
    pub fn listing(&self, dir: &Directory, listed: Vec<Listed>) -> Listing {
        let (before, disputes) = (dir.current(), dir.state.read().disputes.clone());
        let mut hidden = 0;
        let mut nodes = Vec::with_capacity(listed.len());
        for one in listed {
            match self.node(dir, disputed(one, &disputes), before.as_deref()) {
                Some(node) => nodes.push(node),
                None => hidden += 1,
            }
        }
        Listing::new(nodes, hidden)
    }

    /// Shows a file that `dir` has hidden until now, or another version of one.
    pub fn reveal(&self, dir: &Directory, listed: Listed) {
        let before = dir.current();
        let Some(node) = self.node(dir, listed, before.as_deref()) else { return };
        let mut state = dir.state.write();
        // A listing may be under way that does not have it.
        state.changes += 1;
        let Some(listing) = &state.listing else { return };
        // What was made here has the name.
        if listing.find(&node.name).is_some_and(|old| old.file.is_none()) {
            return;
        }
        let hidden = listing.hidden.saturating_sub(usize::from(listing.find(&node.name).is_none()));
        state.listing = Some(Arc::new(Listing { nodes: listing.nodes.clone(), hidden }.with(node)));
    }

    fn node(&self, dir: &Directory, listed: Listed, before: Option<&Listing>) -> Option<Node> {
        let Listed { name, kind } = listed;
        let ListedKind::File { size, validator, modified_us, place } = kind else {
            return Some(Node::dir(&name, self.dir_ino(dir.ino, &name)?));
        };
        let size = size.filter(|size| *size <= FILE_MAX)?;
        let version = version(&validator, size, modified_us);
        let unversioned = version.is_none();
        let same = |node: &&Node| node.is_unversioned(size) && !self.is_forsaken(node.ino);
        let known = before.and_then(|listing| listing.find(&name)).filter(same);
        let ino = match (known, version) {
            (Some(node), None) => node.ino,
            (_, version) => self.file_ino(dir.ino, &name, version.unwrap_or_else(clock::now_wall_us))?,
        };
        let info = FileInfo { size, modified_us, validator, place, unversioned, staged: false };
        Some(Node::file(&name, ino, info))
    }
}

/// A file with the length that answers tell, where they have outweighed what its page says.
fn disputed(mut listed: Listed, disputes: &Disputes) -> Listed {
    if let ListedKind::File { size: Some(size), modified_us, .. } = &mut listed.kind {
        *size = disputes.length(&listed.name, (*size, *modified_us));
    }
    listed
}

/// Tells versions of a file apart; None when nothing does.
pub fn version(validator: &Validator, size: u64, modified_us: Option<u64>) -> Option<u64> {
    match validator {
        Validator::Strong(tag) => Some(names::hash(size, tag.as_bytes())),
        Validator::Dated { modified, .. } => Some(names::hash(size ^ 1 << 63, modified.as_bytes())),
        Validator::None => modified_us.map(|us| names::hash(size ^ 1 << 62, &us.to_le_bytes())),
    }
}

impl Directory {
    fn new(ino: Ino, parent: Ino, path: Arc<str>) -> Self {
        Self { ino, parent, path, state: RwLock::new(&DIRECTORY, State::default()).keyed(ino.0) }
    }

    /// The last listing, however old.
    pub fn current(&self) -> Option<Arc<Listing>> {
        self.state.read().listing.clone()
    }

    /// The last listing if it is new enough.
    pub fn listing(&self, age: Age) -> Option<Arc<Listing>> {
        let state = self.state.read();
        state.listing.clone().filter(|_| state.fixed || age.allows(state.fetched))
    }

    /// How often it changed beside its listings: an inode died, or a file was revealed.
    pub fn changes(&self) -> u64 {
        self.state.read().changes
    }

    /// Shows what was fetched since it had changed so often. What changed meanwhile may be missing in there, so the next
    /// one who looks has it fetched again.
    pub fn set(&self, listing: Arc<Listing>, changes: u64) {
        let mut state = self.state.write();
        state.listing = Some(listing);
        state.fetched = (state.changes == changes).then(clock::now);
    }

    /// Shows what an earlier worker showed, of the age it has; nothing happens if something is shown already.
    pub fn recall(&self, listing: Arc<Listing>, fetched: Option<Instant>) {
        let mut state = self.state.write();
        if state.listing.is_none() {
            (state.listing, state.fetched) = (Some(listing), fetched);
        }
    }

    /// The source does not have this directory.
    pub fn forget(&self) {
        let mut state = self.state.write();
        *state = State { changes: state.changes, disputes: take(&mut state.disputes), ..State::default() };
    }

    /// What is shown counts as new until then, for readers that accept listings of the age `ttl`.
    pub fn stay_until(&self, until: Instant, ttl: Duration) {
        self.state.write().fetched = until.checked_sub(ttl);
    }

    /// Shows what was made here.
    pub fn fix(&self, listing: Arc<Listing>) {
        let mut state = self.state.write();
        (state.listing, state.fetched, state.fixed) = (Some(listing), None, true);
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, path::PathBuf};

    use proptest::prelude::*;

    use super::*;
    use crate::data::source::Place;

    fn listed(name: &str, validator: Validator, modified_us: Option<u64>) -> Listed {
        let place = Place::Local(PathBuf::from("/x"));
        Listed { name: name.into(), kind: ListedKind::File { size: Some(9), validator, modified_us, place } }
    }

    fn tree() -> Tree {
        Tree::open(None, RunId(1)).unwrap()
    }

    fn show(tree: &Tree, all: Vec<Listed>) -> Arc<Listing> {
        let root = tree.directory(ROOT).unwrap();
        let listing = Arc::new(tree.listing(&root, all));
        root.set(Arc::clone(&listing), root.changes());
        listing
    }

    fn tag(text: &str) -> Validator {
        Validator::Strong(text.into())
    }

    #[test]
    fn new_content_is_a_new_inode_and_the_old_one_is_nobody_s() {
        let tree = tree();
        let old = show(&tree, vec![listed("a", tag("1"), None)]).find("a").unwrap().ino;
        let new = show(&tree, vec![listed("a", tag("2"), None)]).find("a").unwrap().ino;
        assert_ne!(old, new);
        assert!(matches!(tree.file(old), Some((_, None))));
        assert!(matches!(tree.file(new), Some((_, Some(_)))));
        assert_eq!(show(&tree, vec![listed("a", tag("1"), None)]).find("a").unwrap().ino, old);
    }

    #[test]
    fn a_file_that_no_kernel_can_have_is_not_shown() {
        let tree = tree();
        let sized = |name: &str, size| {
            let kind = ListedKind::File {
                size: Some(size),
                validator: tag("1"),
                modified_us: None,
                place: Place::Local(PathBuf::from("/x")),
            };
            Listed { name: name.into(), kind }
        };
        let listing = show(&tree, vec![sized("a", FILE_MAX), sized("b", FILE_MAX + 1), sized("c", u64::MAX)]);
        assert_eq!((listing.len(), listing.hidden, listing.find("a").is_some()), (1, 2, true));
    }

    #[test]
    fn a_listing_under_way_when_an_inode_dies_is_not_new_enough() {
        let (tree, long_ago) = (tree(), clock::now());
        let root = tree.directory(ROOT).unwrap();
        let dead = show(&tree, vec![listed("a", tag("1"), None)]).find("a").unwrap().ino;
        let changes = root.changes();
        let under_way = Arc::new(tree.listing(&root, vec![listed("a", tag("1"), None)]));
        tree.forsake(dead);
        root.set(under_way, changes);
        assert!(root.listing(Age::Any).is_some() && root.listing(Age::Since(long_ago)).is_none());
        assert_ne!(show(&tree, vec![listed("a", tag("1"), None)]).find("a").unwrap().ino, dead);
        assert!(root.listing(Age::Since(long_ago)).is_some());
    }

    #[test]
    fn a_file_without_versions_keeps_its_inode_until_that_is_dead() {
        let tree = tree();
        let look = || show(&tree, vec![listed("a", Validator::None, None)]).find("a").unwrap().ino;
        let first = look();
        assert_eq!(look(), first);
        tree.forsake(first);
        let second = look();
        assert_ne!(second, first);
        assert_eq!(look(), second);
    }

    #[test]
    fn a_forsaken_inode_never_comes_back_for_the_same_listing() {
        let tree = tree();
        let all = || vec![listed("a", tag("1"), None)];
        let first = show(&tree, all()).find("a").unwrap().ino;
        tree.forsake(first);
        assert!(tree.directory(ROOT).unwrap().listing(Age::Since(clock::now())).is_none());
        assert_ne!(show(&tree, all()).find("a").unwrap().ino, first);
        assert!(tree.is_forsaken(first));
    }

    #[test]
    fn what_a_worker_settled_or_forsook_the_next_one_knows() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Tree::open(Some(&dir.path().join("names")), RunId(3)).unwrap();
        let tree = open();
        let all = || vec![listed("a", tag("1"), None), listed("b", tag("1"), None)];
        let [a, b] = ["a", "b"].map(|name| show(&tree, all()).find(name).unwrap().ino);
        tree.settle(a, 7);
        tree.settle(b, 7);
        tree.forsake(b);
        tree.settle(b, 0);
        drop(tree);
        let tree = open();
        assert_eq!((tree.settled(a), tree.is_forsaken(a), tree.is_forsaken(b)), (7, false, true));
        assert_eq!(show(&tree, all()).find("a").unwrap().ino, a);
        assert_ne!(show(&tree, all()).find("b").unwrap().ino, b);
    }

    #[test]
    fn an_inode_is_forgotten_with_the_last_of_its_lookups_also_by_a_later_worker() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Tree::open(Some(&dir.path().join("names")), RunId(3)).unwrap();
        let tree = open();
        let ino = show(&tree, vec![listed("a", tag("1"), None)]).find("a").unwrap().ino;
        (0..3).for_each(|_| tree.look_up(ino));
        assert!(!tree.forget(ino, 1));
        drop(tree);
        let tree = open();
        assert!(!tree.forget(ino, 1) && tree.forget(ino, 1));
        tree.look_up(ino);
        assert!(tree.forget(ino, 7), "more than was counted is all");
    }

    #[test]
    fn names_of_unknown_length_are_not_shown_but_counted() {
        let tree = tree();
        let mut unknown = listed("b", tag("1"), None);
        if let ListedKind::File { size, .. } = &mut unknown.kind {
            *size = None;
        }
        let listing = show(&tree, vec![listed("a", tag("1"), None), unknown]);
        assert_eq!((listing.len(), listing.hidden), (1, 1));
    }

    #[test]
    fn names_with_one_cookie_are_both_found() {
        let tree = tree();
        let listing = show(&tree, vec![listed("a", tag("1"), None), listed("b", tag("1"), None)]);
        let mut nodes = listing.nodes.clone();
        nodes[1].cookie = nodes[0].cookie;
        let listing = Listing::new(nodes, 0);
        assert!(listing.nodes[0].cookie < listing.nodes[1].cookie);
    }

    proptest! {
        #[test]
        fn reading_in_steps_shows_each_name_that_stays_exactly_once(
            stays in proptest::collection::hash_set("[a-z]{1,4}", 0..60),
            comes_and_goes in proptest::collection::vec("[A-Z]{1,4}", 0..40),
            step in 1..9_usize,
        ) {
            let tree = tree();
            let mut cookie = DOT_DOT;
            let mut seen = Vec::new();
            for round in 0.. {
                let moving = comes_and_goes.iter().skip(round % 7).step_by(round % 3 + 1);
                let all = stays.iter().chain(moving).map(|name| listed(name, tag(&round.to_string()), None)).collect();
                let listing = show(&tree, all);
                let part = &listing.after(cookie)[..step.min(listing.after(cookie).len())];
                let Some(last) = part.last() else { break };
                cookie = last.cookie;
                seen.extend(part.iter().map(|node| node.name.to_string()));
            }
            let mut once: Vec<_> = seen.iter().filter(|name| stays.contains(*name)).cloned().collect();
            once.sort();
            let mut want: Vec<_> = stays.into_iter().collect();
            want.sort();
            prop_assert_eq!(once, want);
            let distinct: HashSet<_> = seen.iter().collect();
            prop_assert_eq!(distinct.len(), seen.len());
        }
    }
}
