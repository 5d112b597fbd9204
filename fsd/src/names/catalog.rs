//! The catalogue: what is staged, shown as `Staged/<id>/<name>`. A file in it goes when it is neither staged nor open.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use fsd_events::{
    ids::{Ino, RunId},
    names::ROOT,
};

use crate::{
    data::{
        origin::{Meta, Resource, Validator},
        source::Place,
    },
    observe::{journal, locks::Mutex},
    platform::clock,
};

use super::{
    CATALOG,
    kept::staged,
    tree::{Directory, FileInfo, Listing, Node, Tree, version},
};

/// Name of the directory at the root.
pub const STAGED: &str = "Staged";

/// What is staged on a mount.
#[derive(Debug)]
pub struct Catalog {
    tree: Arc<Tree>,
    dir: Arc<Directory>,
    items: Mutex<Vec<Item>>,
    /// Rises with every change and every new id.
    next: AtomicU64,
    /// Where a later worker finds what is staged.
    keep: Option<(PathBuf, RunId)>,
}

/// One staged file.
#[derive(Clone, Debug)]
pub struct Item {
    pub id: String,
    pub name: String,
    pub resource: Resource,
    pub size: u64,
    pub ino: Ino,
    /// Not yet unstaged.
    pub staged: bool,
    pub(super) modified_us: Option<u64>,
    pub(super) validator: Validator,
    pub(super) dir: Ino,
}

impl Item {
    /// As the mount shows it.
    pub fn path(&self) -> String {
        format!("{STAGED}/{}/{}", self.id, self.name)
    }

    fn listing(&self) -> Listing {
        let info = FileInfo {
            size: self.size,
            modified_us: self.modified_us,
            validator: self.validator.clone(),
            place: Place::Remote(self.resource.clone()),
            unversioned: false,
            staged: true,
        };
        Listing::new(vec![Node::file(&self.name, self.ino, info)], 0)
    }
}

impl Catalog {
    /// Shows again what an earlier worker of the same mount had staged. None when the name table is full.
    pub fn new(tree: Arc<Tree>, keep: Option<(PathBuf, RunId)>) -> Option<Self> {
        let dir = tree.directory(tree.dir_ino(ROOT, STAGED)?)?;
        let mut items = keep.as_ref().map_or_else(Vec::new, |(path, run)| staged::read(path, *run));
        items.retain(|item| tree.path(item.ino).is_some_and(|path| path == item.path()));
        for item in &mut items {
            item.dir = tree.dir_ino(dir.ino, &item.id)?;
            tree.directory(item.dir)?.fix(Arc::new(item.listing()));
        }
        let next = AtomicU64::new(clock::now_wall_us());
        let catalog = Self { tree, dir, items: Mutex::new(&CATALOG, Vec::new()), next, keep };
        catalog.show(&items);
        *catalog.items.lock() = items;
        Some(catalog)
    }

    /// Writes down what is staged, for the next worker. Without any lock held.
    fn keep(&self) {
        let Some((path, run)) = &self.keep else { return };
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let items = self.items.lock().clone();
            if let Err(why) = staged::write(path, *run, &items, number) {
                journal::invariant("what is staged will not outlive the worker", &why.to_string());
            }
            // Somebody else may have written an older state after us, or we after a newer one.
            if self.next.load(Ordering::Relaxed) == number + 1 {
                return;
            }
        }
    }

    /// The node of the catalogue at the root.
    pub fn node(&self) -> Node {
        Node::dir(STAGED, self.dir.ino)
    }

    /// Shows a file under a new id. None when the name table is full.
    pub fn stage(&self, resource: Resource, name: String, size: u64, meta: &Meta) -> Option<Item> {
        let id = self.fresh_id();
        let version = version(&meta.validator, size, meta.modified_us);
        let dir = self.tree.dir_ino(self.dir.ino, &id)?;
        let ino = self.tree.file_ino(dir, &name, version.unwrap_or_else(clock::now_wall_us))?;
        let Meta { modified_us, validator, .. } = meta.clone();
        let item = Item { id, name, resource, size, ino, staged: true, modified_us, validator, dir };
        self.tree.directory(dir)?.fix(Arc::new(item.listing()));
        let mut items = self.items.lock();
        items.push(item.clone());
        self.show(&items);
        drop(items);
        self.keep();
        Some(item)
    }

    /// An id that no file has which is shown.
    fn fresh_id(&self) -> String {
        loop {
            let id = short(self.next.fetch_add(1, Ordering::Relaxed));
            if self.items.lock().iter().all(|item| item.id != id) {
                return id;
            }
        }
    }

    fn show(&self, items: &[Item]) {
        let nodes = items.iter().map(|item| Node::dir(&item.id, item.dir)).collect();
        self.dir.fix(Arc::new(Listing::new(nodes, 0)));
    }

    /// Takes the staged reference back; the name stays as long as somebody has the file open. None: no such id.
    pub fn unstage(&self, id: &str) -> Option<Item> {
        let mut items = self.items.lock();
        let item = items.iter_mut().find(|item| item.id == id && item.staged)?;
        item.staged = false;
        let item = item.clone();
        drop(items);
        self.keep();
        Some(item)
    }

    /// Whether this inode still has its staged reference.
    pub fn is_staged(&self, ino: Ino) -> bool {
        self.items.lock().iter().any(|item| item.ino == ino && item.staged)
    }

    /// Removes the name of a file that is neither staged nor open; false when it is staged or not ours.
    pub fn evict(&self, ino: Ino) -> bool {
        let mut items = self.items.lock();
        let Some(at) = items.iter().position(|item| item.ino == ino && !item.staged) else { return false };
        let item = items.remove(at);
        if let Some(dir) = self.tree.directory(item.dir) {
            dir.fix(Arc::new(Listing::default()));
        }
        self.show(&items);
        drop(items);
        self.keep();
        true
    }

    /// Everything that is shown, oldest first.
    pub fn items(&self) -> Vec<Item> {
        self.items.lock().clone()
    }

    /// An eviction that never gets done, while it holds the catalogue.
    #[cfg(feature = "failpoints")]
    pub fn block(&self, time: std::time::Duration) {
        let _items = self.items.lock();
        std::thread::park_timeout(time);
    }
}

