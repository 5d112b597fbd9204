//! Copies: a file that is given twice says nothing twice; as a second witness it would make a guess look sure.

use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
    time::SystemTime,
};

use super::file::{self, Input};

/// Leaves out what is the same as an input before it, byte for byte, and is called like it but for what copying and
/// packing make of a name. Two dumps of a process that stands still may be the same too, and together they prove what
/// one of them cannot: without times of its own a text is a copy only if the file was also changed at the same moment.
pub(super) fn leave_out(inputs: &mut Vec<Input>, problems: &mut Vec<String>) {
    let mut named: HashMap<String, Vec<usize>> = HashMap::new();
    for (at, input) in inputs.iter().enumerate() {
        if let Input::File(path) = input
            && input.can_be_read_again()
        {
            named.entry(called(path)).or_default().push(at);
        }
    }
    let mut twins: Vec<Option<usize>> = vec![None; inputs.len()];
    for alike in named.into_values().filter(|alike| alike.len() > 1) {
        let mut kept: HashMap<Vec<u8>, Vec<Look>> = HashMap::new();
        for (head, look) in alike.into_iter().filter_map(|at| Look::at(inputs, at)) {
            let times = has_times(&head);
            let others = kept.entry(head).or_default();
            twins[look.at] = others.iter().find(|other| look.is_copy_of(other, times, inputs)).map(|other| other.at);
            if twins[look.at].is_none() {
                others.push(look);
            }
        }
    }
    for (at, twin) in twins.iter().enumerate() {
        let of = twin.map(|of| inputs[of].name());
        problems.extend(of.map(|of| format!("{}: the same as {of}, and read once", inputs[at].name())));
    }
    let mut twins = twins.iter();
    inputs.retain(|_| twins.next().is_none_or(Option::is_none));
}

/// One look at a file, so that hundreds of one name are not opened again for each pair of them.
struct Look {
    at: usize,
    /// Of the text, where the file is the text itself.
    size: Option<u64>,
    changed: Option<SystemTime>,
}

impl Look {
    const HEAD: u64 = 0x4000;

    /// What the text begins with, and the rest of what is seen of an input; None if it is empty or cannot be read.
    fn at(inputs: &[Input], at: usize) -> Option<(Vec<u8>, Self)> {
        let input = &inputs[at];
        let Input::File(path) = input else { return None };
        let mut head = Vec::new();
        input.open().ok()?.take(Self::HEAD).read_to_end(&mut head).ok().filter(|len| *len > 0)?;
        let size = input.open_at(1).ok().and_then(|_| input.size());
        Some((head, Self { at, size, changed: path.metadata().and_then(|meta| meta.modified()).ok() }))
    }

    /// Both begin alike.
    fn is_copy_of(&self, other: &Self, times: bool, inputs: &[Input]) -> bool {
        let long = self.size.zip(other.size).is_none_or(|(own, other)| own == other);
        let moment = times || self.changed.is_some() && self.changed == other.changed;
        long && moment && are_same(&inputs[self.at], &inputs[other.at])
    }
}

/// Whether a text tells of times, as logs and some dumps do: `10:35:32`.
fn has_times(text: &[u8]) -> bool {
    let is_part = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_digit() || *b == b':');
    let is_clock = |time: &[u8]| {
        let shape = time.iter().enumerate().all(|(i, b)| if i % 3 == 2 { *b == b':' } else { b.is_ascii_digit() });
        shape && time[3] < b'6' && time[6] < b'6'
    };
    let alone = |at: usize| !is_part(at.checked_sub(1).and_then(|at| text.get(at))) && !is_part(text.get(at + 8));
    text.windows(8).enumerate().any(|(at, time)| is_clock(time) && alone(at))
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

    #[test]
    fn a_text_has_times_where_a_clock_stands_in_it() {
        for (text, has) in [
            ("Nov 22 10:35:32 nas fused[7]: unique: 2", true),
            ("2026-11-30T06:20:29.123Z a", true),
            ("10:35:32", true),
            ("  at ./src/panicking.rs:689:55", false),
            ("link 00:1b:44:11:3a:b7, 10:00:00:00", false),
            ("goroutine 7 [chan receive, 5 minutes]:", false),
        ] {
            assert_eq!(has_times(text.as_bytes()), has, "{text}");
        }
    }
}
