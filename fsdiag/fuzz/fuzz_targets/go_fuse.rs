//! The parser of `go-fuse`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fsdiag_fuzz::one("go-fuse", data));
