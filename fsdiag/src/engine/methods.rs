//! Methods: what libraries call callbacks that are not named like their operation, in logs and in stacks.

use fsd_events::op::Op;

/// Of jacobsa/fuse. Elsewhere helpers may be called so.
pub(crate) const OF_FILES: &[(&str, Op)] = &[
    ("LookUpInode", Op::Lookup),
    ("GetInodeAttributes", Op::Getattr),
    ("SetInodeAttributes", Op::Setattr),
    ("ForgetInode", Op::Forget),
    ("MkNode", Op::Mknod),
    ("CreateFile", Op::Create),
    ("CreateLink", Op::Link),
    ("CreateSymlink", Op::Symlink),
    ("ReadSymlink", Op::Readlink),
    ("OpenFile", Op::Open),
    ("ReadFile", Op::Read),
    ("WriteFile", Op::Write),
    ("SyncFile", Op::Fsync),
    ("FlushFile", Op::Flush),
    ("ReleaseFileHandle", Op::Release),
    ("ReleaseDirHandle", Op::Releasedir),
];

/// Of the others, in small letters without punctuation.
pub(crate) const ALIASES: &[(&str, Op)] = &[
    ("attr", Op::Getattr),
    ("fgetattr", Op::Getattr),
    ("readall", Op::Read),
    ("readdirall", Op::Readdir),
    ("readbuf", Op::Read),
    ("writebuf", Op::Write),
    ("remove", Op::Unlink),
    ("truncate", Op::Setattr),
    ("ftruncate", Op::Setattr),
    ("chmod", Op::Setattr),
    ("chown", Op::Setattr),
    ("utimens", Op::Setattr),
    ("fsyncfile", Op::Fsync),
];
