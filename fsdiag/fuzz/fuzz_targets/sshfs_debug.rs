//! The parser of `sshfs-debug`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fsdiag_fuzz::one("sshfs-debug", data));
