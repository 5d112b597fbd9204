//! The parser of `fuser-debug`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fsdiag_fuzz::one("fuser-debug", data));
