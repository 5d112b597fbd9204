//! The story of the demo: bytes are right, then the release bug, then the verdict, then all is as before.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use super::{
    origin::{Checksum, Fault, Origin, checksum},
    served::{self, Home, Served},
};
use crate::{
    platform::clock,
    process::{
        exit::{Exit, Failure},
        terminal::say,
    },
};

const MIB: u64 = 1 << 20;
/// Files that are read back: name and size.
const FILES: [(&str, u64); 4] =
    [("film.mkv", 64 * MIB), ("music/song.flac", 9 * MIB + 1), ("empty", 0), ("note.txt", 42)];
/// The file whose origin stalls.
const SLOW: &str = "slow.bin";
/// How the release bug is armed, how soon the watchdog speaks of it (10 s in earnest), and for how long the origin may
/// be silent: longer than the story takes.
const BUG: [&str; 4] = [
    "--failpoint=release::close_under_lock=return",
    "--stalled-after=3s",
    "--watchdog-interval=500ms",
    "--inactivity-timeout=10m",
];
const READERS: usize = 4;
const STALL_LIMIT: Duration = Duration::from_secs(30);
const END_LIMIT: Duration = Duration::from_secs(30);

/// Tells the story; every part of it must come true.
///
/// # Errors
/// The first part that did not.
pub(in crate::process) fn run() -> Result<Exit, Failure> {
    let programs = Programs::find()?;
    let root = Root::make()?;
    let origin =
        Origin::start().map_err(|error| Exit::Internal.because(format!("cannot start the origin: {error}")))?;
    for (name, size) in FILES {
        origin.file(name, size);
    }
    origin.file(SLOW, 64 * MIB);
    say(format!("an origin of our own serves {} files at {}", FILES.len() + 1, origin.url("")));

    let served = mount(&programs, &root, &origin, &[])?;
    say(format!("1. {}", served.greeting));
    FILES.iter().try_for_each(|(name, size)| compare(&served, name, *size))?;
    end(served)?;

    let served = mount(&programs, &root, &origin, &BUG)?;
    say("2. mounted again, with the bug on purpose: Release closes under the lock, and the origin stalls");
    let clients = provoke(&served, &origin)?;
    await_record(&served, "\"ev\":\"stall\"", "stall")?;
    say("3. the watchdog speaks of a stall; `fsdiag analyze` on the record says:\n");
    verdict(&programs.fsdiag, &served.events())?;
    origin.heal().release();
    drop(clients);
    say("\n4. the origin goes on, and so does everybody who waited");
    end(served)?;
    say("all was as expected; nothing is left behind");
    Ok(Exit::Done)
}

/// The two programs, side by side.
struct Programs {
    fsd: PathBuf,
    fsdiag: PathBuf,
}

impl Programs {
    fn find() -> Result<Self, Failure> {
        let fsd = std::env::current_exe().map_err(|error| Exit::Internal.because(error.to_string()))?;
        let fsdiag = fsd.with_file_name("fsdiag");
        if !fsdiag.exists() {
            let text = format!("there is no {}: build both, cargo build --workspace", fsdiag.display());
            return Err(Exit::Refused.because(text));
        }
        Ok(Self { fsd, fsdiag })
    }
}

/// The demo's temporary directories; removed when dropped.
struct Root {
    dir: PathBuf,
    /// On tmpfs where there is one, so that the record can be read after a crash too; fsd looks by itself otherwise.
    runtime: PathBuf,
}

impl Root {
    fn make() -> Result<Self, Failure> {
        let name = format!("fsd-demo-{}", std::process::id());
        let dir = std::env::temp_dir().join(&name);
        std::fs::create_dir(&dir)
            .map_err(|error| Exit::Refused.because(format!("cannot make {}: {error}", dir.display())))?;
        Ok(Self { dir, runtime: Path::new("/dev/shm").join(name) })
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.dir));
        drop(std::fs::remove_dir_all(&self.runtime));
    }
}

fn mount(programs: &Programs, root: &Root, origin: &Origin, args: &[&str]) -> Result<Served, Failure> {
    let home = Home::new(&root.dir, &root.runtime).map_err(|error| Exit::Internal.because(error.to_string()))?;
    Served::start(&programs.fsd, &home, Some(&origin.url("")), args, |_| ()).map_err(|failed| {
        let exit = failed.status.and_then(|status| status.code()).and_then(Exit::of).unwrap_or(Exit::Internal);
        exit.because(format!("the demo could not mount: {}", failed.stderr.trim().trim_start_matches("fsd: ")))
    })
}

