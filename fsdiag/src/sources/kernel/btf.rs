//! BTF: the kernel's own description of its types, parsed just far enough to find members by name.

use std::{collections::HashMap, fs, io, ops::Range, path::Path};

const MAGIC: u16 = 0xeb9f;
const DIR: &str = "/sys/kernel/btf";

const INT: u32 = 1;
const PTR: u32 = 2;
const ARRAY: u32 = 3;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const ENUM: u32 = 6;
const FLOAT: u32 = 16;
const ENUM64: u32 = 19;

/// Deepest nesting of anonymous members and typedefs that is followed.
const DEPTH: u32 = 16;

/// Why a blob is no usable BTF.
#[derive(Debug, thiserror::Error)]
pub enum BtfError {
    #[error("{path}: {source}")]
    Read { path: String, source: io::Error },
    #[error("not BTF (wrong magic or version)")]
    Magic,
    #[error("BTF is cut off at byte {0}")]
    Short(usize),
    #[error("BTF has an unknown kind {kind} at type {id}")]
    Kind { kind: u32, id: u32 },
}

/// Where a member lies in its structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    pub offset: u64,
    /// Bytes; of the storage unit for bit fields.
    pub size: u64,
    /// First bit within the byte at `offset`, and how many, for bit fields.
    pub bits: Option<(u32, u32)>,
}

/// Types of the kernel, and of modules loaded on top.
#[derive(Debug, Default)]
pub struct Btf {
    blobs: Vec<Blob>,
    /// Type id -> (blob, offset of its record). Id 0 is void.
    types: Vec<(usize, usize)>,
    /// Structures and unions with a name; the first of equals wins.
    names: HashMap<Box<[u8]>, u32>,
    strings: usize,
}

#[derive(Debug)]
struct Blob {
    bytes: Vec<u8>,
    strings: Range<usize>,
    /// Offset of its first string among the strings of all blobs.
    base: usize,
}

#[derive(Clone, Copy, Debug)]
struct Record {
    name: u32,
    kind: u32,
    vlen: usize,
    kind_flag: bool,
    /// Size, or the type referred to.
    size: u32,
    /// Where its trailing data begins.
    blob: usize,
    data: usize,
}

