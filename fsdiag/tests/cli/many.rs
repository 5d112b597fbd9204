//! Many daemons in one log: whatever lines of others stand between theirs, what is said of each is what its own log says
//! at that moment.

use std::{
    fmt::Write as _,
    io::Write as _,
    process::{Command, Stdio},
};

use fsdiag::{
    engine::{
        model::{Limits, Model, Now},
        report::Report,
    },
    formats::Mixed,
};
use proptest::prelude::*;

/// What befalls a daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    None,
    /// A Read has no end, other work goes on.
    Read,
    /// A Release has no end, and Getattrs pile up behind it.
    Release,
    /// Nothing is written from then on.
    Silence,
}

/// How its log is written.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Seed,
    Libfuse,
    Rclone,
}

/// A daemon, as far as its log goes.
#[derive(Clone, Copy, Debug)]
struct Daemon {
    kind: Kind,
    trouble: Trouble,
    seed: u64,
}

/// A line and its time, microseconds since the first one.
type Said = (u64, String);

const SECOND: u64 = 1_000_000;
/// All of them write as long, in seconds.
const LASTS: u64 = 90;

impl Daemon {
    fn log(self) -> Vec<Said> {
        let (mut said, mut at, mut id) = (Vec::new(), self.seed % SECOND, 0);
        let mut state = self.seed | 1;
        let mut roll = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        let trouble = (LASTS / 2 + roll(10)) * SECOND;
        let mut troubled = self.trouble == Trouble::None;
        while at < LASTS * SECOND {
            if !troubled && at > trouble {
                troubled = true;
                let op = if self.trouble == Trouble::Release { "Release" } else { "Read" };
                id += 1;
                said.push((at, self.begins(op, id, 99)));
                match self.trouble {
                    Trouble::Silence => return said,
                    Trouble::Release => {
                        let waits = (1..5).map(|n| (at + n * 300_000, self.begins("Getattr", id + n, n)));
                        said.extend(waits);
                        return said;
                    }
                    Trouble::Read | Trouble::None => {}
                }
            }
            let (op, file) =
                ([("Getattr", 0), ("Read", 0), ("Getattr", 0), ("Release", 0)][roll(4) as usize].0, roll(5));
            id += 1;
            said.push((at, self.begins(op, id, file)));
            at += 200 + roll(9_000);
            said.push((at, self.ends(op, id, file)));
            at += 150_000 + roll(SECOND);
        }
        said
    }

    fn begins(self, op: &str, id: u64, file: u64) -> String {
        let (number, code) = match op {
            "Read" => ("READ", 15),
            "Release" => ("RELEASE", 18),
            _ => ("GETATTR", 3),
        };
        match (self.kind, op) {
            (Kind::Seed, _) => format!("[FUSE] {op} ENTER (id={id})"),
            (Kind::Libfuse, _) => {
                format!("unique: {}, opcode: {number} ({code}), nodeid: {}, insize: 80, pid: 700", 2 * id, file + 2)
            }
            (Kind::Rclone, "Read") => {
                format!("DEBUG : &{{f{file}.mkv (r)}}: Read: len=131072, offset={}", id * 131_072)
            }
            (Kind::Rclone, "Release") => format!("DEBUG : &{{f{file}.mkv (r)}}: Release: "),
            (Kind::Rclone, _) => format!("DEBUG : f{file}.mkv: Attr: "),
        }
    }

    fn ends(self, op: &str, id: u64, file: u64) -> String {
        match (self.kind, op) {
            (Kind::Seed, _) => format!("[FUSE] {op} EXIT (id={id}, elapsed=900µs)"),
            (Kind::Libfuse, _) => format!("   unique: {}, success, outsize: 120", 2 * id),
            (Kind::Rclone, "Read") => format!("DEBUG : &{{f{file}.mkv (r)}}: >Read: read=131072, err=<nil>"),
            (Kind::Rclone, "Release") => format!("DEBUG : &{{f{file}.mkv (r)}}: >Release: err=<nil>"),
            (Kind::Rclone, _) => format!("DEBUG : f{file}.mkv: >Attr: a=valid=1s ino=0 size=9, err=<nil>"),
        }
    }
}

