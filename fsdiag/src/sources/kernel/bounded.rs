//! Patience: reads of a foreign process that may block for ever (it may sit in an exec from a hung mount) run on a
//! thread of their own, and are given up after a while.

use std::{sync::mpsc, thread, time::Duration};

/// The value, or None when it did not come in time; the thread is then left behind and ends with its read, or with
/// this process.
pub fn within<T: Send + 'static>(limit: Duration, read: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (tell, hear) = mpsc::sync_channel(1);
    let reader = move || {
        // Nobody listens any more when the time was over.
        let _ = tell.send(read());
    };
    thread::Builder::new().name(String::from("proc-reader")).spawn(reader).ok()?;
    hear.recv_timeout(limit).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_that_never_returns_is_given_up() {
        let (_keep, never) = mpsc::channel::<()>();
        assert_eq!(within(Duration::from_millis(20), move || never.recv().is_ok()), None);
        assert_eq!(within(Duration::from_secs(5), || 7), Some(7));
    }
}
