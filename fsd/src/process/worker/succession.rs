//! Succession: a worker that becomes a supervisor, because its own died, or because it never had one and is to be
//! restarted.

use fsd_events::flags::Flag;

use super::{Live, Running};
use crate::{
    kernel::fuse::Negotiated,
    process::{
        exit::{Exit, Failure},
        link::Takeover,
        supervisor,
    },
};

/// For the next worker.
pub(super) fn settled(live: &Live) -> Takeover {
    let Negotiated { minor, offered, taken, passthrough, resends } = live.session.negotiated();
    Takeover { minor, offered, taken, passthrough, resends, led_to: live.led_to.clone(), ..Takeover::default() }
}

impl Running {
    /// Takes the place of a supervisor that died, or, to restart with these flags, that never was; returns only when
    /// that fails.
    pub(super) fn succeed(&self, flags: Option<&[(Flag, bool)]>) -> Failure {
        let Some((inheritance, presence, max_background)) = &self.mount.inheritance else {
            return Exit::Internal.because("there was no supervisor");
        };
        match flags {
            None => tracing::error!("the supervisor is gone: this process takes its place"),
            Some(_) => tracing::warn!("restarting: this process becomes the supervisor of the next worker"),
        }
        self.recorder.flush();
        let settled = settled(&self.mount);
        let legacy = inheritance.legacy(settled, presence.clone(), *max_background, flags);
        supervisor::succeed(&legacy, &self.mount.mounted)
    }
}
