//! The parser of `fsd-stacks`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fsdiag_fuzz::one("fsd-stacks", data));
