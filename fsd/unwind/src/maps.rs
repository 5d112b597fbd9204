//! The address space of a process, as `/proc/<pid>/maps` lists it.

/// One line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping<'a> {
    pub start: u64,
    pub end: u64,
    pub readable: bool,
    pub writable: bool,
    /// Offset into the file.
    pub offset: u64,
    /// Empty: anonymous.
    pub path: &'a [u8],
}

/// Every mapping in the text, lowest first; lines that make no sense are left out.
pub fn parse(text: &[u8]) -> impl Iterator<Item = Mapping<'_>> {
    text.split(|b| *b == b'\n').filter_map(line)
}

fn line(line: &[u8]) -> Option<Mapping<'_>> {
    let mut fields = line.splitn(6, |b| *b == b' ');
    let (start, end) = split(fields.next()?, b'-')?;
    let flags = fields.next()?;
    let offset = hex(fields.next()?)?;
    fields.next()?;
    fields.next()?;
    let path = fields.next().unwrap_or_default().trim_ascii();
    Some(Mapping {
        start: hex(start)?,
        end: hex(end)?,
        readable: flags.first() == Some(&b'r'),
        writable: flags.get(1) == Some(&b'w'),
        offset,
        path,
    })
}

fn split(text: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let i = text.iter().position(|b| *b == at)?;
    Some((&text[..i], &text[i + 1..]))
}

/// A hexadecimal number without `0x`.
pub(crate) fn hex(text: &[u8]) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_with_and_without_a_path_are_read() {
        let text = b"55d0-55e0 r-xp 00001000 08:01 42                         /usr/bin/a b\n\
                     7f00-7f80 rw-p 00000000 00:00 0 \nnoise\n";
        let all: Vec<_> = parse(text).collect();
        assert_eq!(all.len(), 2);
        assert_eq!((all[0].start, all[0].offset, all[0].path), (0x55d0, 0x1000, &b"/usr/bin/a b"[..]));
        assert!(all[0].readable && !all[0].writable && all[1].writable);
        assert_eq!(all[1].path, b"");
    }
}