/// Short enough to type: two numbers may have the same.
fn short(number: u64) -> String {
    format!("{:08x}", fsd_events::names::hash(number, b"id") >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog() -> (Arc<Tree>, Catalog) {
        let tree = Arc::new(Tree::open(None, RunId(1)).unwrap());
        (Arc::clone(&tree), Catalog::new(tree, None).unwrap())
    }

    fn stage(catalog: &Catalog, name: &str) -> Item {
        let resource = Resource::parse("http://example.org/x").unwrap();
        catalog.stage(resource, name.into(), 5, &Meta::default()).unwrap()
    }

    #[test]
    fn a_file_never_takes_the_id_of_another() {
        let (_, catalog) = catalog();
        let number = catalog.next.load(Ordering::Relaxed);
        let first = stage(&catalog, "first.mkv");
        // Another number that is as short.
        catalog.next.store(number, Ordering::Relaxed);
        assert_ne!(stage(&catalog, "second.mkv").id, first.id);
    }

    #[test]
    fn several_files_are_staged_at_once_each_under_its_own_id() {
        let (tree, catalog) = catalog();
        let (a, b) = (stage(&catalog, "same.mkv"), stage(&catalog, "same.mkv"));
        assert_ne!((&a.id, a.ino), (&b.id, b.ino));
        assert_eq!(catalog.items().len(), 2);
        assert_eq!(tree.path(a.ino), Some(a.path()));
        assert!(matches!(tree.file(a.ino), Some((_, Some(_)))));
    }

    #[test]
    fn a_file_goes_when_it_is_no_longer_staged_and_not_before() {
        let (tree, catalog) = catalog();
        let item = stage(&catalog, "a");
        assert!(!catalog.evict(item.ino), "still staged");
        assert!(catalog.unstage(&item.id).is_some() && catalog.unstage(&item.id).is_none());
        assert!(matches!(tree.file(item.ino), Some((_, Some(_)))), "the name stays until the eviction");
        assert!(catalog.evict(item.ino) && !catalog.evict(item.ino));
        assert!(matches!(tree.file(item.ino), Some((_, None))));
        assert!(catalog.items().is_empty());
    }

    #[test]
    fn what_is_staged_outlives_its_worker_and_leaves_no_secret_when_it_goes() {
        let place = tempfile::tempdir().unwrap();
        let (names, staged) = (place.path().join("names"), place.path().join("staged"));
        let open = || {
            let tree = Arc::new(Tree::open(Some(&names), RunId(1)).unwrap());
            (Arc::clone(&tree), Catalog::new(tree, Some((staged.clone(), RunId(1)))).unwrap())
        };
        let (_, first) = open();
        let resource = Resource::parse("http://example.org/x?token=CANARY").unwrap();
        let meta = Meta { validator: Validator::Strong("\"1\"".into()), ..Meta::default() };
        let item = first.stage(resource, "a".into(), 5, &meta).unwrap();
        drop(first);
        let (tree, second) = open();
        let again = &second.items()[0];
        assert_eq!((&again.id, again.ino, &again.resource), (&item.id, item.ino, &item.resource));
        assert!(matches!(tree.file(item.ino), Some((_, Some(_)))));
        assert!(second.unstage(&item.id).is_some() && second.evict(item.ino));
        assert!(!std::fs::read_to_string(&staged).unwrap().contains("CANARY"));
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 2, "no halves are left");
        assert!(open().1.items().is_empty());
    }
}
