//! Servers: real ones, as people run them. Whatever shows a directory, the mount has the same names, sizes and bytes.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::support::*;

/// A web server on a free port of loopback, with index pages; ends when dropped.
pub(crate) struct Server {
    process: Child,
    port: u16,
    _dir: TempDir,
}

impl Server {
    /// nginx on `root`, with more lines for its `server` block; None, with a SKIP line, where it is not installed.
    pub(crate) fn nginx(root: &Path, more: &str) -> Option<Self> {
        if !have("nginx") {
            return None;
        }
        let dir = TempDir::with_prefix("fsd-nginx-").unwrap();
        let (here, port) = (dir.path().display(), free_port());
        let config = format!(
            "daemon off; worker_processes 1; pid {here}/pid; error_log {here}/error.log;
             events {{ worker_connections 256; }}
             http {{ access_log off; sendfile on; client_body_temp_path {here}/b; proxy_temp_path {here}/p;
               fastcgi_temp_path {here}/f; uwsgi_temp_path {here}/u; scgi_temp_path {here}/s;
               server {{ listen 127.0.0.1:{port}; root {}; autoindex on; autoindex_exact_size on; {more} }} }}\n{}",
            root.display(),
            if nix::unistd::geteuid().is_root() { "user root;" } else { "" }
        );
        let file = dir.path().join("nginx.conf");
        fs::write(&file, config).unwrap();
        let mut nginx = Command::new("nginx");
        nginx.arg("-c").arg(&file).arg("-p").arg(dir.path());
        Some(Self::start(nginx, port, dir))
    }

    fn python(root: &Path) -> Option<Self> {
        if !have("python3") {
            return None;
        }
        let port = free_port();
        let mut python = Command::new("python3");
        python.args(["-m", "http.server", "--bind", "127.0.0.1", &port.to_string(), "--directory"]).arg(root);
        Some(Self::start(python, port, TempDir::new().unwrap()))
    }

    fn rclone(root: &Path) -> Option<Self> {
        if !have("rclone") {
            return None;
        }
        let port = free_port();
        let mut rclone = Command::new("rclone");
        rclone.args(["serve", "http", "--config", "/dev/null", "--addr", &format!("127.0.0.1:{port}")]).arg(root);
        Some(Self::start(rclone, port, TempDir::new().unwrap()))
    }

    fn start(mut command: Command, port: u16, dir: TempDir) -> Self {
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let server = Self { process, port, _dir: dir };
        await_true("the server", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        server
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.process.id().cast_signed());
        let _ = nix::sys::signal::kill(pid, Signal::SIGTERM);
        drop(self.process.wait());
    }
}

/// Bound and let go: the next to bind is the server, unless somebody takes the port in between.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Names that pages and URLs write in their own ways, an empty file and an empty directory, and directories in
/// directories.
fn tree() -> TempDir {
    let tree = tempfile::tempdir().unwrap();
    for dir in ["sub dir/deep", "sub dir/empty", "50% & more"] {
        fs::create_dir_all(tree.path().join(dir)).unwrap();
    }
    let long = "x".repeat(200);
    let files = [
        ("a.txt", 5),
        ("big file.bin", 3_000_001),
        ("empty", 0),
        ("hash#q?.txt", 12),
        ("per%20cent.txt", 11),
        ("ünï & <x>.txt", 10),
        ("a+b;c=d,e'f\"g.txt", 7),
        (&*long, 13),
        ("sub dir/inner one.txt", 99_999),
        ("sub dir/deep/deeper.bin", 70_000),
        ("50% & more/x", 1),
    ];
    for (name, size) in files {
        let bytes: Vec<u8> = (0..size).map(|at: usize| (at * 7 + name.len()) as u8).collect();
        fs::write(tree.path().join(name), bytes).unwrap();
    }
    tree
}

/// Every path below `dir`, relative to it, directories with a slash.
fn paths(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::new()];
    while let Some(below) = open.pop() {
        for entry in fs::read_dir(dir.join(&below)).unwrap() {
            let entry = entry.unwrap();
            let path = below.join(entry.file_name());
            let is_dir = entry.file_type().unwrap().is_dir();
            found.push(format!("{}{}", path.display(), if is_dir { "/" } else { "" }));
            open.extend(is_dir.then_some(path));
        }
    }
    found.retain(|path| path != "Staged/");
    found.sort();
    found
}

/// Mounts the server and compares everything with what it serves.
fn shows(server: Option<Server>, tree: &Path) {
    let Some(server) = server else { return };
    let mounted = mount(Some(&server.url("")), &[]);
    let served = paths(tree);
    assert_eq!(paths(&mounted.dir()), served);
    for path in served.iter().filter(|path| !path.ends_with('/')) {
        let (ours, theirs) = (mounted.path(path), tree.join(path));
        assert_eq!(ours.metadata().unwrap().len(), theirs.metadata().unwrap().len(), "{path}");
        assert!(fs::read(ours).unwrap() == fs::read(theirs).unwrap(), "{path} differs");
    }
    let record = mounted.finish();
    assert_eq!(orphans(&record), Vec::<String>::new());
}

#[test]
fn nginx_is_mounted_with_every_name_size_and_byte() {
    let tree = tree();
    shows(Server::nginx(tree.path(), ""), tree.path());
}

#[test]
fn nginx_that_lists_in_json_or_with_rounded_sizes_is_mounted_the_same() {
    let tree = tree();
    shows(Server::nginx(tree.path(), "autoindex_format json;"), tree.path());
    // The word before is the one that counts, so the block of this directory says it again.
    shows(Server::nginx(tree.path(), "location / { autoindex_exact_size off; }"), tree.path());
}

#[test]
fn the_server_of_python_is_mounted_with_every_name_size_and_byte() {
    let tree = tree();
    shows(Server::python(tree.path()), tree.path());
}

#[test]
fn rclone_serve_http_is_mounted_with_every_name_size_and_byte() {
    let tree = tree();
    shows(Server::rclone(tree.path()), tree.path());
}
