//! Synthetic BTF, whole, split and torn.

use proptest::prelude::*;

use super::*;

/// Writes BTF; ids and string offsets may continue those of a base.
struct Writer {
    types: Vec<u8>,
    strings: Vec<u8>,
    base: usize,
}

impl Writer {
    fn new(base: usize) -> Self {
        Self { types: vec![], strings: if base == 0 { vec![0] } else { vec![] }, base }
    }

    fn text(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        let at = self.base + self.strings.len();
        self.strings.extend(text.bytes().chain([0]));
        u32::try_from(at).unwrap()
    }

    fn words(&mut self, words: &[u32]) {
        self.types.extend(words.iter().flat_map(|w| w.to_ne_bytes()));
    }

    fn record(&mut self, name: &str, kind: u32, vlen: u32, flag: bool, size: u32) {
        let name = self.text(name);
        self.words(&[name, kind << 24 | vlen | u32::from(flag) << 31, size]);
    }

    fn structure(&mut self, name: &str, size: u32, flag: bool, members: &[(&str, u32, u32)]) {
        let names: Vec<u32> = members.iter().map(|m| self.text(m.0)).collect();
        self.record(name, STRUCT, u32::try_from(members.len()).unwrap(), flag, size);
        for (name, member) in names.iter().zip(members) {
            self.words(&[*name, member.1, member.2]);
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let (types, strings) = (u32::try_from(self.types.len()).unwrap(), u32::try_from(self.strings.len()).unwrap());
        let mut out = Vec::new();
        out.extend(MAGIC.to_ne_bytes());
        out.extend([1, 0]);
        out.extend([24, 0, types, types, strings].iter().flat_map(|w: &u32| w.to_ne_bytes()));
        out.extend(&self.types);
        out.extend(&self.strings);
        out
    }
}

/// 1 u32, 2 inner, 3 anonymous {deep}, 4 const -> inner, 5 array of u32, 6 outer, 7 enum.
fn kernel() -> Writer {
    let mut w = Writer::new(0);
    w.record("u32", INT, 0, false, 4);
    w.words(&[32]);
    w.structure("inner", 8, false, &[("a", 1, 0), ("b", 1, 32)]);
    w.structure("", 4, false, &[("deep", 1, 0)]);
    w.record("", 10, 0, false, 2);
    w.record("", ARRAY, 0, false, 0);
    w.words(&[1, 1, 6]);
    w.structure(
        "outer",
        64,
        true,
        &[("x", 4, 8 * 8), ("", 3, 20 * 8), ("list", 5, 24 * 8), ("flag", 1, 3 << 24 | (48 * 8 + 5))],
    );
    let label = w.text("FR_SENT");
    w.record("flags", ENUM, 1, false, 4);
    w.words(&[label, 8]);
    w
}

fn field(offset: u64, size: u64, bits: Option<(u32, u32)>) -> Field {
    Field { offset, size, bits }
}

#[test]
fn members_are_found_through_qualifiers_and_anonymous_structures() {
    let mut btf = Btf::default();
    btf.add(kernel().bytes()).unwrap();
    assert_eq!(btf.field("outer", "x.b"), Some(field(12, 4, None)));
    assert_eq!(btf.field("outer", "deep"), Some(field(20, 4, None)));
    assert_eq!(btf.field("outer", "list"), Some(field(24, 24, None)));
    assert_eq!(btf.field("outer", "flag"), Some(field(48, 4, Some((5, 3)))));
    assert_eq!(btf.field("outer", "gone"), None);
    assert_eq!(btf.field("nowhere", "x"), None);
    assert_eq!((btf.size_of("outer"), btf.enumerator("FR_SENT"), btf.enumerator("FR_NONE")), (Some(64), Some(8), None));
}

#[test]
fn a_module_continues_the_numbers_of_the_kernel() {
    let base = kernel();
    let mut module = Writer::new(base.strings.len());
    module.structure("fuse_thing", 16, false, &[("head", 1, 0), ("inner", 2, 32)]);
    let mut btf = Btf::default();
    btf.add(base.bytes()).unwrap();
    btf.add(module.bytes()).unwrap();
    assert_eq!(btf.field("fuse_thing", "inner.b"), Some(field(8, 4, None)));
    assert_eq!(btf.field("outer", "x.a"), Some(field(8, 4, None)));
}

#[test]
fn a_structure_inside_itself_ends() {
    let mut w = Writer::new(0);
    w.structure("loop", 8, false, &[("", 1, 0)]);
    w.record("", 10, 0, false, 2);
    let mut btf = Btf::default();
    btf.add(w.bytes()).unwrap();
    assert_eq!(btf.field("loop", "x"), None);
}

#[test]
fn the_running_kernel_describes_fuse() {
    let Ok(btf) = Btf::of_kernel() else {
        println!("SKIP btf (found none, needs CONFIG_DEBUG_INFO_BTF)");
        return;
    };
    assert!(btf.field("fuse_conn", "iq.pending").is_some_and(|f| f.size == 16));
    assert!(btf.field("fuse_req", "in.h.unique").is_some_and(|f| f.size == 8));
    assert!(btf.field("list_head", "prev").is_some_and(|f| f.offset == 8));
}

proptest! {
    #[test]
    fn torn_and_changed_blobs_never_panic(cut in 0usize..400, at in 0usize..400, value: u8) {
        let mut bytes = kernel().bytes();
        if let Some(byte) = bytes.get_mut(at) {
            *byte = value;
        }
        bytes.truncate(cut.max(8));
        let mut btf = Btf::default();
        let _ = btf.add(bytes);
        for name in ["outer", "inner", "", "loop"] {
            let _ = (btf.field(name, "x.b"), btf.field(name, "list"), btf.size_of(name));
        }
        let _ = btf.enumerator("FR_SENT");
    }
}
