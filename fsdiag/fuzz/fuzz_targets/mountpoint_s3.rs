//! The parser of `mountpoint-s3`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fsdiag_fuzz::one("mountpoint-s3", data));