impl Btf {
    /// The running kernel's types, with those of module `fuse` where it is one.
    ///
    /// # Errors
    /// When the kernel has none, or they cannot be read or parsed.
    pub fn of_kernel() -> Result<Self, BtfError> {
        let read = |name: &str| {
            let path = Path::new(DIR).join(name);
            fs::read(&path).map_err(|source| BtfError::Read { path: path.display().to_string(), source })
        };
        let mut btf = Self::default();
        btf.add(read("vmlinux")?)?;
        match read("fuse") {
            Ok(module) => btf.add(module)?,
            Err(BtfError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            Err(other) => return Err(other),
        }
        Ok(btf)
    }

    /// Adds a blob whose type and string numbers continue those already there.
    ///
    /// # Errors
    /// When it is no BTF, cut off, or of a kind unknown here.
    pub fn add(&mut self, bytes: Vec<u8>) -> Result<(), BtfError> {
        if u16_at(&bytes, 0)? != MAGIC || bytes.get(2) != Some(&1) {
            return Err(BtfError::Magic);
        }
        let header = u32_at(&bytes, 4)? as usize;
        let section = |at: usize| -> Result<Range<usize>, BtfError> {
            let start = header.saturating_add(u32_at(&bytes, at)? as usize);
            let end = start.saturating_add(u32_at(&bytes, at + 4)? as usize);
            if end > bytes.len() { Err(BtfError::Short(bytes.len())) } else { Ok(start..end) }
        };
        let (types, strings) = (section(8)?, section(16)?);
        let base = self.strings;
        self.strings += strings.len();
        self.blobs.push(Blob { bytes, strings, base });
        self.index(types)
    }

    fn index(&mut self, types: Range<usize>) -> Result<(), BtfError> {
        if self.types.is_empty() {
            self.types.push((0, 0));
        }
        let blob = self.blobs.len() - 1;
        let mut at = types.start;
        while at < types.end {
            let id = u32::try_from(self.types.len()).unwrap_or(u32::MAX);
            let record = self.record_at(blob, at)?;
            let trailing = trailing(&record).ok_or(BtfError::Kind { kind: record.kind, id })?;
            self.types.push((blob, at));
            if matches!(record.kind, STRUCT | UNION) && record.name != 0 {
                let name: Box<[u8]> = self.name(record.name).into();
                self.names.entry(name).or_insert(id);
            }
            at = record.data + trailing;
        }
        Ok(())
    }

    /// Where `path` (`iq.pending`) lies in structure `name`; members of anonymous structures count as its own.
    pub fn field(&self, name: &str, path: &str) -> Option<Field> {
        let mut id = *self.names.get(name.as_bytes())?;
        let mut found = Field { offset: 0, size: 0, bits: None };
        for part in path.split('.') {
            let (field, next) = self.member(id, part, DEPTH)?;
            found = Field { offset: found.offset + field.offset, ..field };
            id = next;
        }
        Some(found)
    }

    /// Size of a structure in bytes.
    pub fn size_of(&self, name: &str) -> Option<u64> {
        let record = self.record(*self.names.get(name.as_bytes())?)?;
        Some(u64::from(record.size))
    }

    /// Value of an enumerator, whatever its enum is called.
    pub fn enumerator(&self, name: &str) -> Option<u32> {
        self.types.iter().skip(1).find_map(|(blob, at)| {
            let record = self.record_at(*blob, *at).ok().filter(|r| r.kind == ENUM)?;
            let bytes = &self.blobs[record.blob].bytes;
            (0..record.vlen).find_map(|n| {
                let at = record.data + n * 8;
                (self.name(u32_at(bytes, at).ok()?) == name.as_bytes()).then(|| u32_at(bytes, at + 4).ok())?
            })
        })
    }

    fn member(&self, id: u32, name: &str, depth: u32) -> Option<(Field, u32)> {
        let record = self.record(id).filter(|r| matches!(r.kind, STRUCT | UNION))?;
        let bytes = &self.blobs[record.blob].bytes;
        let members = (0..record.vlen).filter_map(|n| {
            let at = record.data + n * 12;
            Some((u32_at(bytes, at).ok()?, u32_at(bytes, at + 4).ok()?, u32_at(bytes, at + 8).ok()?))
        });
        for (label, kind, place) in members {
            let (bit, width) = if record.kind_flag { (place & 0xff_ffff, place >> 24) } else { (place, 0) };
            let offset = u64::from(bit / 8);
            if label == 0 {
                let inner = depth.checked_sub(1).and_then(|d| self.member(self.strip(kind)?, name, d));
                if let Some((field, next)) = inner {
                    return Some((Field { offset: field.offset + offset, ..field }, next));
                }
            } else if self.name(label) == name.as_bytes() {
                let bits = (width > 0).then_some((bit % 8, width));
                return Some((Field { offset, size: self.size(kind, DEPTH)?, bits }, self.strip(kind)?));
            }
        }
        None
    }

    /// The type behind typedefs and qualifiers.
    fn strip(&self, mut id: u32) -> Option<u32> {
        for _ in 0..DEPTH {
            match self.record(id) {
                // typedef, volatile, const, restrict, type tag
                Some(record) if matches!(record.kind, 8..=11 | 18) => id = record.size,
                _ => return Some(id),
            }
        }
        None
    }

    fn size(&self, id: u32, depth: u32) -> Option<u64> {
        let record = self.record(self.strip(id)?)?;
        match record.kind {
            INT | STRUCT | UNION | ENUM | FLOAT | ENUM64 => Some(u64::from(record.size)),
            PTR => Some(8),
            ARRAY => {
                let bytes = &self.blobs[record.blob].bytes;
                let element = u32_at(bytes, record.data).ok()?;
                let count = u64::from(u32_at(bytes, record.data + 8).ok()?);
                self.size(element, depth.checked_sub(1)?)?.checked_mul(count)
            }
            _ => None,
        }
    }

    fn record(&self, id: u32) -> Option<Record> {
        let (blob, at) = *self.types.get(id as usize).filter(|_| id != 0)?;
        self.record_at(blob, at).ok()
    }

    fn record_at(&self, blob: usize, at: usize) -> Result<Record, BtfError> {
        let bytes = &self.blobs[blob].bytes;
        let info = u32_at(bytes, at + 4)?;
        Ok(Record {
            name: u32_at(bytes, at)?,
            kind: (info >> 24) & 0x1f,
            vlen: (info & 0xffff) as usize,
            kind_flag: info >> 31 != 0,
            size: u32_at(bytes, at + 8)?,
            blob,
            data: at + 12,
        })
    }

    fn name(&self, offset: u32) -> &[u8] {
        let offset = offset as usize;
        let blob = self.blobs.iter().rev().find(|b| offset >= b.base);
        let text = blob.and_then(|b| b.bytes[b.strings.clone()].get(offset - b.base..)).unwrap_or_default();
        text.split(|b| *b == 0).next().unwrap_or_default()
    }
}

/// Bytes that follow a record's fixed part.
fn trailing(record: &Record) -> Option<usize> {
    Some(match record.kind {
        2 | 7..=12 | 16 | 18 => 0,
        1 | 14 | 17 => 4,
        3 => 12,
        4 | 5 | 15 | 19 => record.vlen * 12,
        6 | 13 => record.vlen * 8,
        _ => return None,
    })
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16, BtfError> {
    let raw = bytes.get(at..at + 2).and_then(|b| b.try_into().ok());
    raw.map(u16::from_ne_bytes).ok_or(BtfError::Short(at))
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, BtfError> {
    let raw = bytes.get(at..at.saturating_add(4)).and_then(|b| b.try_into().ok());
    raw.map(u32::from_ne_bytes).ok_or(BtfError::Short(at))
}

#[cfg(test)]
#[path = "btf_tests.rs"]
mod tests;
