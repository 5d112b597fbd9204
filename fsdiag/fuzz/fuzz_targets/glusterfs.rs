//! The parser of `glusterfs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fsdiag_fuzz::one("glusterfs", data));
