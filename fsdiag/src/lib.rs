//! `fsdiag`: reads a FUSE daemon's flight recorder, logs and stack dumps, and names what hangs and why.

pub mod engine;
