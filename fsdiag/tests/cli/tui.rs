//! The interactive screens, as text and in a real terminal.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use fsdiag::tui::{
    self, Options,
    keys::{KEYS, Keymap},
    view::theme::{Palette, Theme},
};

const FSDIAG: &str = env!("CARGO_BIN_EXE_fsdiag");
/// Set in the process that is to panic, by the test that watches it.
const PANIC: &str = "FSDIAG_TEST_PANIC";

fn testdata(file: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata");
    root.join(file).display().to_string()
}

fn plain(args: &[&str]) -> String {
    let output = Command::new(FSDIAG).args(["tui", "--plain"]).args(args).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn plain_text_says_the_verdict_and_every_screen() {
    let text = plain(&[&testdata("corpus/c48/fusestream.log")]);
    for word in ["recorded", "lock_pileup", "Release #44", "== Locks ==", "== Timeline ==", "what next"] {
        assert!(text.contains(word), "{word} is missing in\n{text}");
    }
}

#[test]
fn a_moment_of_a_recording_is_shown_as_it_was() {
    let file = testdata("events/v1/release-recovered.jsonl");
    let at = |time: &str| plain(&["--at", time, "--stalled-after", "3", &file]);
    let (before, during) = (at("2026-11-24T01:53:26Z"), at("2026-11-24T01:53:32Z"));
    assert!(before.contains("healthy"), "{before}");
    assert!(during.contains("! STALL") && during.contains("Release"), "{during}");
    assert!(plain(&["--stalled-after", "3", &file]).contains("RECOVERED"));
}

#[test]
fn a_source_that_is_not_there_is_said_and_nothing_hangs() {
    assert!(plain(&["/no/such/file"]).contains("is not there"));
    let output = Command::new(FSDIAG).args(["tui", "--replay"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

#[test]
fn the_first_line_calls_nothing_healthy_of_which_nothing_is_told() {
    let one_sided = "formats/mountpoint-s3/stalled-read.log";
    for file in ["hints/no-log-and-no-trouble.txt", "deaths/client.txt", one_sided] {
        let text = plain(&[&testdata(file)]);
        assert!(text.contains("~ cannot tell whether anything hangs") && !text.contains("healthy"), "{file}: {text}");
    }
}

#[test]
fn the_page_lists_every_key() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/SCREENS.md");
    let page = std::fs::read_to_string(page).unwrap();
    for row in KEYS {
        let keys: Vec<String> = row.keys.iter().map(|key| format!("`{key}`")).collect();
        let line = format!("| `{}` | {} | {} |", row.name, keys.join(" "), row.help);
        assert!(page.contains(&line), "docs/SCREENS.md lacks {line}");
    }
}

/// A terminal that a test types into.
pub(super) struct Terminal(String);

impl Terminal {
    /// None, with a line that says so, where there is no tmux.
    pub(super) fn start(name: &str, command: &str) -> Option<Self> {
        let session = format!("fsdiag-{name}-{}", std::process::id());
        let started = Command::new("tmux")
            .args(["-L", &session, "-f", "/dev/null", "new-session", "-d", "-s", "t", "-x", "100", "-y", "30", command])
            .env("LANG", "C.UTF-8")
            .stderr(Stdio::null())
            .status();
        if started.is_ok_and(|status| status.success()) {
            return Some(Self(session));
        }
        // Not `println`: the harness would hide it.
        drop(writeln!(std::io::stderr(), "SKIP terminal test (found no tmux, needs tmux)"));
        None
    }

    pub(super) fn tmux(&self, args: &[&str]) -> String {
        let output = Command::new("tmux").arg("-L").arg(&self.0).args(args).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub(super) fn type_keys(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys", "-t", "t"], keys].concat());
    }

    pub(super) fn resize(&self, width: &str, height: &str) {
        self.tmux(&["resize-window", "-t", "t", "-x", width, "-y", height]);
    }

    /// The screen as soon as `word` is there.
    pub(super) fn until(&self, word: &str) -> String {
        self.until_it(word, |screen| screen.contains(word))
    }

    /// The screen as soon as it is what `is_it` waits for; panics with the screen when it never is.
    pub(super) fn until_it(&self, what: &str, is_it: impl Fn(&str) -> bool) -> String {
        let mut screen = String::new();
        for _ in 0..600 {
            screen = self.tmux(&["capture-pane", "-p", "-t", "t"]);
            if is_it(&screen) {
                return screen;
            }
            fsdiag::sources::pause(50);
        }
        panic!("`{what}` never came:\n{screen}");
    }

    /// The verdict on the normal screen, the others gone.
    pub(super) fn until_normal(&self) {
        let normal = |screen: &str| screen.contains("STALL") && !screen.contains("1 Overview 2 Operations");
        self.until_it("the verdict on the normal screen", normal);
    }

    /// What the terminal is set to, as the shell in it says.
    pub(super) fn until_sane(&self) {
        self.type_keys(&["stty -a | tr ' ' '\\n' | grep -c -x -e icanon -e echo", "Enter"]);
        self.until_it("a terminal that echoes and waits for lines", |screen| screen.lines().any(|l| l.trim() == "2"));
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

fn pileup() -> String {
    testdata("corpus/c48/fusestream.log")
}

#[test]
fn a_person_walks_through_a_stall_and_the_verdict_stays_on_the_screen() {
    let Some(terminal) = Terminal::start("walk", &format!("{FSDIAG} tui {}; cat", pileup())) else { return };
    terminal.until("lock_pileup");
    terminal.type_keys(&["Enter"]);
    terminal.until("what next");
    terminal.type_keys(&["Escape", "5"]);
    terminal.until("a column a second");
    terminal.type_keys(&["?"]);
    terminal.until("evidence of the verdict");
    terminal.type_keys(&["q", "q", "q"]);
    terminal.until_normal();
}

#[test]
fn every_size_is_used_and_the_smallest_still_says_the_verdict() {
    let Some(terminal) = Terminal::start("sizes", &format!("{FSDIAG} tui {}; cat", pileup())) else { return };
    terminal.until("8 Act");
    terminal.resize("60", "15");
    terminal.until_it("short tabs", |screen| screen.contains("2 Ops 3 Locks") && screen.contains("8 Act"));
    terminal.resize("50", "12");
    terminal.until("need 60x15");
    terminal.resize("200", "50");
    terminal.until_it("all columns", |screen| screen.contains("thread") && screen.contains("1 Overview"));
}

#[test]
fn it_goes_to_the_background_and_comes_back() {
    let Some(terminal) = Terminal::start("fg", "sh -i") else { return };
    terminal.type_keys(&["PS1='shell> '", "Enter", &format!("{FSDIAG} tui {}", pileup()), "Enter"]);
    terminal.until("lock_pileup");
    terminal.type_keys(&["C-z"]);
    // What is typed before the shell has its terminal back may be lost.
    terminal.until_it("the prompt", |screen| screen.contains("Stopped") && screen.trim_end().ends_with("shell>"));
    terminal.type_keys(&["clear; fg", "Enter"]);
    terminal.until("1 Overview");
    terminal.type_keys(&["q"]);
    terminal.until_normal();
    terminal.until_it("the prompt", |screen| screen.trim_end().ends_with("shell>"));
    terminal.until_sane();
}

#[test]
fn a_signal_gives_the_terminal_back_and_the_verdict_stays() {
    let Some(terminal) = Terminal::start("term", "sh -i") else { return };
    terminal.type_keys(&["PS1='shell> '", "Enter"]);
    terminal.type_keys(&[&format!("{FSDIAG} tui {}", pileup()), "Enter"]);
    terminal.until("lock_pileup");
    let shell = terminal.tmux(&["display-message", "-p", "-t", "t", "#{pane_pid}"]);
    let shell = shell.trim();
    let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).unwrap();
    assert!(Command::new("kill").arg("-TERM").args(children.split_whitespace()).status().unwrap().success());
    terminal.until_normal();
    // What is typed before the shell has its terminal back may be lost.
    terminal.until_it("the prompt", |screen| screen.trim_end().ends_with("shell>"));
    terminal.until_sane();
}

#[test]
fn a_panic_anywhere_gives_the_terminal_back_before_it_is_told() {
    if std::env::var_os(PANIC).is_some() {
        return panics();
    }
    let program = std::env::current_exe().unwrap();
    let test = "tui::a_panic_anywhere_gives_the_terminal_back_before_it_is_told";
    let Some(terminal) = Terminal::start("panic", "sh -i") else { return };
    terminal.type_keys(&["PS1='shell> '", "Enter", "clear", "Enter"]);
    let command = format!("{PANIC}=1 {} --exact {test} --nocapture", program.display());
    terminal.type_keys(&[&command, "Enter"]);
    terminal.until_it("what the panic says", |screen| {
        let over = screen.trim_end().ends_with("shell>") && screen.contains("test result");
        over && !screen.contains("1 Overview 2 Operations")
    });
    terminal.until_sane();
}

/// The screens, with a source that panics.
fn panics() {
    let theme = Theme { palette: Palette::None, ascii: true };
    let options = Options { read_only: true, mouse: true, keys: Keymap::default(), theme, said: Vec::new() };
    let ended = tui::run(options, |turns| {
        let (wishes, wanted) = std::sync::mpsc::channel::<tui::Wish>();
        let work = move || {
            let source = || -> () {
                // Not before the screens are there: the loop has drawn and wishes something.
                let _ = wanted.recv_timeout(std::time::Duration::from_millis(500));
                panic!("on purpose");
            };
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(source));
            let _ = turns.send(tui::turn::Turn::Signal);
        };
        drop(std::thread::Builder::new().spawn(work));
        wishes
    });
    drop(ended);
}

#[test]
fn with_read_only_nothing_can_be_done_and_other_keys_are_obeyed() {
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys.toml");
    std::fs::write(&keys, "next-screen = [\"x\"]\nfly = [\"y\"]\n").unwrap();
    let command = format!("{FSDIAG} tui --read-only --keys {} {}; cat", keys.display(), pileup());
    let Some(terminal) = Terminal::start("keys", &command) else { return };
    terminal.until("no action is called `fly`");
    terminal.type_keys(&["Escape", "x"]);
    terminal.until("waits for");
    terminal.type_keys(&["8"]);
    terminal.until("acting is off (--read-only)");
}

#[test]
fn a_recording_is_paused_stepped_and_played_to_its_stall() {
    let file = testdata("events/v1/release-recovered.jsonl");
    let command = format!("{FSDIAG} tui --replay --stalled-after 3 {file}; cat");
    let Some(terminal) = Terminal::start("replay", &command) else { return };
    terminal.until("replay 1x");
    terminal.type_keys(&["Space"]);
    terminal.until("PAUSED 1x");
    terminal.type_keys(&["e"]);
    terminal.until("! STALL");
    terminal.type_keys(&["]", "]", "]", "]", "]", "]", "Space"]);
    terminal.until("RECOVERED");
    terminal.type_keys(&["q"]);
    terminal.until_it("the normal screen", |screen| !screen.contains("1 Overview 2 Operations"));
}
