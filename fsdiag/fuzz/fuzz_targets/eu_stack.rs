//! The parser of `eu-stack`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fsdiag_fuzz::one("eu-stack", data));
