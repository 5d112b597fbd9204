//! Observers: recorder, stack dumps and watchdog of a worker, the first to start and the last to stop.

use std::sync::Arc;

use fsd_events::event::Start;

use super::{
    Identity, Job, Pending, internal,
    parts::{loops, recorder_config, stacks_config},
};
use crate::{
    kernel::{fuse, mount::Waiting},
    observe::{
        self, Recorder, stacks,
        watchdog::{self, Watchdog, WatchdogConfig},
    },
    platform::runtime_dir::make_private,
    process::{
        config::Config,
        exit::{Exit, Failure},
        places::Places,
        worker::Host,
    },
};

/// Starts them all.
///
/// # Errors
/// The events of a first worker cannot be written, or there is no thread for the watchdog.
pub(super) fn start(
    job: &Job,
    places: &Places,
    identity: &Identity,
    first_line: &Start<'static>,
    pending: &Pending,
) -> Result<(Arc<Recorder>, Watchdog), Failure> {
    let recorder = observe::install(recorder_config(job, places, identity, first_line.clone()));
    let recorder = recorder.map_err(|error| {
        Exit::Internal.because(format!("cannot write events to {}: {error}; see --state-dir", places.state.display()))
    })?;
    if recorder.run_dir().is_none() && matches!(job.host, Host::Supervisor(_)) {
        tracing::warn!(
            "{} has no room for what a supervisor follows its worker by: one that hangs is not replaced by itself, \
             and what it recorded last cannot be read; see --runtime-dir",
            places.runtime.display()
        );
    }
    dumps(job, places, identity);
    let watchdog = watchdog(&job.config, pending).map_err(internal)?;
    Ok((Arc::new(recorder), watchdog))
}

fn watchdog(config: &Config, pending: &Pending) -> std::io::Result<Watchdog> {
    let pending = Arc::clone(pending);
    watchdog::start(WatchdogConfig {
        every: config.watchdog_interval,
        stalled_after: config.stalled_after,
        workers: loops(config),
        loop_names: fuse::LOOP_NAMES,
        kernel_waiting: Box::new(move || pending.get().and_then(Waiting::read)),
        on_dump: stacks::for_watchdog(),
        rehearse: Box::new(stacks::rehearse),
    })
}

/// Stack dumps are help in need: a mount without them is better than none.
fn dumps(job: &Job, places: &Places, identity: &Identity) {
    // There since the first run, unless somebody removed it.
    drop(make_private(&places.state));
    if let Err(error) = stacks::install(stacks_config(job, places, identity)) {
        tracing::warn!("there will be no stack dumps: {error}");
    }
}
