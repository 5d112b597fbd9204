//! Names: which inode is which path, what is staged, and which handles are open.

pub mod catalog;
pub mod handles;
mod kept;
mod opens;
mod table;
pub mod tree;

pub use kept::listings::Listings as KeptListings;
pub(crate) use kept::sweep as sweep_staged;

use crate::observe::locks::{Class, Rank};

/// What is staged.
pub static CATALOG: Class = Class::new("catalog", Rank::Catalog);
/// Appending to the name table, and the set of directories.
pub static TREE: Class = Class::new("tree", Rank::Tree);
/// One directory's listing; the key is its inode.
pub static DIRECTORY: Class = Class::new("directory", Rank::Directory);
/// Open handles and the store of each inode.
pub static HANDLES: Class = Class::new("handles", Rank::Handles);
