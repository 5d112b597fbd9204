//! The catalogue: what is staged, shown as `Staged/<id>/<name>`. A file in it goes when it is neither staged nor open.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use fsd_events::{ids::Ino, names::ROOT};

use crate::{
    data::{
        origin::{Meta, Resource},
        source::Place,
    },
    observe::locks::Mutex,
    platform::clock,
};

use super::{
    CATALOG,
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
    next: AtomicU64,
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
    dir: Ino,
}

impl Item {
    /// As the mount shows it.
    pub fn path(&self) -> String {
        format!("{STAGED}/{}/{}", self.id, self.name)
    }
}

impl Catalog {
    /// None when the name table is full.
    pub fn new(tree: Arc<Tree>) -> Option<Self> {
        let dir = tree.directory(tree.dir_ino(ROOT, STAGED)?)?;
        dir.fix(Arc::new(Listing::default()));
        let items = Mutex::new(&CATALOG, Vec::new());
        Some(Self { tree, dir, items, next: AtomicU64::new(clock::now_wall_us()) })
    }

    /// The node of the catalogue at the root.
    pub fn node(&self) -> Node {
        Node::dir(STAGED, self.dir.ino)
    }

    /// Shows a file under a new id. None when the name table is full.
    pub fn stage(&self, resource: Resource, name: String, size: u64, meta: &Meta) -> Option<Item> {
        let id = format!("{:08x}", fsd_events::names::hash(self.next.fetch_add(1, Ordering::Relaxed), b"id") >> 32);
        let version = version(&meta.validator, size, meta.modified_us);
        let mut items = self.items.lock();
        let dir = self.tree.dir_ino(self.dir.ino, &id)?;
        let ino = self.tree.file_ino(dir, &name, version.unwrap_or_else(clock::now_wall_us))?;
        let info = FileInfo {
            size,
            modified_us: meta.modified_us,
            validator: meta.validator.clone(),
            place: Place::Remote(resource.clone()),
            unversioned: false,
            staged: true,
        };
        let node = Node::file(&name, ino, info);
        self.tree.directory(dir)?.fix(Arc::new(Listing::new(vec![node], 0)));
        let item = Item { id, name, resource, size, ino, staged: true, dir };
        items.push(item.clone());
        self.show(&items);
        Some(item)
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
        Some(item.clone())
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

#[cfg(test)]
mod tests {
    use fsd_events::ids::RunId;

    use super::*;

    fn catalog() -> (Arc<Tree>, Catalog) {
        let tree = Arc::new(Tree::open(None, RunId(1)).unwrap());
        (Arc::clone(&tree), Catalog::new(tree).unwrap())
    }

    fn stage(catalog: &Catalog, name: &str) -> Item {
        let resource = Resource::parse("http://example.org/x").unwrap();
        catalog.stage(resource, name.into(), 5, &Meta::default()).unwrap()
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
}
