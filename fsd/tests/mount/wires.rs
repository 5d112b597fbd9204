//! Wires: what lies between fsd and an origin, name servers and protocols.

use std::{
    fs,
    net::UdpSocket,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use nix::sys::signal::Signal;

use super::{health::*, support::*};

const MIB: u64 = 1 << 20;

/// A name server that takes every question and answers none.
struct Resolver {
    _socket: UdpSocket,
    file: PathBuf,
}

impl Resolver {
    /// None, with a SKIP line, where nobody may listen there.
    fn silent(dirs: &Dirs) -> Option<Self> {
        const PLACE: &str = "127.0.0.53";
        let Ok(socket) = UdpSocket::bind((PLACE, 53)) else {
            skip("a silent name server", "port 53 taken or not allowed", "root");
            return None;
        };
        let file = dirs.root().join("resolv.conf");
        fs::write(&file, format!("nameserver {PLACE}\noptions timeout:30 attempts:5\n")).unwrap();
        Some(Self { _socket: socket, file })
    }

    /// Starts fsd where this is the only name server: in a mount namespace of its own.
    fn instead_of_the_systems(&self, dirs_root: &Path) -> impl FnOnce(&mut Command) + use<> {
        let script = format!("mount --bind {} /etc/resolv.conf && exec \"$@\"", self.file.display());
        let stderr = fs::File::create(dirs_root.join("stderr.log")).unwrap();
        move |command: &mut Command| {
            let mut inside = Command::new("unshare");
            inside.args(["--mount", "--propagation", "slave", "sh", "-c", &script, "sh"]);
            inside.arg(command.get_program()).args(command.get_args());
            for (name, value) in command.get_envs() {
                match value {
                    Some(value) => inside.env(name, value),
                    None => inside.env_remove(name),
                };
            }
            inside.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
            *command = inside;
        }
    }
}

#[test]
fn s08_a_name_server_that_does_not_answer_holds_only_who_needs_it_and_not_the_end() {
    if !nix::unistd::geteuid().is_root() {
        return skip("a name server of its own", "a plain user", "root");
    }
    let origin = origin();
    let dirs = Dirs::new();
    let Some(resolver) = Resolver::silent(&dirs) else { return };
    let manifest = dirs.root().join("files.json");
    let far = "http://nobody.answers.test/far";
    let near = origin.url("well.bin");
    let listed = format!(
        "{{\"file\":[{{\"name\":\"far\",\"url\":\"{far}\",\"size\":1048576}},{{\"name\":\"well.bin\",\"url\":\"{near}\"}}]}}"
    );
    fs::write(&manifest, listed).unwrap();
    let args =
        ["--connect-timeout", "1s", "--first-byte-timeout", "2s", "--read-timeout", "4s", "--drain-timeout", "1s"];
    let edit = resolver.instead_of_the_systems(dirs.root());
    let mounted = try_mount(dirs, Some(&manifest.display().to_string()), &args, edit);
    let mounted = mounted.unwrap_or_else(|failed| panic!("{failed:?}"));
    // The mount is in that namespace; its root leads there.
    let there = |name: &str| {
        let path = mounted.path(name);
        Path::new("/proc").join(format!("{}/root{}", mounted.pid(), path.display()))
    };
    let stuck = reading(there("far"), 0, 4096);
    mounted.await_event(|event| event["ev"] == "wait");
    assert!(in_time("ls", &["-l"], &there("")));
    assert!(read_anew(&there("well.bin"), 0, 4096).unwrap() == origin.bytes("well.bin", 0, 4096));
    let (got, took) = stuck.join().unwrap();
    assert!(got.is_err() && took < Duration::from_secs(20), "{took:?}");
    let start = now();
    let staged = mounted.fsd(&["stage", far]);
    assert_eq!(staged.status.code(), Some(75), "{}", text(&staged.stderr));
    assert!(start.elapsed() < Duration::from_secs(40), "{:?}", start.elapsed());
    // The question is still open, and the end does not wait for its answer.
    let start = now();
    mounted.signal(Signal::SIGTERM);
    let (status, _) = mounted.gone();
    assert_eq!(status.code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

/// nginx that offers HTTP/2 by TLS, with its log of protocols.
struct Tls {
    process: Child,
    dir: tempfile::TempDir,
    port: u16,
}

impl Tls {
    fn start(www: &Path) -> Option<Self> {
        if !have("nginx") || !have("openssl") {
            return None;
        }
        let dir = tempfile::TempDir::with_prefix("fsd-tls-").unwrap();
        let here = dir.path().display();
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"])
            .args([
                "-addext",
                "subjectAltName=IP:127.0.0.1",
                "-addext",
                "basicConstraints=critical,CA:FALSE",
                "-keyout",
                "key.pem",
                "-out",
                "cert.pem",
            ])
            .current_dir(dir.path())
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", text(&made.stderr));
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = format!(
            "daemon off; worker_processes 1; pid {here}/pid; error_log {here}/error.log;
             events {{ worker_connections 256; }}
             http {{ log_format p '$server_protocol $uri'; access_log {here}/access.log p;
               client_body_temp_path {here}/b; proxy_temp_path {here}/p; fastcgi_temp_path {here}/f;
               uwsgi_temp_path {here}/u; scgi_temp_path {here}/s;
               server {{ listen 127.0.0.1:{port} ssl http2; ssl_certificate {here}/cert.pem;
                 ssl_certificate_key {here}/key.pem; root {}; autoindex on; autoindex_format json; }} }}\n{}",
            www.display(),
            if nix::unistd::geteuid().is_root() { "user root;" } else { "" }
        );
        fs::write(dir.path().join("nginx.conf"), config).unwrap();
        let mut nginx = Command::new("nginx");
        nginx.arg("-c").arg(dir.path().join("nginx.conf")).arg("-p").arg(dir.path());
        let process = nginx.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        await_true("nginx", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        Some(Self { process, dir, port })
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.process.id().cast_signed());
        let _ = nix::sys::signal::kill(pid, Signal::SIGTERM);
        drop(self.process.wait());
    }
}

#[test]
fn s58_s59_an_origin_that_offers_http2_is_read_by_http1_and_paused_streams_hold_no_other() {
    let www = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..16 * MIB).map(|at| (at / 4096 * 31 + at % 251) as u8).collect();
    for name in ["one", "two", "three"] {
        fs::write(www.path().join(name), &bytes).unwrap();
    }
    let Some(nginx) = Tls::start(www.path()) else { return };
    let trusted = nginx.dir.path().join("cert.pem");
    let url = format!("https://127.0.0.1:{}/", nginx.port);
    let args = ["--fetch-mode", "range-lru", "--cache-size", "8MiB"];
    let mounted = try_mount(Dirs::new(), Some(&url), &args, |command| {
        command.env("SSL_CERT_FILE", &trusted);
    });
    let mounted = mounted.unwrap_or_else(|failed| panic!("{failed:?}"));
    // Two that are opened, read a little and then not read on.
    let paused = ["one", "two"].map(|name| {
        use std::os::unix::fs::FileExt;
        let file = fs::File::open(mounted.path(name)).unwrap();
        file.read_exact_at(&mut [0; 4096], 0).unwrap();
        file
    });
    assert!(fs::read(mounted.path("three")).unwrap() == bytes);
    drop(paused);
    let record = finish_clean(mounted);
    assert_eq!(count(&record, "stall"), 0);
    let log = fs::read_to_string(nginx.dir.path().join("access.log")).unwrap();
    assert!(log.contains("HTTP/1.1 /three") && !log.contains("HTTP/2"), "{log}");
}
