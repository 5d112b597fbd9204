//! Attaching: from a directory to an open connection, as root by the kernel, as a plain user by fusermount3.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
    sync::mpsc::sync_channel,
    thread,
    time::Duration,
};

use crate::platform::mounting::{self, How};

use super::{
    At, MountError, MountSpec, Mounted,
    helper::{by_helper, helper_unmount},
    holders, mountinfo,
    mountinfo::MountLine,
};

pub(super) const DEVICE: &str = "/dev/fuse";
/// Dead mounts that may lie on top of each other.
const STALE_LIMIT: usize = 16;
const PROBE: Duration = Duration::from_secs(2);

/// Mounts. The kernel's INIT waits on the descriptor from now on; see [`Mounted::ready`].
///
/// A dead mount of ours on the directory is removed first.
///
/// # Errors
/// See [`MountError`].
pub fn mount(spec: &MountSpec) -> Result<Mounted, MountError> {
    let dir = place(&spec.dir)?;
    clear(&dir)?;
    check(&dir)?;
    let root = mounting::effective_uid() == 0;
    let fd = if root { by_kernel(&dir, spec)? } else { by_helper(&dir, spec)? };
    let connection = connection(&fd, &dir).ok_or_else(|| MountError::NotReady(dir.clone()))?;
    Ok(Mounted { fd, at: At { dir, connection, helper: !root } })
}

/// The directory as the kernel names it. Only its parent is looked at: the directory itself may be a dead or hung
/// mount.
fn place(dir: &Path) -> Result<PathBuf, MountError> {
    let wrong = |why: io::Error| match why.kind() {
        io::ErrorKind::NotFound => MountError::Missing(dir.to_path_buf()),
        _ => MountError::Path { dir: dir.to_path_buf(), why },
    };
    let absolute = std::path::absolute(dir).map_err(wrong)?;
    let (Some(parent), Some(name)) = (absolute.parent(), absolute.file_name()) else {
        return Err(MountError::NotEmpty(absolute));
    };
    let place = fs::canonicalize(parent).map_err(wrong)?.join(name);
    if mountinfo::top(&place).is_some() {
        return Ok(place);
    }
    // Not a mount point: it may be looked at, and may be a link to the true place.
    fs::canonicalize(&place).map_err(wrong)
}

/// Removes dead FUSE mounts of ours from the directory; anything else that is mounted there is refused.
fn clear(dir: &Path) -> Result<(), MountError> {
    for _ in 0..STALE_LIMIT {
        let Some(line) = mountinfo::top(dir) else { return Ok(()) };
        let mounted = |what: String| MountError::Mounted { dir: dir.to_path_buf(), what };
        if !line.is_fuse() {
            return Err(mounted(line.kind));
        }
        if let Some(pid) = alive(dir, &line) {
            let by = pid.map_or_else(String::new, |pid| format!(", served by process {pid}"));
            return Err(mounted(format!("{} {}{by}", line.kind, line.source)));
        }
        if !line.is_ours() {
            return Err(mounted(format!("a dead {} mount", line.kind)));
        }
        remove(dir).map_err(|why| MountError::Stale { dir: dir.to_path_buf(), why })?;
    }
    Err(MountError::Stale { dir: dir.to_path_buf(), why: "there are too many of them".to_owned() })
}

/// Whether somebody serves that mount, and who if it is known.
fn alive(dir: &Path, line: &MountLine) -> Option<Option<u32>> {
    match holders::servers(line.minor) {
        Some(pids) if !pids.is_empty() => Some(Some(pids[0])),
        // Root sees every process: nobody holds the connection.
        Some(_) if mounting::effective_uid() == 0 => None,
        _ => (!answers_dead(dir)).then_some(None),
    }
}

/// Whether the mount answers "not connected". Asked on a thread of its own, because a hung one never answers.
fn answers_dead(dir: &Path) -> bool {
    let (tell, told) = sync_channel(1);
    let dir = dir.to_path_buf();
    let probe = move || {
        let dead = fs::metadata(dir).is_err_and(|error| error.raw_os_error() == Some(libc::ENOTCONN));
        // Nobody waits any more when it took too long.
        let _ = tell.send(dead);
    };
    let started = thread::Builder::new().name("stale-probe".to_owned()).spawn(probe);
    started.is_ok() && told.recv_timeout(PROBE).unwrap_or(false)
}

