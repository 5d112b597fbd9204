//! The parser of `ceph-requests`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fsdiag_fuzz::one("ceph-requests", data));
