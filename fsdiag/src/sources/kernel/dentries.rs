//! Paths: from a node id to the name that the kernel's own cache has for it, without asking the mount.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    lists::Walker,
    memory::{Fault, Memory},
};

/// Most inodes that are looked at; at 2 to 5 us each this is half a second at worst.
const MAX_INODES: usize = 100_000;
const MAX_DEPTH: usize = 128;
/// The root's node id in every FUSE file system.
const ROOT: u64 = 1;

impl<M: Memory> Walker<'_, M> {
    /// Paths of nodes, relative to the mount's root, which itself is `/`. A node whose name is not cached is absent.
    ///
    /// # Errors
    /// When the connection itself cannot be read.
    pub fn paths(&self, conn: u64, wanted: &BTreeSet<u64>) -> Result<BTreeMap<u64, String>, Fault> {
        let at = &self.layout.inode;
        let mut out = BTreeMap::new();
        if wanted.contains(&ROOT) {
            out.insert(ROOT, String::from("/"));
        }
        for mount in self.entries(conn.wrapping_add(self.layout.conn.mounts), at.mount_entry) {
            if out.len() == wanted.len() {
                break;
            }
            let sb = self.memory.at(mount, at.mount_sb)?;
            self.of_superblock(sb, wanted, &mut out);
        }
        Ok(out)
    }

    fn of_superblock(&self, sb: u64, wanted: &BTreeSet<u64>, out: &mut BTreeMap<u64, String>) {
        let at = &self.layout.inode;
        let head = sb.wrapping_add(at.s_inodes);
        let Ok(root) = self.memory.at(sb, at.s_root) else { return };
        let (mut before, mut entry) = (head, self.memory.u64(head).unwrap_or(head));
        for _ in 0..MAX_INODES {
            if entry == head || out.len() == wanted.len() {
                break;
            }
            let Some(inode) = self.inode(entry) else { break };
            if inode.prev != before || inode.sb != sb {
                break;
            }
            if wanted.contains(&inode.nodeid)
                && !out.contains_key(&inode.nodeid)
                && let Some(path) = self.path(inode.address, inode.alias, root)
            {
                out.insert(inode.nodeid, path);
            }
            (before, entry) = (entry, inode.next);
        }
    }

    fn inode(&self, entry: u64) -> Option<Inode> {
        let at = &self.layout.inode;
        let address = entry.wrapping_sub(at.sb_list);
        let first = at.sb.min(at.sb_list).min(at.i_dentry);
        let last = at.nodeid.max(at.sb_list + 8).max(at.i_dentry);
        let mut raw = vec![0; usize::try_from(last + 8 - first).ok()?.min(super::memory::CHUNK)];
        self.memory.read(address.wrapping_add(first), &mut raw).ok()?;
        let word = |offset: u64| {
            let at = usize::try_from(offset - first).ok()?;
            Some(u64::from_ne_bytes(raw.get(at..at + 8)?.try_into().ok()?))
        };
        Some(Inode {
            address,
            sb: word(at.sb)?,
            next: word(at.sb_list)?,
            prev: word(at.sb_list + 8)?,
            alias: word(at.i_dentry)?,
            nodeid: word(at.nodeid)?,
        })
    }

    fn path(&self, inode: u64, alias: u64, root: u64) -> Option<String> {
        let at = &self.layout.dentry;
        if alias == 0 {
            return None;
        }
        let mut dentry = alias.wrapping_sub(at.alias);
        if self.memory.at(dentry, at.inode).ok()? != inode {
            return None;
        }
        let mut parts = Vec::new();
        for _ in 0..MAX_DEPTH {
            let parent = self.memory.at(dentry, at.parent).ok()?;
            if dentry == root || parent == dentry {
                parts.reverse();
                return Some(if parts.is_empty() { String::from("/") } else { parts.join("/") });
            }
            parts.push(self.name(dentry)?);
            dentry = parent;
        }
        None
    }

    fn name(&self, dentry: u64) -> Option<String> {
        let at = &self.layout.dentry;
        let mut length = [0; 4];
        self.memory.read(dentry.wrapping_add(at.len), &mut length).ok()?;
        let length = usize::try_from(u32::from_ne_bytes(length)).ok().filter(|n| (1..=255).contains(n))?;
        let mut raw = vec![0; length];
        self.memory.read(self.memory.at(dentry, at.name).ok()?, &mut raw).ok()?;
        Some(String::from_utf8_lossy(&raw).into_owned())
    }
}

struct Inode {
    address: u64,
    sb: u64,
    next: u64,
    prev: u64,
    alias: u64,
    nodeid: u64,
}
