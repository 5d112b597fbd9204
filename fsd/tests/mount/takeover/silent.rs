//! Silent: a worker that lives and does not beat is replaced, and who waited for it is served.

use std::{process::Command, sync::Arc};

use nix::sys::signal::Signal;

use super::{
    super::support::*,
    await_handovers, await_successor,
    clients::{Crowd, fill},
    send, worker,
};

/// Waits until the silent worker is replaced; clients have seen nothing but a pause.
fn replaced(origin: &Arc<Origin>, mounted: Mounted, silence: impl FnOnce(&Mounted, &Crowd)) {
    let crowd = Crowd::start(origin, &mounted.dir());
    let old = worker(&mounted);
    silence(&mounted, &crowd);
    await_successor(&mounted, old);
    crowd.await_progress(&mounted, 3);
    crowd.finish();
    await_handovers(&mounted, "missed_beats", 1);
    mounted.finish();
}

#[test]
fn a_stopped_worker_is_replaced_and_its_clients_get_their_bytes() {
    let origin = Arc::new(Origin::start().unwrap());
    fill(&origin);
    let mounted = mount(Some(&origin.url("")), &["--supervisor"]);
    replaced(&origin, mounted, |mounted, crowd| {
        crowd.await_progress(mounted, 3);
        send(worker(mounted), Signal::SIGSTOP);
    });
}

#[test]
fn a_spinning_worker_is_replaced_and_its_clients_get_their_bytes() {
    let origin = Arc::new(Origin::start().unwrap());
    fill(&origin);
    let spin = |command: &mut Command| {
        // One loop and the heart burn their processors for ever: the one in a client's request.
        command.env("FAILPOINTS", "callback::enter=40*off->1*delay(600000)->off;heart::beat=1*off->delay(600000)");
    };
    let mounted = try_mount(Dirs::new(), Some(&origin.url("")), &["--supervisor"], spin).ok().unwrap();
    replaced(&origin, mounted, |_, _| ());
}
