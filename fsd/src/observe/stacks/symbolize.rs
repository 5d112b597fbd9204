//! The helper process: replaces a dump's addresses by names. It runs apart because finding names allocates.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::Duration,
};

use fsd_events::stacks::{self, Symbols};
use fsd_unwind::symbols::Symbolizer;

/// After this long the helper gives up: a dump without names is a dump.
const LIMIT: Duration = Duration::from_secs(10);

/// Why a dump has no names.
#[derive(Debug, thiserror::Error)]
pub enum NameError {
    #[error("cannot read or replace {0}")]
    File(PathBuf, #[source] io::Error),
    #[error("{0} is not a whole stack dump: {1}")]
    Damaged(PathBuf, String),
    #[error("finding names took more than {} s", LIMIT.as_secs())]
    TooSlow,
}

/// Adds names to the dump and replaces the file by rename; one that has names already is left alone.
///
/// # Errors
/// See [`NameError`]; the file is as it was then.
pub fn symbolize(file: &Path) -> Result<(), NameError> {
    let (done, wait) = mpsc::channel();
    let path = file.to_path_buf();
    let worker = thread::Builder::new().name("names".into()).spawn(move || {
        let _gone = done.send(replace(&path));
    });
    worker.map_err(|e| NameError::File(file.to_path_buf(), e))?;
    wait.recv_timeout(LIMIT).unwrap_or(Err(NameError::TooSlow))
}

fn replace(path: &Path) -> Result<(), NameError> {
    let failed = |e| NameError::File(path.to_path_buf(), e);
    let text = fs::read_to_string(path).map_err(failed)?;
    let read = stacks::read(&text);
    if !read.is_sound() {
        let first = read.problems.first().map_or_else(|| String::from("it is cut"), ToString::to_string);
        return Err(NameError::Damaged(path.to_path_buf(), first));
    }
    let mut dump = read.dump;
    if dump.header.symbols == Symbols::Full {
        return Ok(());
    }
    Symbolizer::new(Vec::new()).name(&mut dump);
    let mut named = String::with_capacity(2 * text.len());
    // A String takes everything.
    let _always = stacks::write(&dump, &mut named);
    let beside = path.with_extension("names");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(&beside).and_then(|mut file| file.write_all(named.as_bytes())).map_err(failed)?;
    fs::rename(&beside, path).map_err(failed)
}
