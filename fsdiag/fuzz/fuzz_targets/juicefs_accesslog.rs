//! The parser of `juicefs-accesslog`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fsdiag_fuzz::one("juicefs-accesslog", data));
