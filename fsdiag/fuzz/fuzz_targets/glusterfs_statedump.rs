//! The parser of `glusterfs-statedump`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fsdiag_fuzz::one("glusterfs-statedump", data));
