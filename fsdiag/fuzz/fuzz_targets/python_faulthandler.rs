//! The parser of `python-faulthandler`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fsdiag_fuzz::one("python-faulthandler", data));
