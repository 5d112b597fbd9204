//! Closing: waiting readers are refused, tasks end, and descriptors and disk come back.

use std::sync::Arc;

use fsd_events::{event::Phase, ids::OpId};

use crate::observe::{locks, tasks};

use super::{Store, StoreError, failpoint, reading, temp_file::TempFile};

impl Store {
    /// Closes for the task `by`. As often as one likes; every call returns when all is given back.
    pub(in crate::data) async fn close(self: &Arc<Self>, by: OpId) {
        locks::assert_none_held("store close");
        self.refuse_readers();
        failpoint::hold("store::close", &self.content.path).await;
        tasks::phase(by, Phase::Close, "fetches");
        self.cancel_fetches();
        self.wait_idle().await;
        tasks::phase(by, Phase::Disk, "temp file");
        let store = Arc::clone(self);
        self.stores.pools.remove(move || store.temp.get().map(TempFile::remove)).await;
        self.give_back();
    }

    /// From now on nobody waits here.
    fn refuse_readers(&self) {
        let waiting = {
            let mut state = self.state.lock();
            state.closing = true;
            state.waiters.take_all()
        };
        self.stores.ticker.left(waiting.len());
        reading::refuse_all(waiting, &StoreError::Closed);
        self.room.notify_waiters();
    }

    fn cancel_fetches(&self) {
        for flight in &self.state.lock().flights {
            if let Some(task) = &flight.task {
                task.cancel();
            }
        }
    }

    async fn wait_idle(&self) {
        loop {
            let changed = self.idle.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let busy = {
                let state = self.state.lock();
                state.writing || !state.flights.is_empty()
            };
            if !busy {
                return;
            }
            self.cancel_fetches();
            changed.await;
        }
    }

    fn give_back(&self) {
        let reserved = {
            let mut state = self.state.lock();
            state.held.clear();
            state.dirty.clear();
            if !std::mem::replace(&mut state.returned, true) {
                self.stores.budget.leave();
            }
            std::mem::take(&mut state.reserved)
        };
        if reserved {
            self.stores.budget.release(self.content.size);
        }
    }

    /// The close of the Go original, for tests that want its freeze: it waits for the download, which nobody
    /// cancels, on the caller's thread.
    #[cfg(feature = "failpoints")]
    pub fn close_waiting_for_download(self: &Arc<Self>) {
        locks::allow_injected(|| {
            locks::assert_none_held("store close");
            self.state.lock().closing = true;
            let store = Arc::clone(self);
            self.stores.runtime.block_on(async move { store.wait_landed().await });
        });
    }

    #[cfg(feature = "failpoints")]
    async fn wait_landed(&self) {
        loop {
            let changed = self.idle.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.state.lock().flights.is_empty() {
                return;
            }
            changed.await;
        }
    }
}
