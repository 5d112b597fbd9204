//! The flight recorder, the locks and the watchdog, each scenario in a process of its own: a process has one recorder.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test stops at the first surprise, and says what it skips"
)]

mod alloc;
mod crash;
mod events;
mod pressure;
mod watchdog;

use std::{
    env,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use fsd::{
    observe::{self, Recorder, RecorderConfig, Span, Target},
    platform::clock,
};
use fsd_events::{
    event::{Body, Event, Start},
    ids::RunId,
    layout,
    line::{self, Decoded},
    op::Op,
};
use tempfile::TempDir;

const ROLE: &str = "FSD_TEST_ROLE";
const DIR: &str = "FSD_TEST_DIR";
const RUN: RunId = RunId(0xab);

type Role = fn(&Scene);

/// What a child process plays.
const ROLES: &[(&str, Role)] = &[
    ("alloc_free", alloc::alloc_free),
    ("malloc_hangs", alloc::malloc_hangs),
    ("dies", crash::dies),
    ("rotates", events::rotates),
    ("contends", events::contends),
    ("works", events::works),
    ("seed_log", events::seed_log),
    ("disk_full", pressure::disk_full),
    ("disk_stuck", pressure::disk_stuck),
    ("disk_opens_nothing", pressure::disk_opens_nothing),
    ("nobody_reads", pressure::nobody_reads),
    ("little_room", pressure::little_room),
    ("more_than_rows", pressure::more_than_rows),
    ("many_threads", pressure::many_threads),
    ("stalls", watchdog::stalls),
    ("asked", watchdog::asked),
    ("beats", watchdog::beats),
];

/// The directories of one recorder.
struct Scene {
    root: PathBuf,
}

impl Scene {
    fn runtime(&self) -> PathBuf {
        self.root.join("runtime")
    }

    fn state(&self) -> PathBuf {
        self.root.join("state")
    }

    fn config(&self) -> RecorderConfig {
        RecorderConfig {
            run: RUN,
            mount_run: RunId(0xcd),
            runtime_dir: Some(self.runtime()),
            state_dir: Some(self.state()),
            start: Start { schema: fsd_events::SCHEMA, mount: "/m".into(), ..Start::default() },
            ..RecorderConfig::default()
        }
    }

    fn install(&self) -> Recorder {
        observe::install(self.config()).unwrap()
    }

    /// Lines of all files of the run, in the order of writing.
    fn lines(&self) -> Vec<Vec<u8>> {
        let mut files: Vec<PathBuf> =
            (1..).map(|n| self.state().join(layout::rotated_file(RUN, n))).take_while(|f| f.exists()).collect();
        files.push(self.state().join(layout::events_file(RUN)));
        let bytes: Vec<u8> = files.iter().flat_map(|file| std::fs::read(file).unwrap_or_default()).collect();
        bytes.split(|b| *b == b'\n').filter(|l| !l.is_empty()).map(<[u8]>::to_vec).collect()
    }

    fn events(&self) -> Vec<Event<'static>> {
        let decode = |line: &Vec<u8>| match line::decode(line) {
            Decoded::Event(event) => event.into_owned(),
            other => panic!("{other:?}: {}", String::from_utf8_lossy(line)),
        };
        self.lines().iter().map(decode).collect()
    }

    /// Waits until some event fits, a minute at most.
    fn wait_for(&self, fits: impl Fn(&Body<'_>) -> bool) -> Event<'static> {
        let found = wait(|| {
            let lines = self.lines();
            let events = lines.iter().filter_map(|line| match line::decode(line) {
                Decoded::Event(event) => Some(event.into_owned()),
                _ => None,
            });
            events.into_iter().find(|event| fits(&event.body))
        });
        found.expect("the event is written")
    }
}

/// Asks until there is an answer, a minute at most.
fn wait<T>(mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let until = clock::now() + Duration::from_secs(60);
    let mut answer = ask();
    while answer.is_none() && clock::now() < until {
        std::thread::park_timeout(Duration::from_millis(5));
        answer = ask();
    }
    answer
}

fn enter(op: Op, ino: u64) -> Span {
    Span::enter(op, &Target { unique: 2, pid: 7, ino, ..Target::default() })
}

/// On tmpfs where there is one, as rings want it.
fn fresh() -> (TempDir, Scene) {
    let shm = Path::new("/dev/shm");
    let dir = if shm.is_dir() { tempfile::tempdir_in(shm) } else { tempfile::tempdir() }.unwrap();
    let scene = Scene { root: dir.path().to_path_buf() };
    std::fs::create_dir(scene.runtime()).unwrap();
    (dir, scene)
}

/// This program again, to play `role` in `scene`.
fn child(role: &str, scene: &Scene) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "role", "--nocapture", "--test-threads=1"]);
    command.env(ROLE, role).env(DIR, &scene.root).stdin(Stdio::null());
    command
}

fn plays(role: &str) {
    let (_dir, scene) = fresh();
    plays_in(role, &scene);
}

fn plays_in(role: &str, scene: &Scene) {
    let output = child(role, scene).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
    if let Some(skip) = text(&output.stdout).lines().find(|line| line.starts_with("SKIP ")) {
        println!("{skip}");
    }
}

/// Kills the child when the test ends early.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.kill().unwrap_or_default();
        self.0.wait().map(drop).unwrap_or_default();
    }
}

/// Not a test of its own: what the children run.
#[test]
fn role() {
    let Ok(role) = env::var(ROLE) else { return };
    let scene = Scene { root: PathBuf::from(env::var_os(DIR).unwrap()) };
    let (_, play) = ROLES.iter().find(|(name, _)| *name == role).unwrap();
    play(&scene);
}
