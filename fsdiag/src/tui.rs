//! The interactive screens: what a person opens at three in the morning.
//!
//! `state` is a pure function of messages, `page` says what each screen holds as text with a meaning, `view` draws it.

pub mod keys;
pub mod page;
pub mod picture;
pub mod plain;
pub mod state;
pub mod view;
