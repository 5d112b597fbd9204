//! The parser of `py-spy`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fsdiag_fuzz::one("py-spy", data));
