//! Data: where names and bytes come from, and where bytes stay until readers have them.

pub mod closer;
pub mod hosts;
mod index;
pub mod origin;
pub mod prefetch;
pub mod source;
pub mod store;
mod text_file;
pub mod ticker;
