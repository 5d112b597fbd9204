//! Offsets: where the members that the walk needs lie in this kernel, found by name, with the names of other
//! versions as alternatives.

use super::btf::{Btf, Field};

/// A member that no known version of the kernel calls otherwise.
#[derive(Debug, thiserror::Error)]
#[error("layout unknown: this kernel has no {structure}.{path}")]
pub struct Unknown {
    structure: &'static str,
    path: String,
}

/// All that is needed to find a connection and walk its lists.
#[derive(Clone, Debug)]
pub struct Layout {
    pub task: Task,
    pub conn: Conn,
    pub dev: Dev,
    pub req: Req,
    pub inode: Inode,
    pub dentry: Dentry,
}

#[derive(Clone, Debug)]
pub struct Task {
    pub tasks: u64,
    pub tgid: u64,
    pub files: u64,
    /// `files_struct.fdt`, `fdtable.fd`, `fdtable.max_fds`.
    pub fdt: u64,
    pub fd: u64,
    pub max_fds: u64,
    pub private_data: u64,
    pub f_inode: u64,
    pub i_private: u64,
}

/// `fuse_conn`, or `fuse_chan` behind it where the queues live there.
#[derive(Clone, Debug)]
pub struct Conn {
    /// Offset of the pointer to `fuse_chan`; None: the queues are the connection's own.
    pub chan: Option<u64>,
    /// The way back, in `fuse_chan`.
    pub of_chan: Option<u64>,
    pub dev: Field,
    pub devices: u64,
    pub pending: u64,
    pub bg_queue: u64,
    pub mounts: u64,
    pub numbers: Vec<(&'static str, Place, Field)>,
}

/// Which structure a number of the connection is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Conn,
    Chan,
}

#[derive(Clone, Debug)]
pub struct Dev {
    pub entry: u64,
    pub fc: u64,
    pub io: u64,
    /// A pointer to the array of list heads.
    pub processing: u64,
}

#[derive(Clone, Debug)]
pub struct Req {
    pub size: u64,
    pub list: u64,
    pub flags: u64,
    pub args: u64,
    pub opcode: u64,
    pub unique: u64,
    pub nodeid: u64,
    pub uid: u64,
    pub pid: u64,
    /// `fuse_req.fm` and `fuse_mount.fc`; in newer kernels `fuse_req.chan`.
    pub owner: Owner,
    pub create_time: Option<u64>,
    pub in_args: u64,
    pub in_numargs: u64,
    pub arg_size: u64,
    pub arg_value: u64,
    pub arg_step: u64,
    pub flag_bits: FlagBits,
}

/// How a request names its connection.
#[derive(Clone, Copy, Debug)]
pub enum Owner {
    Mount { fm: u64, fc: u64 },
    Chan { chan: u64 },
}

#[derive(Clone, Copy, Debug)]
pub struct FlagBits {
    pub force: u32,
    pub background: u32,
    pub interrupted: u32,
    pub sent: u32,
}

#[derive(Clone, Debug)]
pub struct Inode {
    pub sb: u64,
    pub mount_sb: u64,
    pub mount_entry: u64,
    pub s_inodes: u64,
    pub s_root: u64,
    pub sb_list: u64,
    pub i_dentry: u64,
    pub nodeid: u64,
}

#[derive(Clone, Debug)]
pub struct Dentry {
    pub alias: u64,
    pub parent: u64,
    pub inode: u64,
    pub name: u64,
    pub len: u64,
}

/// Numbers of a connection that a report can use, where the kernel has them.
const NUMBERS: &[&str] = &[
    "num_waiting",
    "max_background",
    "num_background",
    "active_background",
    "blocked",
    "connected",
    "aborted",
    "minor",
    "parallel_dirops",
    "auto_inval_data",
    "explicit_inval_data",
    "no_flush",
];

/// Number of list heads in `fuse_pqueue.processing`.
pub const PROCESSING_HEADS: u64 = 256;

impl Layout {
    /// Looks up every offset.
    ///
    /// # Errors
    /// Names the first member that is missing.
    pub fn new(btf: &Btf) -> Result<Self, Unknown> {
        Ok(Self {
            task: task(btf)?,
            conn: conn(btf)?,
            dev: dev(btf)?,
            req: req(btf)?,
            inode: inode(btf)?,
            dentry: dentry(btf)?,
        })
    }
}

/// Offset of the first of several paths that exists.
fn one(btf: &Btf, structure: &'static str, paths: &[&str]) -> Result<u64, Unknown> {
    field(btf, structure, paths).map(|f| f.offset)
}

fn field(btf: &Btf, structure: &'static str, paths: &[&str]) -> Result<Field, Unknown> {
    let found = paths.iter().find_map(|p| btf.field(structure, p));
    found.ok_or_else(|| Unknown { structure, path: paths.join(" or ") })
}

fn task(btf: &Btf) -> Result<Task, Unknown> {
    Ok(Task {
        tasks: one(btf, "task_struct", &["tasks"])?,
        tgid: one(btf, "task_struct", &["tgid"])?,
        files: one(btf, "task_struct", &["files"])?,
        fdt: one(btf, "files_struct", &["fdt"])?,
        fd: one(btf, "fdtable", &["fd"])?,
        max_fds: one(btf, "fdtable", &["max_fds"])?,
        private_data: one(btf, "file", &["private_data"])?,
        f_inode: one(btf, "file", &["f_inode"])?,
        i_private: one(btf, "inode", &["i_private"])?,
    })
}

