//! Page: the document that the tables are written into, each between two marks of its own, so that the words stay.

use std::{fs, path::PathBuf};

const PAGE: &str = "PERFORMANCE-PEERS.md";
const PLOT: &str = "performance-peers.svg";

pub(crate) struct Page {
    dir: Option<PathBuf>,
}

impl Page {
    /// None: tables are only printed.
    pub(crate) fn new(dir: Option<PathBuf>) -> Self {
        Self { dir }
    }

    /// Prints the part and puts it in the place of the one before.
    pub(crate) fn show(&self, part: &str, text: &str) {
        println!("\n{text}");
        let Some(dir) = &self.dir else { return };
        let path = dir.join(PAGE);
        let page = fs::read_to_string(&path).unwrap_or_default();
        fs::write(path, replaced(&page, part, text)).unwrap();
    }

    pub(crate) fn plot(&self, svg: &str) {
        if let Some(dir) = &self.dir {
            fs::write(dir.join(PLOT), svg).unwrap();
        }
    }
}

fn replaced(page: &str, part: &str, text: &str) -> String {
    let (begin, end) = (format!("<!-- {part}: written by the benchmark -->\n"), format!("<!-- {part}: end -->\n"));
    let body = format!("{begin}\n{}\n\n{end}", text.trim());
    match (page.split_once(&begin), page.split_once(&end)) {
        (Some((before, _)), Some((_, after))) => format!("{before}{body}{after}"),
        _ => format!("{page}\n{body}"),
    }
}
