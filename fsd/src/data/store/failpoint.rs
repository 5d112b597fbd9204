//! Fail points: bugs on purpose, in builds with the feature `failpoints` only.
//!
//! Set to `return` they hold for every store, set to `return(PATH)` for that one.

#[cfg(feature = "failpoints")]
use std::time::Duration;

/// The fail point `name` is set for the store of `path`.
#[cfg(feature = "failpoints")]
pub(super) fn is_set(name: &str, path: &str) -> bool {
    fail::fail_point!(name, |only: Option<String>| only.is_none_or(|only| only == path));
    false
}

/// Holds a task for as long as the fail point `name` is set for the store of `path`.
#[cfg(feature = "failpoints")]
pub(super) async fn hold(name: &str, path: &str) {
    while is_set(name, path) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Holds a thread for as long as the fail point `name` is set to `return(PATH TURN)`.
#[cfg(feature = "failpoints")]
pub(super) fn hold_thread(name: &str, path: &str, turn: &str) {
    while is_set(name, &format!("{path} {turn}")) {
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

#[cfg(not(feature = "failpoints"))]
pub(super) fn is_set(_name: &str, _path: &str) -> bool {
    false
}

#[cfg(not(feature = "failpoints"))]
pub(super) async fn hold(_name: &str, _path: &str) {}

#[cfg(not(feature = "failpoints"))]
pub(super) fn hold_thread(_name: &str, _path: &str, _turn: &str) {}
