//! The parser of `kernel-trace`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fsdiag_fuzz::one("kernel-trace", data));
