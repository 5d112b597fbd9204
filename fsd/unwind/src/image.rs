//! Loaded images: what unwinding needs of an executable or library, read from the memory it is mapped in.
//!
//! Memory and not the file: it is there when the file was deleted or lies in another mount namespace, and it covers
//! the vdso.

use std::ops::Range;

use crate::maps;

/// Memory of a process.
pub trait Memory {
    /// Copies what is at `address`; returns how many bytes it got, 0 where nothing can be read.
    fn read(&self, address: u64, into: &mut [u8]) -> usize;
}

/// One executable, library or vdso.
#[derive(Clone, Debug, Default)]
pub struct Image {
    pub path: String,
    /// Addresses it covers.
    pub range: Range<u64>,
    /// What is added to the addresses in its file.
    pub base: u64,
    /// Hexadecimal; empty: none.
    pub build_id: String,
    /// Where the kernel or the loader starts it.
    pub entry: u64,
    pub(crate) index: Table,
    pub(crate) frames: Table,
}

/// A table for unwinding, and the addresses (without base) it is mapped at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    pub(crate) at: Range<u64>,
    pub(crate) bytes: Vec<u8>,
}

/// Every image in the address space that `maps` (the text of `/proc/<pid>/maps`) describes.
pub fn load(maps: &[u8], memory: &dyn Memory) -> Vec<Image> {
    let starts = maps::parse(maps)
        .filter(|m| m.offset == 0 && m.readable && (m.path.first() == Some(&b'/') || m.path == b"[vdso]"));
    let mut all: Vec<Image> = Vec::new();
    for mapping in starts {
        let known = all.last().is_some_and(|image| image.range.contains(&mapping.start));
        if let Some(image) = (!known).then(|| image(mapping.start, memory)).flatten() {
            all.push(Image { path: String::from_utf8_lossy(mapping.path).into_owned(), ..image });
        }
    }
    all
}

/// One program header.
#[derive(Clone, Copy)]
struct Segment {
    kind: u32,
    address: u64,
    size: u64,
}

const LOAD: u32 = 1;
const NOTE: u32 = 4;
const EH_FRAME_HDR: u32 = 0x6474_e550;
/// More than any linker writes; a limit against nonsense.
const MAX_SEGMENTS: u16 = 64;
const MAX_TABLE: u64 = 256 << 20;

fn image(start: u64, memory: &dyn Memory) -> Option<Image> {
    let header = bytes(memory, start, 64)?;
    // ELF, 64 bits, little-endian.
    header.starts_with(b"\x7fELF\x02\x01").then_some(())?;
    let table = start + u64_at(&header, 32)?;
    let (size, count) = (u16_at(&header, 54)?, u16_at(&header, 56)?.min(MAX_SEGMENTS));
    let raw = bytes(memory, table, usize::from(size) * usize::from(count))?;
    let segments: Vec<Segment> = raw.chunks_exact(usize::from(size).max(56)).filter_map(segment).collect();
    let loads = || segments.iter().filter(|s| s.kind == LOAD);
    let base = start.wrapping_sub(loads().next()?.address & !0xfff);
    let end = loads().map(|s| s.address + s.size).max()?;
    let found = segments.iter().find(|s| s.kind == EH_FRAME_HDR);
    let tables = found.and_then(|index| tables(*index, base, loads(), memory));
    let (index, frames) = tables.unwrap_or_default();
    let notes = segments.iter().filter(|s| s.kind == NOTE);
    let build_id =
        notes.filter_map(|s| build_id(&bytes(memory, base.wrapping_add(s.address), s.size.min(4096) as usize)?)).next();
    Some(Image {
        path: String::new(),
        range: start..base.wrapping_add(end),
        base,
        build_id: build_id.unwrap_or_default(),
        entry: base.wrapping_add(u64_at(&header, 24)?),
        index,
        frames,
    })
}

fn segment(raw: &[u8]) -> Option<Segment> {
    Some(Segment { kind: u32_at(raw, 0)?, address: u64_at(raw, 16)?, size: u64_at(raw, 40)? })
}

/// `.eh_frame_hdr` and, where it points, `.eh_frame` up to the end of its segment.
fn tables<'s>(
    index: Segment,
    base: u64,
    mut loads: impl Iterator<Item = &'s Segment>,
    memory: &dyn Memory,
) -> Option<(Table, Table)> {
    let hdr = table(index.address..index.address + index.size, base, memory)?;
    // Version 1, and a pointer of four signed bytes relative to itself.
    (hdr.bytes.first() == Some(&1) && hdr.bytes.get(1) == Some(&0x1b)).then_some(())?;
    let offset = i64::from(u32_at(&hdr.bytes, 4)?.cast_signed());
    let start = (index.address + 4).wrapping_add_signed(offset);
    let segment = loads.find(|s| (s.address..s.address + s.size).contains(&start))?;
    Some((hdr, table(start..segment.address + segment.size, base, memory)?))
}

fn table(at: Range<u64>, base: u64, memory: &dyn Memory) -> Option<Table> {
    let size = at.end.checked_sub(at.start).filter(|size| *size <= MAX_TABLE)?;
    let bytes = bytes(memory, base.wrapping_add(at.start), usize::try_from(size).ok()?)?;
    Some(Table { at, bytes })
}

fn bytes(memory: &dyn Memory, address: u64, size: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; size];
    (memory.read(address, &mut bytes) == size).then_some(bytes)
}

/// The GNU build id among the notes of a segment.
fn build_id(notes: &[u8]) -> Option<String> {
    let mut rest = notes;
    loop {
        let (name, size, kind) = (u32_at(rest, 0)?, u32_at(rest, 4)?, u32_at(rest, 8)?);
        let from = 12 + name.next_multiple_of(4) as usize;
        let id = rest.get(from..from + size as usize)?;
        if kind == 3 && rest.get(12..16) == Some(b"GNU\0") {
            return Some(id.iter().map(|b| format!("{b:02x}")).collect());
        }
        rest = rest.get(from + size.next_multiple_of(4) as usize..)?;
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes)
}
