//! One nginx on loopback with a big file, many small ones, and some that are for the first byte alone.
//!
//! Its files lie in memory: what drops the caches of a mount must not send the origin to its disk.

use std::{
    fs,
    io::Write as _,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

/// Files in `first`, and their size: large enough for a temp file.
pub(crate) const FIRST_FILES: usize = 15;
const FIRST_MIB: u64 = 4;

pub(crate) struct Origin {
    nginx: Child,
    dir: tempfile::TempDir,
    files: tempfile::TempDir,
    port: u16,
    pub(crate) file_mib: u64,
    pub(crate) entries: usize,
}

impl Origin {
    pub(crate) fn start(file_mib: u64, entries: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let files = tempfile::tempdir_in("/dev/shm").unwrap();
        let root = files.path();
        fs::create_dir_all(root.join("many")).unwrap();
        fs::create_dir_all(root.join("first")).unwrap();
        write_pattern(&root.join("big.bin"), file_mib);
        for n in 0..FIRST_FILES {
            write_pattern(&root.join("first").join(n.to_string()), FIRST_MIB);
        }
        for n in 0..entries {
            fs::write(root.join("many").join(format!("file-{n:06}.txt")), format!("{n}\n")).unwrap();
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = write_config(dir.path(), root, port);
        let nginx = Command::new("nginx")
            .args(["-p", dir.path().to_str().unwrap(), "-c", config.to_str().unwrap()])
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx is installed");
        let origin = Self { nginx, dir, files, port, file_mib, entries };
        origin.wait_ready();
        origin
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    /// The big file where it lies.
    pub(crate) fn file(&self) -> PathBuf {
        self.files.path().join("big.bin")
    }

    /// The big file again, in a directory of its own on the disk.
    pub(crate) fn local(&self) -> PathBuf {
        let path = self.dir.path().join("local/big.bin");
        if !path.exists() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            write_pattern(&path, self.file_mib);
        }
        path
    }

    pub(crate) fn scratch(&self) -> &Path {
        self.dir.path()
    }

    fn wait_ready(&self) {
        for _ in 0..200 {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("nginx does not answer on port {}", self.port);
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        let _ = self.nginx.kill();
        let _ = self.nginx.wait();
    }
}

/// Numbered blocks, so that no two pages are equal.
fn write_pattern(path: &Path, mib: u64) {
    let mut file = fs::File::create(path).unwrap();
    let mut block = vec![0_u8; 1 << 20];
    for n in 0..mib {
        for (at, word) in block.chunks_exact_mut(8).enumerate() {
            word.copy_from_slice(&((n << 32) | at as u64).to_le_bytes());
        }
        file.write_all(&block).unwrap();
    }
}

fn write_config(dir: &Path, root: &Path, port: u16) -> PathBuf {
    let path = dir.join("nginx.conf");
    let text = format!(
        "daemon off; master_process off; error_log {log}; pid {pid};\n\
         events {{ worker_connections 1024; }}\n\
         http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;\n\
         server {{ listen 127.0.0.1:{port}; root {root}; autoindex on; autoindex_exact_size on; }} }}\n",
        log = dir.join("error.log").display(),
        pid = dir.join("nginx.pid").display(),
        root = root.display()
    );
    fs::write(&path, text).unwrap();
    path
}
