//! The parser of `proc-stacks`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fsdiag_fuzz::one("proc-stacks", data));
