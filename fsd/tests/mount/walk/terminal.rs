//! Terminal: a shell in tmux that a test types into.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use super::super::support::*;

/// `isolate` takes minutes.
const LIMIT: Duration = Duration::from_secs(400);
const SIZE: [&str; 4] = ["-x", "100", "-y", "30"];

/// Gone with its server when dropped.
pub(super) struct Terminal(String);

impl Terminal {
    /// A shell with the directories of this home, in which `fsdiag` is found.
    pub(super) fn start(home: &Home, programs: &Path, dir: &Path) -> Self {
        let terminal = Self(format!("fsd-walk-{}", std::process::id()));
        let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
        let mut tmux = home.command(Path::new("tmux"));
        tmux.args(["-L", &terminal.0, "-f", "/dev/null", "new-session", "-d", "-s", "t"]).args(SIZE).arg("sh");
        tmux.env("PATH", path).env("LANG", "C.UTF-8").env("PS1", "$ ").env_remove("ENV").current_dir(dir);
        let started = tmux.stderr(Stdio::null()).status().unwrap();
        assert!(started.success(), "tmux did not start");
        terminal
    }

    /// Presses keys, as tmux names them.
    pub(super) fn press(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys", "-t", "t"], keys].concat());
    }

    pub(super) fn type_text(&self, text: &str) {
        self.tmux(&["send-keys", "-t", "t", "-l", text]);
    }

    /// Types a line into the shell.
    pub(super) fn line(&self, text: &str) {
        self.type_text(text);
        self.press(&["Enter"]);
    }

    /// The screen as soon as it shows all of that.
    pub(super) fn until(&self, words: &[&str]) -> String {
        self.until_it(&words.join(", "), |screen| words.iter().all(|word| screen.contains(word)))
    }

    pub(super) fn until_it(&self, what: &str, is_it: impl Fn(&str) -> bool) -> String {
        let end = now() + LIMIT;
        loop {
            let screen = self.tmux(&["capture-pane", "-p", "-t", "t"]);
            if is_it(&screen) {
                return screen;
            }
            assert!(now() < end, "`{what}` never came:\n{screen}");
            std::thread::park_timeout(Duration::from_millis(100));
        }
    }

    fn tmux(&self, args: &[&str]) -> String {
        let output = Command::new("tmux").arg("-L").arg(&self.0).args(args).output().unwrap();
        text(&output.stdout)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}
