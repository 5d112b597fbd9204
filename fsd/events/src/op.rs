//! The FUSE operations: one variant per request the kernel can send, with the kernel's number.

use std::fmt;

/// What kind of work an operation is; verdicts and thresholds differ by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Answered from memory: names, attributes, listings.
    Metadata,
    /// Moves file content; the only class that may wait for the network for long.
    Data,
    /// Opens and closes.
    Handle,
    /// Refused by a read-only file system.
    Write,
    /// Between kernel and daemon; no client waits.
    Control,
}

/// A FUSE operation, named in CamelCase as the reports write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Op {
    Lookup = 1,
    Forget = 2,
    Getattr = 3,
    Setattr = 4,
    Readlink = 5,
    Symlink = 6,
    Mknod = 8,
    Mkdir = 9,
    Unlink = 10,
    Rmdir = 11,
    Rename = 12,
    Link = 13,
    Open = 14,
    Read = 15,
    Write = 16,
    Statfs = 17,
    Release = 18,
    Fsync = 20,
    Setxattr = 21,
    Getxattr = 22,
    Listxattr = 23,
    Removexattr = 24,
    Flush = 25,
    Init = 26,
    Opendir = 27,
    Readdir = 28,
    Releasedir = 29,
    Fsyncdir = 30,
    Getlk = 31,
    Setlk = 32,
    Setlkw = 33,
    Access = 34,
    Create = 35,
    Interrupt = 36,
    Bmap = 37,
    Destroy = 38,
    Ioctl = 39,
    Poll = 40,
    NotifyReply = 41,
    BatchForget = 42,
    Fallocate = 43,
    Readdirplus = 44,
    Rename2 = 45,
    Lseek = 46,
    CopyFileRange = 47,
    Setupmapping = 48,
    Removemapping = 49,
    Syncfs = 50,
    Tmpfile = 51,
    Statx = 52,
    Setvolname = 61,
    Getxtimes = 62,
    Exchange = 63,
}

/// Every operation with its name and class; the single list.
const TABLE: &[(Op, &str, Class)] = &[
    (Op::Lookup, "Lookup", Class::Metadata),
    (Op::Forget, "Forget", Class::Control),
    (Op::Getattr, "Getattr", Class::Metadata),
    (Op::Setattr, "Setattr", Class::Write),
    (Op::Readlink, "Readlink", Class::Metadata),
    (Op::Symlink, "Symlink", Class::Write),
    (Op::Mknod, "Mknod", Class::Write),
    (Op::Mkdir, "Mkdir", Class::Write),
    (Op::Unlink, "Unlink", Class::Write),
    (Op::Rmdir, "Rmdir", Class::Write),
    (Op::Rename, "Rename", Class::Write),
    (Op::Link, "Link", Class::Write),
    (Op::Open, "Open", Class::Handle),
    (Op::Read, "Read", Class::Data),
    (Op::Write, "Write", Class::Write),
    (Op::Statfs, "Statfs", Class::Metadata),
    (Op::Release, "Release", Class::Handle),
    (Op::Fsync, "Fsync", Class::Write),
    (Op::Setxattr, "Setxattr", Class::Write),
    (Op::Getxattr, "Getxattr", Class::Metadata),
    (Op::Listxattr, "Listxattr", Class::Metadata),
    (Op::Removexattr, "Removexattr", Class::Write),
    (Op::Flush, "Flush", Class::Handle),
    (Op::Init, "Init", Class::Control),
    (Op::Opendir, "Opendir", Class::Handle),
    (Op::Readdir, "Readdir", Class::Metadata),
    (Op::Releasedir, "Releasedir", Class::Handle),
    (Op::Fsyncdir, "Fsyncdir", Class::Write),
    (Op::Getlk, "Getlk", Class::Metadata),
    (Op::Setlk, "Setlk", Class::Write),
    (Op::Setlkw, "Setlkw", Class::Write),
    (Op::Access, "Access", Class::Metadata),
    (Op::Create, "Create", Class::Write),
    (Op::Interrupt, "Interrupt", Class::Control),
    (Op::Bmap, "Bmap", Class::Metadata),
    (Op::Destroy, "Destroy", Class::Control),
    (Op::Ioctl, "Ioctl", Class::Metadata),
    (Op::Poll, "Poll", Class::Metadata),
    (Op::NotifyReply, "NotifyReply", Class::Control),
    (Op::BatchForget, "BatchForget", Class::Control),
    (Op::Fallocate, "Fallocate", Class::Write),
    (Op::Readdirplus, "Readdirplus", Class::Metadata),
    (Op::Rename2, "Rename2", Class::Write),
    (Op::Lseek, "Lseek", Class::Data),
    (Op::CopyFileRange, "CopyFileRange", Class::Write),
    (Op::Setupmapping, "Setupmapping", Class::Control),
    (Op::Removemapping, "Removemapping", Class::Control),
    (Op::Syncfs, "Syncfs", Class::Write),
    (Op::Tmpfile, "Tmpfile", Class::Write),
    (Op::Statx, "Statx", Class::Metadata),
    (Op::Setvolname, "Setvolname", Class::Write),
    (Op::Getxtimes, "Getxtimes", Class::Metadata),
    (Op::Exchange, "Exchange", Class::Write),
];

impl Op {
    /// Every operation, in the order of the kernel's numbers.
    pub fn all() -> impl ExactSizeIterator<Item = Self> {
        TABLE.iter().map(|row| row.0)
    }

    fn row(self) -> &'static (Self, &'static str, Class) {
        let found = TABLE.iter().find(|row| row.0 == self);
        found.expect("every operation stands in the table")
    }

    /// CamelCase name, as in events and reports.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    pub fn class(self) -> Class {
        self.row().2
    }

    /// The number in `fuse_in_header.opcode`.
    pub fn opcode(self) -> u32 {
        self as u32
    }

    /// The operation with that kernel number; None for one this list does not know.
    pub fn from_opcode(opcode: u32) -> Option<Self> {
        Self::all().find(|op| op.opcode() == opcode)
    }

    /// The operation of that CamelCase name, exactly as [`Op::name`] writes it.
    pub fn from_name(name: &str) -> Option<Self> {
        TABLE.iter().find(|row| row.1 == name).map(|row| row.0)
    }

    /// The operation behind a foreign spelling: case, `_`, `-` and the prefix `FUSE_` do not count.
    pub fn from_spelling(name: &str) -> Option<Self> {
        let plain: String = name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
        let plain = plain.strip_prefix("fuse").unwrap_or(&plain);
        TABLE.iter().find(|row| row.1.eq_ignore_ascii_case(plain)).map(|row| row.0)
    }

    /// Whether the kernel waits for an answer; the others can never be orphans.
    pub fn replied(self) -> bool {
        !matches!(self, Self::Forget | Self::BatchForget | Self::Interrupt | Self::NotifyReply)
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_lead_back_to_the_operation() {
        for op in Op::all() {
            assert_eq!(Op::from_opcode(op.opcode()), Some(op));
            assert_eq!(Op::from_name(op.name()), Some(op));
            assert_eq!(Op::from_spelling(&format!("FUSE_{}", op.name().to_uppercase())), Some(op));
        }
        assert_eq!(Op::from_spelling("READDIR_PLUS"), Some(Op::Readdirplus));
        assert_eq!(Op::from_opcode(4096), None);
    }
}
