//! Text file: what a person wrote for us, read whole, and never waited for.

use std::{
    fs::OpenOptions,
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// Reads a regular file of at most `limit` bytes: a pipe would have us wait for whoever is to write it.
///
/// # Errors
/// When it cannot be read, or is not such a file.
pub(super) async fn read(path: &Path, limit: u64) -> io::Result<String> {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || read_now(&path, limit)).await?
}

fn read_now(path: &Path, limit: u64) -> io::Result<String> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut text = String::new();
    if file.take(limit.saturating_add(1)).read_to_string(&mut text)? as u64 > limit {
        return Err(io::Error::other(format!("it has more than {limit} bytes")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_regular_file_up_to_the_limit_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let (file, pipe) = (dir.path().join("file"), dir.path().join("pipe"));
        std::fs::write(&file, "12345").unwrap();
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(read_now(&file, 5).unwrap(), "12345");
        let why = |path: &Path, limit| read_now(path, limit).unwrap_err().to_string();
        assert_eq!(why(&file, 4), "it has more than 4 bytes");
        assert_eq!(why(&pipe, 4), "it is not a regular file");
        assert_eq!(why(Path::new("/dev/zero"), 4), "it is not a regular file");
    }
}
