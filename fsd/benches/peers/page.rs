//! Page: a document that tables are written into, each between two marks of its own, so that the words stay.

use std::{fs, path::PathBuf};

pub(crate) struct Page {
    dir: Option<PathBuf>,
    name: &'static str,
}

impl Page {
    /// None: tables are only printed.
    pub(crate) fn new(dir: Option<PathBuf>, name: &'static str) -> Self {
        Self { dir, name }
    }

    /// Prints the part and puts it in the place of the one before.
    pub(crate) fn show(&self, part: &str, text: &str) {
        println!("\n{text}");
        let Some(dir) = &self.dir else { return };
        let path = dir.join(self.name);
        let page = fs::read_to_string(&path).unwrap_or_default();
        fs::write(path, replaced(&page, part, text)).unwrap();
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
