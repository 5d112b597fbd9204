//! The parser of `seed-stacks`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fsdiag_fuzz::one("seed-stacks", data));
