//! The parser of `rust-panic`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fsdiag_fuzz::one("rust-panic", data));
