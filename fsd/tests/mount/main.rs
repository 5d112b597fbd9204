//! The real `fsd` on a real mount: one file per topic.

#![cfg(feature = "failpoints")]
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod acting;
mod config;
mod control;
mod dice;
mod disks;
mod endings;
mod faults;
mod health;
mod isolate;
mod lifecycle;
mod limits;
mod loops;
mod names;
mod origins;
mod pileup;
mod plain_user;
mod reads;
mod refusals;
mod secrets;
mod semantics;
mod servers;
mod soak;
mod sources;
mod stacks;
mod staging;
mod support;
mod takeover;
mod telling;
mod uploads;
mod waits;
mod walk;
mod wires;
