//! Sealed: what is no text and is not unpacked here, told by its first bytes, with what to do about it.

/// So many bytes tell; archives of tar say late what they are.
pub(super) const HEAD: usize = 262;

/// Why such a file cannot be read. None: it may be text.
pub(super) fn why(head: &[u8]) -> Option<&'static str> {
    const PACKED: &str = "an archive, which is not read: unpack it and name the directory";
    const PICTURE: &str = "a picture, which is not read: the text itself is needed";
    let kinds: [(&[u8], &str); 17] = [
        (b"\xfd7zXZ\0", "packed with xz, which is not read: unpack it first (unxz)"),
        (b"BZh", "packed with bzip2, which is not read: unpack it first (bunzip2)"),
        (b"\x04\x22\x4d\x18", "packed with lz4, which is not read: unpack it first (unlz4)"),
        (b"LZIP", "packed with lzip, which is not read: unpack it first (lzip -d)"),
        (b"PK\x03\x04", PACKED),
        (b"7z\xbc\xaf\x27\x1c", PACKED),
        (b"Rar!\x1a\x07", PACKED),
        (b"!<arch>\n", PACKED),
        (
            b"LPKSHHRH",
            "a journal of systemd in its own form: give what `journalctl --file NAME -o short-iso-precise` prints",
        ),
        (b"\x17\x08\x44tracing", "a recording of trace-cmd: give what `trace-cmd report NAME` prints"),
        (b"PERFILE2", "a recording of perf: give what `perf script -i NAME` prints"),
        (b"\x7fELF", "a program or a core: give what `gdb -batch -ex 'thread apply all bt' PROGRAM CORE` prints"),
        (b"\x89PNG", PICTURE),
        (b"\xff\xd8\xff", PICTURE),
        (b"GIF8", PICTURE),
        (b"%PDF-", "a PDF, which is not read: the text itself is needed"),
        (b"{\\rtf", "a text of a word processor, which is not read: save it as plain text"),
    ];
    let is_bzip2 = |start: &[u8]| start != b"BZh" || head.get(4..10) == Some(b"\x31\x41\x59\x26\x53\x59");
    let known = kinds.iter().find(|(start, _)| head.starts_with(start) && is_bzip2(start));
    let tar = head.get(257..262) == Some(b"ustar");
    known.map(|(_, why)| *why).or(tar.then_some(PACKED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_is_told_by_its_first_bytes() {
        let mut tar = [0; HEAD];
        tar[257..].copy_from_slice(b"ustar");
        for head in [&b"PK\x03\x04"[..], b"BZh91AY&SY", b"\x7fELF\x02", b"LPKSHHRH", &tar] {
            assert!(why(head).is_some(), "{head:?}");
        }
        for head in [&b""[..], b"BZh", b"BZhello world", b"2026-11-22 x", b"PKI: x", &[0; HEAD]] {
            assert_eq!(why(head), None, "{head:?}");
        }
    }
}
