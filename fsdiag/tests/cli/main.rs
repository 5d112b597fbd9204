//! The real `fsdiag` over logs, dumps and rings: one file per topic.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod alone;
mod analyze;
mod attach;
mod causes;
mod chunks;
mod clocks;
mod corpus;
mod crowd;
mod deaths;
mod doubts;
mod dump;
mod envelopes;
mod field;
mod fleet;
mod foreign;
mod hints;
mod honest;
mod inputs;
mod joined;
mod languages;
mod lossy;
mod many;
mod names;
mod old_events;
mod pipes;
mod rules;
mod shared;
mod shippers;
mod simulation;
mod stacks;
mod stores;
mod triage;
mod trials;
mod tui;
mod unrelated;
