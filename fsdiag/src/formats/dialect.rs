//! Dialects: the log formats, one file each.

pub(super) mod bazil_fuse;
pub(super) mod ending;
pub(super) mod fusepy;
pub(super) mod fuser_debug;
pub(super) mod gcsfuse;
pub(super) mod glusterfs;
pub(super) mod go_fuse;
pub(super) mod hung_task;
pub(super) mod juicefs_accesslog;
pub(super) mod kernel_trace;
pub(super) mod libfuse_debug;
pub(super) mod loggedfs;
pub(super) mod mountpoint_s3;
pub(super) mod rclone;
pub(super) mod s3fs;
pub(super) mod seed_log;
pub(super) mod sshfs_debug;
pub(super) mod strace;