fn remove(dir: &Path) -> Result<(), String> {
    if mounting::effective_uid() == 0 {
        mounting::unmount(dir, How::Detach).map_err(|error| error.to_string())
    } else {
        helper_unmount(dir, true)
    }
}

fn check(dir: &Path) -> Result<(), MountError> {
    let wrong = |why: io::Error| match why.kind() {
        io::ErrorKind::NotFound => MountError::Missing(dir.to_path_buf()),
        io::ErrorKind::NotADirectory => MountError::NotDirectory(dir.to_path_buf()),
        _ => MountError::Path { dir: dir.to_path_buf(), why },
    };
    let mut entries = fs::read_dir(dir).map_err(wrong)?;
    if entries.next().is_some() { Err(MountError::NotEmpty(dir.to_path_buf())) } else { Ok(()) }
}

fn by_kernel(dir: &Path, spec: &MountSpec) -> Result<OwnedFd, MountError> {
    let device = open_device()?;
    let mut data = format!("fd={},rootmode=40000,user_id=0,group_id=0", device.as_raw_fd());
    if spec.allow_other {
        data.push_str(",allow_other");
    }
    mounting::mount_fuse(&clean(&spec.source), dir, !spec.writable, &data).map_err(|why| {
        let hint = match why.raw_os_error() {
            Some(libc::EPERM) => "a container needs the right to mount: give --cap-add SYS_ADMIN",
            Some(libc::ENODEV) => "this kernel has no FUSE: load the module (modprobe fuse)",
            _ => "see dmesg for the reason",
        };
        MountError::Refused { dir: dir.to_path_buf(), why, hint }
    })?;
    Ok(device)
}

fn open_device() -> Result<OwnedFd, MountError> {
    let opened: io::Result<File> = OpenOptions::new().read(true).write(true).open(DEVICE);
    opened.map(OwnedFd::from).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => MountError::NoDevice,
        _ if error.raw_os_error() == Some(libc::ENXIO) || error.raw_os_error() == Some(libc::ENODEV) => {
            MountError::NoDevice
        }
        _ => MountError::DeviceDenied(error),
    })
}

/// A source name that cannot be mistaken for further mount options.
pub(super) fn clean(source: &str) -> String {
    let plain = source.chars().map(|c| if c == ',' || c == '\\' || c.is_control() { '_' } else { c });
    let name: String = plain.take(200).collect();
    if name.is_empty() { "fsd".to_owned() } else { name }
}

/// Number of the connection behind a descriptor: the kernel tells, or else it is what is mounted there now.
fn connection(fd: &OwnedFd, dir: &Path) -> Option<u32> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd())).unwrap_or_default();
    let told = info.lines().find_map(|line| line.strip_prefix("fuse_connection:"));
    let told = told.and_then(|number| number.trim().parse().ok());
    told.or_else(|| mountinfo::top(dir).filter(MountLine::is_ours).map(|line| line.minor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_cannot_smuggle_options() {
        assert_eq!(clean("http://h/a,dev,suid\\n\n"), "http://h/a_dev_suid_n_");
        assert_eq!(clean(""), "fsd");
        assert_eq!(clean(&"x".repeat(500)).len(), 200);
    }

    #[test]
    fn wrong_mount_points_are_told_apart_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let spec = |path: PathBuf| MountSpec { dir: path, source: "x".into(), allow_other: false, writable: false };
        let missing = mount(&spec(dir.path().join("none"))).unwrap_err();
        assert!(matches!(missing, MountError::Missing(_)), "{missing}");
        let file = dir.path().join("file");
        fs::write(&file, "x").unwrap();
        assert!(matches!(mount(&spec(file)).unwrap_err(), MountError::NotDirectory(_)));
        assert!(matches!(mount(&spec(dir.path().into())).unwrap_err(), MountError::NotEmpty(_)));
        assert!(matches!(mount(&spec("/proc".into())).unwrap_err(), MountError::Mounted { .. }));
        assert!(matches!(mount(&spec("/".into())).unwrap_err(), MountError::NotEmpty(_)));
    }
}
