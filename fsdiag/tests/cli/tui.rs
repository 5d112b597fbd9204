//! The interactive screens, as text and in a real terminal.

use std::{
    path::Path,
    process::{Command, Stdio},
};

const FSDIAG: &str = env!("CARGO_BIN_EXE_fsdiag");

fn corpus(file: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/corpus");
    root.join(file).display().to_string()
}

#[test]
fn plain_text_says_the_verdict_and_every_screen() {
    let output = Command::new(FSDIAG).args(["tui", "--plain", &corpus("c48/fusestream.log")]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    for word in ["recorded", "lock_pileup", "Release #44", "== Locks ==", "== Timeline ==", "what next"] {
        assert!(text.contains(word), "{word} is missing in\n{text}");
    }
}

#[test]
fn a_source_that_is_not_there_is_said_and_nothing_hangs() {
    let output = Command::new(FSDIAG).args(["tui", "--plain", "/no/such/file"]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("is not there"), "{output:?}");
}

/// A terminal that a test types into.
struct Terminal(String);

impl Terminal {
    fn start(name: &str, command: &str) -> Option<Self> {
        let session = format!("fsdiag-{name}-{}", std::process::id());
        let started = Command::new("tmux")
            .args(["-L", &session, "new-session", "-d", "-s", "t", "-x", "100", "-y", "30", command])
            .env("LANG", "C.UTF-8")
            .stderr(Stdio::null())
            .status();
        started.ok().filter(std::process::ExitStatus::success).map(|_| Self(session))
    }

    fn tmux(&self, args: &[&str]) -> String {
        let output = Command::new("tmux").arg("-L").arg(&self.0).args(args).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn type_keys(&self, keys: &[&str]) {
        let args: Vec<&str> = ["send-keys", "-t", "t"].iter().chain(keys).copied().collect();
        self.tmux(&args);
    }

    /// The screen once it shows `word`; panics with the screen when it never does.
    /// The screen as soon as `word` is there.
    fn until(&self, word: &str) -> String {
        self.until_it(word, |screen| screen.contains(word))
    }

    /// The screen as soon as it is what `is_it` waits for.
    fn until_it(&self, what: &str, is_it: impl Fn(&str) -> bool) -> String {
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
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

#[test]
fn a_person_walks_through_a_stall_and_the_verdict_stays_on_the_screen() {
    let command = format!("{FSDIAG} tui {}; cat", corpus("c48/fusestream.log"));
    let Some(terminal) = Terminal::start("walk", &command) else {
        println!("SKIP terminal test (found no tmux, needs tmux)");
        return;
    };
    terminal.until("lock_pileup");
    terminal.type_keys(&["Enter"]);
    terminal.until("what next");
    terminal.type_keys(&["Escape", "5"]);
    terminal.until("slowest in each second");
    terminal.type_keys(&["?"]);
    terminal.until("evidence of the verdict");
    terminal.type_keys(&["q", "q", "q"]);
    let normal = |screen: &str| screen.contains("STALL") && !screen.contains("1 Overview 2 Operations");
    terminal.until_it("the verdict on the normal screen", normal);
}
