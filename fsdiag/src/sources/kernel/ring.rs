//! Ring pages: the kernel's raw trace pages, decoded with the field offsets that its own `format` files give.

/// The low bits of the commit word are the length of the data.
const COMMIT_LENGTH: u64 = 0xf_ffff;
/// Events were lost before this page.
const MISSED: u64 = 1 << 31;

/// Where a page keeps what, from `events/header_page`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    pub commit: Field,
    pub data: Field,
}

/// A field of a record or page header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    pub offset: usize,
    pub size: usize,
}

impl Field {
    /// The number in these bytes, extended with zeros; None when they are too short.
    pub fn get(self, bytes: &[u8]) -> Option<u64> {
        let raw = bytes.get(self.offset..self.offset.checked_add(self.size)?)?;
        let mut word = [0; 8];
        word.get_mut(..raw.len())?.copy_from_slice(raw);
        Some(u64::from_le_bytes(word))
    }
}

/// Reads a field from the text of a `format` or `header_page` file.
pub fn field(text: &str, name: &str) -> Option<Field> {
    text.lines().find_map(|line| {
        let mut parts = line.trim().strip_prefix("field:")?.split(';');
        let mut declared = parts.next()?.split(['[', ' ', '\t']).filter(|w| !w.is_empty() && !w.ends_with(']'));
        if declared.next_back()? != name {
            return None;
        }
        let number = |part: Option<&str>, label: &str| part?.trim().strip_prefix(label)?.parse().ok();
        Some(Field { offset: number(parts.next(), "offset:")?, size: number(parts.next(), "size:")? })
    })
}

/// Whether events were lost before a page, and what is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decoded<'a> {
    pub lost: bool,
    /// Time stamp in nanoseconds and payload of each record.
    pub records: Vec<(u64, &'a [u8])>,
}

/// Decodes one page; a page that is cut off or damaged gives what came before the damage.
pub fn decode(page: &[u8], header: Page) -> Decoded<'_> {
    let time = Field { offset: 0, size: 8 }.get(page);
    let commit = header.commit.get(page);
    let (Some(mut time), Some(commit)) = (time, commit) else { return Decoded::default() };
    let data = page.get(header.data.offset..).unwrap_or_default();
    let length = usize::try_from(commit & COMMIT_LENGTH).unwrap_or(0);
    let data = data.get(..length).unwrap_or(data);
    let mut out = Decoded { lost: commit & MISSED != 0, records: Vec::new() };
    let mut at = 0;
    while let Some(record) = record(data, at, time) {
        time = record.time;
        out.records.extend(record.payload.map(|payload| (time, payload)));
        at += record.length;
    }
    out
}

struct Record<'a> {
    time: u64,
    payload: Option<&'a [u8]>,
    length: usize,
}

fn record(data: &[u8], at: usize, time: u64) -> Option<Record<'_>> {
    let word = |at: usize| Some(u32::from_le_bytes(data.get(at..at.checked_add(4)?)?.try_into().ok()?));
    let head = word(at)?;
    let (kind, delta) = (head & 0x1f, u64::from(head >> 5));
    let stepped = time.wrapping_add(delta);
    let none = |time, length| Some(Record { time, payload: None, length });
    match kind {
        // The length is a word of its own, and counts that word.
        0 => {
            let length = usize::try_from(word(at + 4)?).ok().filter(|n| *n >= 4)?;
            let payload = data.get(at + 8..(at + 4).checked_add(length)?)?;
            Some(Record { time: stepped, payload: Some(payload), length: 4 + length.next_multiple_of(4) })
        }
        1..=28 => {
            let length = kind as usize * 4;
            let payload = data.get(at + 4..at + 4 + length)?;
            Some(Record { time: stepped, payload: Some(payload), length: 4 + length })
        }
        // Padding: without a delta the rest of the page is empty.
        29 if delta == 0 => None,
        29 => none(stepped, 4 + usize::try_from(word(at + 4)?).ok()?.max(4)),
        30 => none(stepped.wrapping_add(u64::from(word(at + 4)?) << 27), 8),
        _ => none(delta | u64::from(word(at + 4)?) << 27, 8),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEADER: Page = Page { commit: Field { offset: 8, size: 8 }, data: Field { offset: 16, size: 4080 } };

    fn page(time: u64, flags: u64, words: &[u32]) -> Vec<u8> {
        let data: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        let commit = data.len() as u64 | flags;
        [&time.to_le_bytes()[..], &commit.to_le_bytes(), &data].concat()
    }

    #[test]
    fn records_carry_absolute_times() {
        let words = [
            2 | 5 << 5,
            7,
            8, // two words, 5 ns on
            30 | 1 << 5,
            1, // time extend: 1 + (1 << 27)
            10 << 5,
            8,
            9, // length in a word of its own
            29,
            0,
            1,
            2, // the rest is empty
        ];
        let page = page(1000, 0, &words);
        let found = decode(&page, HEADER);
        let times: Vec<(u64, usize)> = found.records.iter().map(|(time, bytes)| (*time, bytes.len())).collect();
        assert_eq!(times, [(1005, 8), (1005 + 1 + (1 << 27) + 10, 4)]);
        assert!(!found.lost);
    }

    #[test]
    fn a_mark_says_that_events_were_lost() {
        assert!(decode(&page(1, MISSED, &[1, 7]), HEADER).lost);
    }

    #[test]
    fn fields_are_found_by_name() {
        let text = "name: x\nID: 9\nformat:\n\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\n\
                    \tfield:enum fuse_opcode opcode;\toffset:24;\tsize:4;\tsigned:0;\n\tfield:char data[4];\toffset:28;\tsize:4;\n";
        assert_eq!(field(text, "opcode"), Some(Field { offset: 24, size: 4 }));
        assert_eq!(field(text, "common_type"), Some(Field { offset: 0, size: 2 }));
        assert_eq!(field(text, "data"), Some(Field { offset: 28, size: 4 }));
        assert_eq!(field(text, "len"), None);
    }

    proptest! {
        #[test]
        fn any_page_is_decoded_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), offset in 0usize..40) {
            let _ = decode(&bytes, HEADER);
            let data = Field { offset, size: 4080 };
            let _ = decode(&bytes, Page { data, ..HEADER });
        }

        #[test]
        fn any_format_text_is_read_without_panic(text in "\\PC{0,200}") {
            let _ = field(&text, "opcode");
        }
    }
}
