//! The parser of `go-stacks`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fsdiag_fuzz::one("go-stacks", data));
