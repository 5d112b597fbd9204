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

use fsd_events::{
    layout,
    names::Names,
    ring::tables::decode_tasks,
    stacks::{self, StackDump, Symbols},
};
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

/// Adds names to the dump and replaces the file by rename; one that has names already is left alone. Paths come from
/// the tables of the run in `tables`, a directory below the one that has the mount's name table.
///
/// # Errors
/// See [`NameError`]; the file is as it was then.
pub fn symbolize(file: &Path, tables: Option<&Path>) -> Result<(), NameError> {
    let (done, wait) = mpsc::channel();
    let path = file.to_path_buf();
    let tables = tables.map(Path::to_path_buf);
    let worker = thread::Builder::new().name("names".into()).spawn(move || {
        let _gone = done.send(replace(&path, tables.as_deref()));
    });
    worker.map_err(|e| NameError::File(file.to_path_buf(), e))?;
    wait.recv_timeout(LIMIT).unwrap_or(Err(NameError::TooSlow))
}

fn replace(path: &Path, tables: Option<&Path>) -> Result<(), NameError> {
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
    if let Some(tables) = tables {
        add_paths(&mut dump, tables);
        // Names take longer, and whoever asked may read the file now.
        write(path, &dump, text.len())?;
    }
    Symbolizer::new(Vec::new()).name(&mut dump);
    write(path, &dump, text.len())
}

/// Replaces the file, which is whole at every moment.
fn write(path: &Path, dump: &StackDump<'_>, about: usize) -> Result<(), NameError> {
    let failed = |e| NameError::File(path.to_path_buf(), e);
    let mut named = String::with_capacity(2 * about);
    // A String takes everything.
    let _always = stacks::write(dump, &mut named);
    let beside = path.with_extension("names");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(&beside).and_then(|mut file| file.write_all(named.as_bytes())).map_err(failed)?;
    fs::rename(&beside, path).map_err(failed)
}

/// The dumper asks nobody for names; a moment later the tables still have them.
fn add_paths(dump: &mut StackDump<'_>, tables: &Path) {
    let names =
        tables.parent().and_then(|mount| Names::read_from(fs::File::open(mount.join(layout::NAMES)).ok()?).ok());
    for op in dump.ops.iter_mut().filter(|op| op.path.is_none()) {
        op.path = names.as_ref().and_then(|names| names.path(op.ino)).map(Into::into);
    }
    let tasks = fs::read(tables.join(layout::TASKS)).ok().and_then(|bytes| decode_tasks(&bytes)).unwrap_or_default();
    for task in dump.tasks.iter_mut().filter(|task| task.path.is_none()) {
        let row = tasks.iter().find(|(row, path)| row.id == task.id && !path.is_empty());
        task.path = row.map(|(_, path)| path.clone().into());
    }
}