/// How many daemons come to be in one text.
#[derive(Clone, Copy, Debug)]
enum Form {
    Kubectl,
    Syslog,
    Processes,
    Compose,
    Cluster,
    Tail,
}

const FORMS: [Form; 6] = [Form::Kubectl, Form::Syslog, Form::Processes, Form::Compose, Form::Cluster, Form::Tail];

fn stamp(us: u64) -> String {
    let (minutes, seconds, us) = (us / (60 * SECOND), us / SECOND % 60, us % SECOND);
    format!("2026-11-22T09:{:02}:{seconds:02}.{us:06}+00:00", 43 + minutes)
}

impl Form {
    fn line(self, daemon: usize, us: u64, text: &str) -> String {
        let at = stamp(us);
        match self {
            Self::Kubectl => format!("[pod/fuse-{daemon}/mounter] {at} {text}"),
            Self::Syslog => format!("{at} node{daemon} fused[812]: {text}"),
            Self::Processes => format!("{at} nas fused[{}]: {text}", 812 + daemon),
            Self::Compose => format!("fuse-{daemon}  | {at} {text}"),
            Self::Cluster => format!("node{daemon}: {at} {text}"),
            Self::Tail => format!("{at} {text}"),
        }
    }

    fn joined(self, logs: &[Vec<Said>]) -> String {
        let said = logs.iter().enumerate().flat_map(|(daemon, log)| log.iter().map(move |said| (daemon, said)));
        let mut said: Vec<(usize, &Said)> = said.collect();
        said.sort_by_key(|(_, said)| said.0);
        let (mut text, mut above) = (String::new(), None);
        for (daemon, (us, line)) in said {
            if matches!(self, Self::Tail) && above.replace(daemon) != Some(daemon) {
                writeln!(text, "\n==> fuse-{daemon}.log <==").unwrap();
            }
            writeln!(text, "{}", self.line(daemon, *us, line)).unwrap();
        }
        text
    }
}

/// What a log tells; `now`: at that moment, microseconds since the first line.
fn report(text: &str, now: Option<u64>) -> Report {
    /// 2026-11-22, 9:43.
    const FIRST: u64 = 1_795_340_580 * SECOND;
    let mut model = Model::new(Limits::default());
    let input = model.input("log");
    let mut mixed = Mixed::new(input);
    text.lines().for_each(|line| mixed.text(line, &mut model));
    mixed.finish(&mut model);
    let counts = mixed.counts();
    model.counted(input, mixed.format(), counts.lines, counts.events, counts.bad_lines);
    model.report(Now { wall_us: now.map(|us| FIRST + us) })
}

/// Verdicts as far as they do not name lines: cause, confidence, the one to blame, and who waits.
fn told<'r>(reports: impl IntoIterator<Item = &'r Report>) -> Vec<String> {
    let tell = |verdict: &fsdiag::engine::report::Verdict| {
        let culprit = verdict.culprit.clone().unwrap_or_default();
        let id = culprit.id.filter(|id| !id.starts_with("line "));
        let (op, path, age) = (culprit.op, culprit.path, culprit.age_s);
        format!("{:?} {:?} {op:?} {id:?} {path:?} {age:?} {}", verdict.cause, verdict.confidence, verdict.waiting())
    };
    let mut told: Vec<String> = reports.into_iter().flat_map(|report| &report.verdicts).map(tell).collect();
    told.sort();
    told
}

/// How many requests have ended, by all of these, and how many have not.
fn counted<'r>(reports: impl IntoIterator<Item = &'r Report>) -> (u64, usize) {
    let count = |report: &Report| (report.ops.values().map(|op| op.count).sum::<u64>(), report.orphans.len());
    reports.into_iter().map(count).fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1))
}

