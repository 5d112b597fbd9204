//! Page: docs/TRIAGE-WALK.md, made of what the terminal showed.

use std::{fmt::Write as _, path::Path};

const WANTED: &str = "FSD_WRITE_WALK";
const TITLE: &str = "# A walk through a stall\n\nReal screens of a real mount with the release bug injected, written by \
                     `FSD_WRITE_WALK=1 cargo test -p fsd --features failpoints --test mount walk`; only the \
                     directories of the test have other names here where those are as long.\n";
/// Names of the same length as the directories of a test, so that columns stay where they are.
const MOUNT: &str = "/srv/video/library/films";
const ROOT: &str = "/var/lib/fsd-library";

pub(super) struct Page {
    text: String,
    root: String,
}

impl Page {
    pub(super) fn new(root: &Path) -> Self {
        Self { text: TITLE.to_owned(), root: root.display().to_string() }
    }

    /// Whether the page is to be written.
    pub(super) fn is_wanted() -> bool {
        std::env::var_os(WANTED).is_some()
    }

    pub(super) fn text(&mut self, text: &str) {
        let _ = write!(self.text, "\n{text}\n");
    }

    /// A screen as it was, without what is empty at its end.
    pub(super) fn screen(&mut self, screen: &str) {
        let mount = format!("{}/mnt", self.root);
        let named = if mount.len() == MOUNT.len() { screen.replace(&mount, MOUNT) } else { screen.to_owned() };
        let named = if self.root.len() == ROOT.len() { named.replace(&self.root, ROOT) } else { named };
        let lines: Vec<&str> = named.trim_end().lines().map(str::trim_end).collect();
        let _ = write!(self.text, "\n```text\n{}\n```\n", lines.join("\n"));
    }

    pub(super) fn write(&self) {
        if Self::is_wanted() {
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/TRIAGE-WALK.md");
            std::fs::write(file, &self.text).unwrap();
        }
    }
}
