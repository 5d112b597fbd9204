//! The formats of other programs at length: logs that their daemons write here while they serve a real mount.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::{
    Options,
    foreign::HEAD,
    measure::{Figure, Task},
};

/// A daemon that shows `src` at `mnt`, of a directory that holds both; it logs on standard output and error.
struct Daemon {
    name: &'static str,
    program: &'static str,
    /// Shell words, run there.
    command: &'static str,
}

const DAEMONS: [Daemon; 6] = [
    Daemon {
        name: "rclone mount -vv",
        program: "rclone",
        command: "exec rclone mount -vv --dir-cache-time 1s --attr-timeout 0s src mnt",
    },
    Daemon {
        name: "rclone mount -vv --use-json-log",
        program: "rclone",
        command: "exec rclone mount -vv --use-json-log --dir-cache-time 1s --attr-timeout 0s src mnt",
    },
    Daemon {
        name: "sshfs -o sshfs_debug",
        program: "sshfs",
        command: "exec sshfs -f -o sshfs_debug,ssh_command=$PWD/sftp,dir_cache=no,attr_timeout=0,entry_timeout=0 \
                  x:\"$PWD\"/src mnt",
    },
    Daemon {
        name: "sshfs -d, libfuse",
        program: "sshfs",
        command: "exec sshfs -d -o ssh_command=$PWD/sftp,dir_cache=no,attr_timeout=0,entry_timeout=0 x:\"$PWD\"/src mnt",
    },
    Daemon { name: "bindfs -d, libfuse", program: "bindfs", command: "exec bindfs -d src mnt" },
    Daemon {
        name: "gocryptfs -fusedebug, go-fuse",
        program: "gocryptfs",
        command: "echo secret >key; test -e src/.gocryptfs.reverse.conf || \
                  gocryptfs -reverse -init -q -passfile key src; \
                  exec gocryptfs -fg -reverse -fusedebug -passfile key src mnt",
    },
];

/// Reads all there is, once; whatever hangs is given up.
const USE: &str = "timeout 60 sh -c 'find mnt -type f -exec stat {} + ; ls -lR mnt; cat mnt/*/*' >/dev/null 2>&1";

pub(crate) fn table(dir: &Path, options: &Options) -> io::Result<String> {
    let dir = dir.join("daemons");
    fill(&dir)?;
    let size = if options.quick { 1_000_000 } else { 20_000_000 };
    let mut text = format!("{PREFACE}{HEAD}");
    let mut missing = Vec::new();
    let mut figures = Vec::new();
    for daemon in &DAEMONS {
        match daemon.log(&dir, size)? {
            Some(log) => figures.push(measured(daemon.name, &log, 3 * size, options)?),
            None => missing.push(daemon.name),
        }
    }
    figures.sort_by(|a, b| a.cpu_speed().total_cmp(&b.cpu_speed()));
    text.extend(figures.iter().map(Figure::row));
    if !missing.is_empty() {
        text += &format!("\nNot mounted here: {}.\n", missing.join(", "));
    }
    Ok(text)
}

const PREFACE: &str =
    "\nFormats of other programs on one core: logs of real daemons, written for this while a mount of a thousand files
was read over and over, then read three times in a row as one log.\n\n";

/// A thousand files, and a way to them without a network.
fn fill(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir.join("mnt"))?;
    fs::write(dir.join("sftp"), "#!/bin/sh\nexec /usr/lib/openssh/sftp-server\n")?;
    Command::new("chmod").args(["+x"]).arg(dir.join("sftp")).status()?;
    for number in 0..1000 {
        let folder = dir.join(format!("src/reel{:02}", number / 50));
        fs::create_dir_all(&folder)?;
        let bytes = if number % 10 == 0 { 300_000 } else { 9000 };
        fs::write(folder.join(format!("take{number:04}.mov")), vec![b'x'; bytes])?;
    }
    Ok(())
}

impl Daemon {
    /// None: it is not installed, or cannot mount here.
    fn log(&self, dir: &Path, size: u64) -> io::Result<Option<PathBuf>> {
        _ = writeln!(io::stderr(), "{} writes its log", self.program);
        let path = dir.join("log");
        let log = File::create(&path)?;
        let mut shell = Command::new("sh");
        shell.args(["-c", self.command]).current_dir(dir).stdin(Stdio::null());
        let mut child = shell.stdout(log.try_clone()?).stderr(log.try_clone()?).spawn()?;
        let mounted = is_mounted(dir, &mut child)?;
        // A daemon that logs nothing is no reason to go on for ever.
        for _ in (0..1000).take_while(|_| mounted) {
            if log.metadata()?.len() >= size {
                break;
            }
            Command::new("sh").args(["-c", USE]).current_dir(dir).status()?;
        }
        _ = Command::new("fusermount3").args(["-u", "mnt"]).current_dir(dir).stderr(Stdio::null()).status();
        child.wait()?;
        Ok((log.metadata()?.len() >= size).then_some(path))
    }
}

fn is_mounted(dir: &Path, child: &mut Child) -> io::Result<bool> {
    let until = Instant::now() + Duration::from_secs(10);
    let mount = format!(" {} ", dir.join("mnt").display());
    while Instant::now() < until && child.try_wait()?.is_none() {
        if fs::read_to_string("/proc/self/mountinfo")?.contains(&mount) {
            return Ok(true);
        }
        thread::sleep(Duration::from_millis(50));
    }
    child.kill().map(|()| false)
}

fn measured(name: &str, log: &Path, size: u64, options: &Options) -> io::Result<Figure> {
    let text = fs::read(log)?;
    let long = log.with_file_name("long");
    let mut out = File::create(&long)?;
    (0..size.div_ceil(text.len() as u64)).try_for_each(|_| out.write_all(&text))?;
    Ok(Task::fsdiag(name, Some("0"), &long, out.metadata()?.len()).best(options.rounds))
}
