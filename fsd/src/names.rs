//! Names: which inode is which path, what is staged, and which handles are open.