fn conn(btf: &Btf) -> Result<Conn, Unknown> {
    let chan =
        btf.field("fuse_conn", "chan").map(|f| f.offset).filter(|_| btf.field("fuse_conn", "iq.pending").is_none());
    let queues = if chan.is_some() { "fuse_chan" } else { "fuse_conn" };
    let number = |name: &&'static str| {
        let own = btf.field("fuse_conn", name).map(|f| (*name, Place::Conn, f));
        own.or_else(|| chan.and_then(|_| btf.field("fuse_chan", name)).map(|f| (*name, Place::Chan, f)))
    };
    let back = ["conn", "fc"].iter().find_map(|name| btf.field("fuse_chan", name));
    Ok(Conn {
        chan,
        of_chan: back.map(|f| f.offset),
        dev: field(btf, "fuse_conn", &["dev"])?,
        devices: one(btf, queues, &["devices"])?,
        pending: one(btf, queues, &["iq.pending"])?,
        bg_queue: one(btf, queues, &["bg_queue"])?,
        mounts: one(btf, "fuse_conn", &["mounts"])?,
        numbers: NUMBERS.iter().filter_map(number).collect(),
    })
}

fn dev(btf: &Btf) -> Result<Dev, Unknown> {
    Ok(Dev {
        entry: one(btf, "fuse_dev", &["entry"])?,
        fc: one(btf, "fuse_dev", &["fc", "chan"])?,
        io: one(btf, "fuse_dev", &["pq.io"])?,
        processing: one(btf, "fuse_dev", &["pq.processing"])?,
    })
}

fn req(btf: &Btf) -> Result<Req, Unknown> {
    let own = |path| one(btf, "fuse_req", &[path]);
    let owner = match btf.field("fuse_req", "fm") {
        Some(fm) => Owner::Mount { fm: fm.offset, fc: one(btf, "fuse_mount", &["fc"])? },
        None => Owner::Chan { chan: own("chan")? },
    };
    let bit = |name: &'static str| {
        btf.enumerator(name).ok_or_else(|| Unknown { structure: "fuse_req_flag", path: name.to_owned() })
    };
    let flag_bits = FlagBits {
        force: bit("FR_FORCE")?,
        background: bit("FR_BACKGROUND")?,
        interrupted: bit("FR_INTERRUPTED")?,
        sent: bit("FR_SENT")?,
    };
    let size = btf.size_of("fuse_req").ok_or_else(|| Unknown { structure: "fuse_req", path: String::from("size") })?;
    Ok(Req {
        size,
        list: own("list")?,
        flags: own("flags")?,
        args: own("args")?,
        opcode: own("in.h.opcode")?,
        unique: own("in.h.unique")?,
        nodeid: own("in.h.nodeid")?,
        uid: own("in.h.uid")?,
        pid: own("in.h.pid")?,
        owner,
        create_time: btf.field("fuse_req", "create_time").map(|f| f.offset),
        in_args: one(btf, "fuse_args", &["in_args"])?,
        in_numargs: one(btf, "fuse_args", &["in_numargs"])?,
        arg_size: one(btf, "fuse_in_arg", &["size"])?,
        arg_value: one(btf, "fuse_in_arg", &["value"])?,
        arg_step: btf.size_of("fuse_in_arg").unwrap_or(16),
        flag_bits,
    })
}

fn inode(btf: &Btf) -> Result<Inode, Unknown> {
    Ok(Inode {
        sb: one(btf, "inode", &["i_sb"])?,
        mount_sb: one(btf, "fuse_mount", &["sb"])?,
        mount_entry: one(btf, "fuse_mount", &["fc_entry"])?,
        s_inodes: one(btf, "super_block", &["s_inodes"])?,
        s_root: one(btf, "super_block", &["s_root"])?,
        sb_list: one(btf, "inode", &["i_sb_list"])?,
        i_dentry: one(btf, "inode", &["i_dentry"])?,
        nodeid: one(btf, "fuse_inode", &["nodeid"])?,
    })
}

fn dentry(btf: &Btf) -> Result<Dentry, Unknown> {
    Ok(Dentry {
        alias: one(btf, "dentry", &["d_u.d_alias", "d_alias"])?,
        parent: one(btf, "dentry", &["d_parent"])?,
        inode: one(btf, "dentry", &["d_inode"])?,
        name: one(btf, "dentry", &["d_name.name", "__d_name.name"])?,
        len: one(btf, "dentry", &["d_name.len", "__d_name.len"])?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_running_kernel_has_every_member() {
        match Btf::of_kernel() {
            Ok(btf) => assert!(Layout::new(&btf).is_ok(), "{:?}", Layout::new(&btf).err()),
            Err(error) => println!("SKIP btf (found {error}, needs CONFIG_DEBUG_INFO_BTF)"),
        }
    }

    #[test]
    fn a_kernel_without_fuse_is_named_unknown() {
        let error = Layout::new(&Btf::default()).unwrap_err();
        assert!(error.to_string().contains("task_struct.tasks"), "{error}");
    }
}
