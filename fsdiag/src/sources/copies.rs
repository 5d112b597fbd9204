//! Copies: a file that is given twice says nothing twice; as a second witness it would make a guess look sure.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
};

use super::file::{self, Input};

/// Leaves out what is the same as an input before it, byte for byte, and is called like it but for what copying and
/// packing make of a name. Two dumps of a process that stands still may be the same, but are called otherwise.
pub(super) fn leave_out(inputs: &mut Vec<Input>, problems: &mut Vec<String>) {
    let mut kept: Vec<(String, Input)> = Vec::new();
    for input in std::mem::take(inputs) {
        let name = match &input {
            Input::File(path) if input.can_be_read_again() => called(path),
            _ => String::new(),
        };
        let twin = kept.iter().find(|(other, of)| !name.is_empty() && *other == name && are_same(of, &input));
        match twin {
            Some((_, of)) => problems.push(format!("{}: the same as {}, and read once", input.name(), of.name())),
            None => kept.push((name, input)),
        }
    }
    inputs.extend(kept.into_iter().map(|(_, input)| input));
}

/// What it was called before it was copied or packed.
fn called(path: &Path) -> String {
    let name = file::unpacked(path);
    let name = name.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let name = name.strip_prefix("copy of ").unwrap_or(&name);
    let name = [".bak", ".orig", ".copy", "~"].iter().fold(name, |name, end| name.strip_suffix(end).unwrap_or(name));
    let (stem, end) = name.rsplit_once('.').unwrap_or((name, ""));
    let stem =
        [" - copy", " copy", "-copy", "_copy"].iter().fold(stem, |stem, end| stem.strip_suffix(end).unwrap_or(stem));
    let counted = stem.strip_suffix(')').and_then(|stem| stem.rsplit_once(" ("));
    let counted = counted.filter(|(_, number)| number.bytes().all(|b| b.is_ascii_digit()));
    let stem = counted.map_or(stem, |(stem, _)| stem);
    if end.is_empty() { stem.to_owned() } else { format!("{stem}.{end}") }
}

/// Whether both give the same text, which is not empty.
fn are_same(a: &Input, b: &Input) -> bool {
    let (Ok(a), Ok(b)) = (a.open(), b.open()) else { return false };
    let (mut a, mut b) = (BufReader::new(a), BufReader::new(b));
    let mut any = false;
    loop {
        let (Ok(left), Ok(right)) = (a.fill_buf(), b.fill_buf()) else { return false };
        let len = left.len().min(right.len());
        if len == 0 {
            return any && left.is_empty() && right.is_empty();
        }
        if left[..len] != right[..len] {
            return false;
        }
        any = true;
        a.consume(len);
        b.consume(len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_called_like_what_it_is_a_copy_of() {
        for name in [
            "a/fuse.log",
            "b/fuse.log",
            "fuse.log.gz",
            "Copy of fuse.log",
            "fuse - Copy.log",
            "fuse (1).log",
            "fuse.log.bak",
            "fuse.log~",
        ] {
            assert_eq!(called(Path::new(name)), "fuse.log", "{name}");
        }
        assert_ne!(called(Path::new("gdb-1.txt")), called(Path::new("gdb-2.txt")));
        assert_ne!(called(Path::new("log.1")), called(Path::new("log")));
    }
}
