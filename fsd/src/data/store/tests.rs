//! The stores against the scripted origin: right bytes, no reader lost, everything given back.

mod close;
mod disk;
mod faults;
mod lives;
mod model;
mod play;
mod schedules;
mod shuttled;
mod world;
