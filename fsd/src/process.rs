//! The program around the mount: what the user typed, what it means, and the parts put together.
//!
//! Nothing below knows of this floor. `anyhow`-style errors end here, as one sentence and an [`exit::Exit`].

mod cli;
mod commands;
pub mod config;
mod control;
mod daemon;
pub mod demo;
pub mod exit;
mod failpoints;
mod link;
mod orders;
mod places;
mod signals;
mod supervisor;
mod terminal;
mod worker;

pub use cli::main;