/// That the one text tells what the logs tell.
fn is_told_alike(daemons: &[Daemon], form: Form) -> Result<(), TestCaseError> {
    let logs: Vec<Vec<Said>> = daemons.iter().map(|daemon| daemon.log()).collect();
    let plain =
        |log: &Vec<Said>| log.iter().fold(String::new(), |text, (us, line)| text + &stamp(*us) + " " + line + "\n");
    let last = logs.iter().flatten().map(|said| said.0).max();
    let apart: Vec<Report> = logs.iter().map(|log| report(&plain(log), last)).collect();
    let joined = report(&form.joined(&logs), None);
    prop_assert_eq!(told([&joined]), told(&apart), "{:?}", form);
    prop_assert_eq!(counted([&joined]), counted(&apart), "{:?}", form);
    prop_assert_eq!((joined.loss.lone_exits, joined.loss.superseded), (0, 0));
    prop_assert!(joined.notes.iter().all(|note| note.kind != "restart"), "{:?}", joined.notes);
    Ok(())
}

fn daemon() -> impl Strategy<Value = Daemon> {
    let kind = prop_oneof![Just(Kind::Seed), Just(Kind::Libfuse), Just(Kind::Rclone)];
    let trouble = prop_oneof![
        6 => Just(Trouble::None),
        1 => Just(Trouble::Read),
        1 => Just(Trouble::Release),
        1 => Just(Trouble::Silence),
    ];
    (kind, trouble, any::<u64>()).prop_map(|(kind, trouble, seed)| Daemon { kind, trouble, seed })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn what_is_said_of_each_does_not_depend_on_the_others(
        daemons in prop::collection::vec(daemon(), 2..24),
        form in prop::sample::select(&FORMS[..]),
    ) {
        is_told_alike(&daemons, form)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn threads_under_names_of_their_own_are_one_daemon(
        daemon in daemon(),
        threads in 2..6_usize,
        crossing: bool,
        numbers: bool,
    ) {
        prop_assume!(!matches!(daemon.kind, Kind::Rclone));
        let log = daemon.log();
        let (mut plain, mut split) = (String::new(), String::new());
        for (at, (us, line)) in log.iter().enumerate() {
            // Each request has two lines.
            let step = if crossing { at } else { at / 2 };
            let thread = step * 7 % 11 % threads;
            let name = if numbers { format!("nas fused[{}]", 812 + thread) } else { format!("Thread-{thread} store") };
            writeln!(plain, "{} {line}", stamp(*us)).unwrap();
            writeln!(split, "{} {name}: {line}", stamp(*us)).unwrap();
        }
        let (plain, split) = (report(&plain, None), report(&split, None));
        prop_assert_eq!(told([&split]), told([&plain]));
        prop_assert_eq!(counted([&split]), counted([&plain]));
        prop_assert_eq!((split.loss.lone_exits, split.loss.superseded), (0, 0));
    }
}

#[test]
fn three_hundred_daemons_are_told_apart_in_each_form() {
    let trouble = |n: u64| match n {
        17 => Trouble::Release,
        150 => Trouble::Read,
        n if n % 50 == 3 => Trouble::Silence,
        _ => Trouble::None,
    };
    let kind = |n: u64| [Kind::Seed, Kind::Libfuse, Kind::Rclone][n as usize % 3];
    let daemons: Vec<Daemon> =
        (0..300).map(|n| Daemon { kind: kind(n), trouble: trouble(n), seed: n * 7919 + 13 }).collect();
    for form in FORMS {
        is_told_alike(&daemons, form).unwrap_or_else(|error| panic!("{form:?}: {error}"));
    }
}

/// Who hangs writes nothing more: what time it is the others tell.
#[test]
fn tail_tells_of_one_that_is_silent_by_the_lines_of_the_others() {
    let trouble = |n: u64| if n == 3 { Trouble::Release } else { Trouble::None };
    let daemons = (0..8).map(|n| Daemon { kind: Kind::Libfuse, trouble: trouble(n), seed: n * 7919 + 13 });
    let logs: Vec<Vec<Said>> = daemons.map(Daemon::log).collect();
    let mut tail = Command::new(env!("CARGO_BIN_EXE_fsdiag"))
        .args(["tail", "--quiet", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    tail.stdin.take().unwrap().write_all(Form::Kubectl.joined(&logs).as_bytes()).unwrap();
    let output = tail.wait_with_output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains("!! lock_pileup") && told.contains("of fuse-3/mounter"), "{told}");
    assert_eq!(output.status.code(), Some(1));
}
