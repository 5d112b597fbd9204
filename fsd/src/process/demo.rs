//! The demo: everything that needs no network and no other program.

pub mod origin;
