//! Stacks from outside a thread: registers and memory become return addresses, and those become names.
//!
//! `fsd` walks copies of its own stacks with it, `fsdiag` the stacks of another process. Everything that runs while
//! a process hangs ([`Walker::walk`], [`Walker::walk_blocked`], [`maps`], [`procfs`]) neither allocates nor locks;
//! loading images and finding names does allocate.

pub mod image;
pub mod maps;
pub mod procfs;
pub mod symbols;
pub mod walk;

pub use image::{Image, Memory};
pub use walk::{Registers, Step, Trace, Walker};