/// Reads a file of the mount and compares it with what the origin has.
fn compare(served: &Served, name: &str, size: u64) -> Result<(), Failure> {
    let failed = |why: String| Exit::Refused.because(format!("{name}: {why}"));
    let started = clock::now();
    let mut file = File::open(served.path(name)).map_err(|error| failed(error.to_string()))?;
    let (mut sum, mut total, mut buffer) = (Checksum::default(), 0, vec![0; 1 << 20]);
    loop {
        let got = file.read(&mut buffer).map_err(|error| failed(error.to_string()))?;
        if got == 0 {
            break;
        }
        sum.update(&buffer[..got]);
        total += got as u64;
    }
    if (total, sum.sum()) != (size, checksum(name, size)) {
        return Err(failed(format!("{total} of {size} bytes, checksum {:016x}: not what the origin has", sum.sum())));
    }
    say(format!(
        "   {name:<16} {size:>9} bytes in {:>4} ms, checksum {:016x}: right",
        started.elapsed().as_millis(),
        sum.sum()
    ));
    Ok(())
}

/// A reader closes a file whose download stalls; then others come.
fn provoke(served: &Served, origin: &Origin) -> Result<Vec<Client>, Failure> {
    origin.fault(SLOW, Fault::StallAt(MIB));
    let slow = served.path(SLOW);
    let failed = |error: std::io::Error| Exit::Refused.because(format!("{SLOW}: {error}"));
    let mut first = File::open(&slow).map_err(failed)?;
    first.read_exact(&mut [0; 4096]).map_err(failed)?;
    if !origin.wait(END_LIMIT, |origin| origin.stalled() > 0) {
        return Err(Exit::Refused.because("nobody asked the origin for the slow file"));
    }
    // All that comes has come: a download that still takes bytes in would see the close, and end.
    await_record(served, &format!("\"have\":{MIB}"), "stalled download")?;
    drop(first);
    // The kernel sends RELEASE when it likes; whoever opens the file before would keep it open.
    await_record(served, "\"op\":\"Release\"", "release")?;
    let mut clients = Vec::new();
    for _ in 0..READERS {
        clients.push(Client::start(Command::new("cat").arg(&slow))?);
        clients.push(Client::start(Command::new("ls").arg("-l").arg(served.home().mount_point()))?);
    }
    Ok(clients)
}

/// Somebody who uses the mount; killed when dropped.
struct Client(Child);

impl Client {
    fn start(command: &mut Command) -> Result<Self, Failure> {
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        quiet.spawn().map(Self).map_err(|error| Exit::Refused.because(format!("cannot start {command:?}: {error}")))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if served::wait(&mut self.0, Duration::from_secs(5)).is_none() {
            drop(self.0.kill());
            served::wait(&mut self.0, Duration::from_secs(5));
        }
    }
}

/// Waits until the event file holds `text`.
fn await_record(served: &Served, text: &str, what: &str) -> Result<(), Failure> {
    let until = clock::now() + STALL_LIMIT;
    while clock::now() < until {
        if std::fs::read_to_string(served.events()).unwrap_or_default().contains(text) {
            return Ok(());
        }
        std::thread::park_timeout(Duration::from_millis(100));
    }
    Err(Exit::Refused.because(format!("no {what} was recorded within {} s", STALL_LIMIT.as_secs())))
}

/// Prints what fsdiag says, and checks that it names the culprit.
fn verdict(fsdiag: &Path, events: &Path) -> Result<(), Failure> {
    let analyze = |format: &str| {
        let output = Command::new(fsdiag).args(["analyze", "--format", format]).arg(events).output();
        output
            .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
            .map_err(|error| Exit::Refused.because(format!("cannot run {}: {error}", fsdiag.display())))
    };
    say(analyze("text")?.trim_end());
    let report: serde_json::Value = serde_json::from_str(&analyze("json")?).unwrap_or_default();
    let first = &report["verdicts"][0];
    let named = [&first["cause"], &first["culprit"]["op"], &first["culprit"]["lock"], &first["confidence"]];
    let lost = &report["loss"]["seq_gaps"];
    if named == ["lock_pileup", "Release", "handles", "certain"] && lost == 0 {
        return Ok(());
    }
    Err(Exit::Refused.because(format!(
        "expected lock_pileup by a Release that holds `handles` and no lost record, fsdiag found {named:?} and {lost} lost"
    )))
}

/// Ends a mount as a user would, and checks that it is gone.
fn end(mut served: Served) -> Result<(), Failure> {
    served.signal(nix::sys::signal::Signal::SIGTERM);
    let code = served.wait(END_LIMIT).and_then(|status| status.code()).and_then(Exit::of);
    match (code, served.at().is_mounted()) {
        (Some(Exit::Done), false) => Ok(()),
        (code, mounted) => {
            Err(Exit::Refused.because(format!("unmounting ended with {code:?}, still mounted: {mounted}")))
        }
    }
}
