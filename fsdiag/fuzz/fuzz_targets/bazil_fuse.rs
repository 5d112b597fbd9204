//! The parser of `bazil-fuse`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fsdiag_fuzz::one("bazil-fuse", data));
