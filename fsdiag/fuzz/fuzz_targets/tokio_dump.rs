//! The parser of `tokio-dump`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fsdiag_fuzz::one("tokio-dump", data));
