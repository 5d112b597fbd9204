//! `fsdiag`: reads a FUSE daemon's flight recorder, logs and stack dumps, and names what hangs and why.

pub mod cli;
pub mod commands;
pub mod engine;
pub mod formats;
pub mod output;
pub mod sources;
pub mod tui;
