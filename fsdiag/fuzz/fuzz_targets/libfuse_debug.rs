//! The parser of `libfuse-debug`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fsdiag_fuzz::one("libfuse-debug", data));
