//! Local directories: links are followed inside the tree only.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use crate::data::index;

use super::{Listed, ListedKind, Place, SourceError, local_validator};

/// Lists `dir` below `root`, which is canonical. Blocks.
pub(super) fn list(root: &Path, dir: &str) -> Result<Vec<Listed>, SourceError> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => SourceError::NoDirectory(dir.to_owned()),
        _ => SourceError::Local { at: root.join(dir).display().to_string(), why: error.to_string() },
    };
    let at = inside(root, &root.join(dir)).map_err(failed)?;
    let mut listed = Vec::new();
    for entry in fs::read_dir(at).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let Some(name) = name.to_str().and_then(index::component) else { continue };
        // What is gone, unreadable or outside is not shown; the others are.
        if let Ok(Some(kind)) = look(root, &entry.path()) {
            listed.push(Listed { name: name.to_owned(), kind });
        }
    }
    Ok(listed)
}

/// The real path, if it lies in the tree.
fn inside(root: &Path, path: &Path) -> io::Result<PathBuf> {
    let real = path.canonicalize()?;
    if real.starts_with(root) { Ok(real) } else { Err(io::ErrorKind::NotFound.into()) }
}

fn look(root: &Path, path: &Path) -> io::Result<Option<ListedKind>> {
    let link = path.symlink_metadata()?.is_symlink();
    let real = if link { inside(root, path)? } else { path.to_owned() };
    let meta = real.symlink_metadata()?;
    if meta.is_dir() {
        // A link to a directory above itself would make the tree endless.
        let endless = link && path.starts_with(&real);
        return Ok((!endless).then_some(ListedKind::Dir));
    }
    if !meta.is_file() {
        return Ok(None);
    }
    let modified = meta.modified()?.duration_since(UNIX_EPOCH).ok();
    let modified_us = modified.and_then(|since| u64::try_from(since.as_micros()).ok());
    let validator = local_validator(&meta);
    Ok(Some(ListedKind::File { size: Some(meta.len()), validator, modified_us, place: Place::Local(real) }))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_do_not_lead_out_of_the_tree() {
        let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let root = dir.path().canonicalize().unwrap();
        fs::write(outside.path().join("secret"), "x").unwrap();
        fs::write(root.join("file"), "hello").unwrap();
        fs::create_dir_all(root.join("sub/deep")).unwrap();
        symlink(outside.path().join("secret"), root.join("out")).unwrap();
        symlink(outside.path(), root.join("outdir")).unwrap();
        symlink("../../file", root.join("sub/deep/in")).unwrap();
        symlink("..", root.join("sub/up")).unwrap();
        symlink("nowhere", root.join("dangling")).unwrap();
        let names = |dir: &str| {
            let mut names: Vec<String> = list(&root, dir).unwrap().into_iter().map(|entry| entry.name).collect();
            names.sort_unstable();
            names
        };
        assert_eq!(names(""), ["file", "sub"]);
        assert_eq!(names("sub"), ["deep"]);
        assert_eq!(names("sub/deep"), ["in"]);
        for dir in ["outdir", "..", "sub/../..", "missing", "file"] {
            assert!(matches!(list(&root, dir), Err(SourceError::NoDirectory(_))), "{dir}");
        }
    }
}
