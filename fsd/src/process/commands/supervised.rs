//! The processes that the supervisor starts: workers, the janitor, and the drain of a dead run.

use fsd_events::ids::RunId;

use crate::{
    observe,
    platform::process::{set_name, set_title},
    process::{
        cli::Drain,
        config::{
            Config, keys,
            written::{Origin, Written},
        },
        exit::{Exit, Failure},
        failpoints,
        link::{Down, Job, Link},
        places::{self, Places},
        supervisor,
        worker::{self, Host, Upward},
    },
};

/// A worker: its job comes over stdin, and so does its mount.
pub(in crate::process) fn worker() -> Result<Exit, Failure> {
    set_name("fsd");
    let internal = |error: std::io::Error| Exit::Internal.because(format!("no supervisor: {error}"));
    let mut link = Link::from_stdin().map_err(internal)?;
    let job = match link.receive::<Down>().map_err(internal)? {
        Some(Down::Job(job)) => job,
        Some(_) => return Err(Exit::Usage.because("`fsd worker` is started by a supervisor only")),
        // It stood by for nothing.
        None => return Ok(Exit::Done),
    };
    set_title("fsd-worker\0worker");
    let config = config(&job)?;
    super::mount::messages(&config)?;
    let Job { mountpoint, argv, runtime, state, shared, mount_run, .. } = (*job).clone();
    let first = job.takeover.is_none();
    let _armed = failpoints::arm(&failpoints::of_worker(&job.failpoints, first))?;
    let upward = Upward::new(link, *job).map_err(internal)?;
    let outcome = worker::run(worker::Job {
        config,
        // The supervisor has them.
        settings: Vec::new(),
        mountpoint,
        argv,
        report: None,
        places: Some(Places::lent(runtime, state, shared)),
        mount_run: RunId::parse(&mount_run),
        host: Host::Supervisor(Box::new(upward)),
    });
    observe::log::flush();
    // The supervisor has the words already.
    Ok(outcome.unwrap_or_else(|failure| failure.exit))
}

/// The settings as the supervisor read them, with the flags of this worker.
fn config(job: &Job) -> Result<Config, Failure> {
    let mut written = Written::default();
    for (name, text) in &job.settings {
        if let Some(key) = keys::find(name) {
            written.offer(key, text, Origin::Flag).map_err(|text| Exit::Usage.because(text))?;
        }
    }
    Ok(Config { flags: job.flags, ..Config::new(&written) })
}

/// A supervisor in the place of one that died: what it takes over comes over stdin.
pub(in crate::process) fn supervise() -> Result<Exit, Failure> {
    let estate = supervisor::Estate::read()?;
    let config = config(&estate.job)?;
    super::mount::messages(&config)?;
    let outcome = supervisor::inherit(estate, config);
    observe::log::flush();
    outcome
}

/// Appends what a dead run left unwritten to its event file.
pub(in crate::process) fn drain(args: &Drain) -> Result<Exit, Failure> {
    set_name("fsd");
    if let Some(runtime) = args.run.parent() {
        places::name_runs(runtime);
    }
    let handover = args.handover.as_deref().and_then(handover);
    observe::drain_with(&args.run, &args.state, handover.as_ref())
        .map_err(|error| Exit::Internal.because(format!("cannot drain {}: {error}", args.run.display())))?;
    Ok(Exit::Done)
}

/// `cause,new-run,resent`.
fn handover(text: &str) -> Option<observe::Handed> {
    let mut parts = text.split(',');
    let cause = parts.next()?.to_owned();
    let new_run = RunId::parse(parts.next()?)?;
    Some(observe::Handed { cause, new_run, resent: parts.next()?.parse().ok()? })
}
