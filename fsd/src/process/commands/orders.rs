//! Orders to a running fsd: how it is, what it dumps, which flags it has, and its end.

use std::{path::PathBuf, time::Duration};

use fsd_events::{
    control::{Answer, Request, Status},
    flags::Flag,
    presence::Presence,
};

use crate::{
    kernel::mount::At,
    process::{
        cli::{Query, Restart, SetFlag, Target, Umount},
        commands::connect,
        config::{
            keys::Kind,
            value::{self, Value},
        },
        exit::{Exit, Failure},
        places, terminal,
    },
};

/// Longest wait for the end of an fsd that was told to go: its own limits are shorter.
const END_LIMIT: Duration = Duration::from_secs(600);
/// A worker that takes over serves within 15 s: looks for it, and the pause between two.
const LOOKS: u32 = 200;
const LOOK: Duration = Duration::from_millis(100);

pub(in crate::process) fn status(args: &Query) -> Result<Exit, Failure> {
    let Answer::Status(status) = connect(&args.target)?.ask(&Request::Status)? else { return Ok(Exit::Done) };
    if args.json {
        terminal::say(serde_json::to_string(&status).map_err(anyhow::Error::from)?);
    } else {
        terminal::say(describe(&status));
    }
    Ok(Exit::Done)
}

pub(in crate::process) fn umount(args: &Umount) -> Result<Exit, Failure> {
    let mut client = connect(&args.target)?;
    let presence = client.presence.clone();
    client.ask(&Request::Umount { force: args.force })?;
    let gone = client.outlive(END_LIMIT);
    let at = At { dir: PathBuf::from(&presence.mount), connection: presence.connection as u32, helper: false };
    match (at.is_mounted(), gone) {
        (false, _) => {
            terminal::say(format!("{} is unmounted", presence.mount));
            Ok(Exit::Done)
        }
        (true, true) => {
            let text =
                format!("fsd {} has ended, but {} is still mounted: run umount -l", presence.pid, presence.mount);
            Err(Exit::Mount.because(text))
        }
        (true, false) => Err(Exit::Refused.because(format!(
            "fsd {} is still unmounting {}; `fsd umount --force` aborts",
            presence.pid, presence.mount
        ))),
    }
}

pub(in crate::process) fn dump(target: &Target) -> Result<Exit, Failure> {
    if let Answer::Dumped { file } = connect(target)?.ask(&Request::Dump)? {
        terminal::say(file);
    }
    Ok(Exit::Done)
}

pub(in crate::process) fn flag(args: &SetFlag) -> Result<Exit, Failure> {
    let names = || Flag::ALL.map(Flag::name).join(", ");
    let Some(flag) = Flag::parse(&args.name) else {
        return Err(Exit::Usage.because(format!("there is no flag `{}`; there are: {}", args.name, names())));
    };
    let value = match value::parse(Kind::Bool, &args.value) {
        Ok(Value::Bool(value)) => value,
        _ => {
            let text = format!("`{}` is no value of {}: true or false", args.value, flag.name());
            return Err(Exit::Usage.because(text));
        }
    };
    connect(&args.target)?.ask(&Request::SetFlag { flag, value })?;
    terminal::say(format!("{} = {value}", flag.name()));
    Ok(Exit::Done)
}

pub(in crate::process) fn restart(args: &Restart) -> Result<Exit, Failure> {
    let wanted = [
        (Flag::DebugSkipEviction, args.debug_skip_eviction),
        (Flag::DebugFskitSingleThread, args.debug_fskit_single_thread),
        (Flag::DebugLockEvents, args.debug_lock_events),
    ];
    let flags = wanted.into_iter().filter_map(|(flag, value)| Some((flag, value?))).collect();
    let binary = args.binary.as_ref().map(|path| places::absolute(path).display().to_string());
    let mut client = connect(&args.target)?;
    let before = client.presence.clone();
    match client.ask(&Request::Restart { flags, binary }) {
        Ok(Answer::Restarted { old_run, new_run, resent }) => {
            let text = format!("worker replaced: run {old_run} handed over to {new_run}, {resent} requests sent again");
            terminal::say(text);
            Ok(Exit::Done)
        }
        Err(refused) if before.supervisor != 0 || refused.exit == Exit::Refused => Err(refused),
        // It executes itself anew, perhaps before its answer is out.
        Ok(_) | Err(_) => successor(args, &before),
    }
}

/// Waits for the supervisor that a process without one becomes, and for the worker that it starts.
fn successor(args: &Restart, before: &Presence) -> Result<Exit, Failure> {
    for _ in 0..LOOKS {
        std::thread::park_timeout(LOOK);
        let Some(now) = connect(&args.target).ok().map(|client| client.presence) else { continue };
        if now.supervisor != 0 && now.run != before.run {
            let text =
                format!("worker replaced: run {} handed over to {}, under a supervisor now", before.run, now.run);
            terminal::say(text);
            return Ok(Exit::Done);
        }
    }
    Err(Exit::Internal.because(format!("fsd {} has not started a worker: see its log", before.pid)))
}

fn describe(status: &Status) -> String {
    let ops = status.inflight.iter().map(|(op, count)| format!("{count} {op}")).collect::<Vec<_>>().join(", ");
    let waiting = status.kernel_waiting.map_or_else(|| "unknown".to_owned(), |count| count.to_string());
    let flags = Flag::ALL.into_iter().filter(|flag| status.flags.get(*flag)).map(Flag::name).collect::<Vec<_>>();
    let or_none = |text: String| if text.is_empty() { "none".to_owned() } else { text };
    let mut lines = vec![
        format!("{} is mounted at {}", status.source, status.mount),
        format!("fsd {} (pid {}), run {}, up {} s", status.version, status.pid, status.run, status.uptime_s),
        format!("state         {}", state(status)),
        format!("in flight     {} (oldest {:.1} s)", or_none(ops), status.oldest_us as f64 / 1e6),
        format!("kernel        {waiting} waiting, {} in the background at most", status.max_background),
        format!("debug flags   {}", or_none(flags.join(", "))),
    ];
    if answered(status) {
        lines.extend(of_worker(status));
    }
    lines.join("\n")
}

/// What only the worker knows.
fn of_worker(status: &Status) -> [String; 5] {
    [
        format!(
            "files         {} handles, {} stores ({} kept)",
            status.open_handles, status.stores, status.kept_stores
        ),
        format!("closing       {} running, {} with the reaper", status.closing, status.reaping),
        format!("staged        {}", status.staged),
        format!("used          {} bytes of disk, {} of memory", status.disk_used, status.memory_used),
        format!("events        {} ({} lost, recorder {})", status.events_file, status.events_lost, status.recorder),
    ]
}

/// Without a supervisor there is nobody else who could answer.
fn answered(status: &Status) -> bool {
    status.worker_alive || !status.supervised
}

fn state(status: &Status) -> &'static str {
    match (answered(status), status.stalled) {
        (false, _) => "NO ANSWER from the worker: `fsd restart` replaces it",
        (true, true) => "STALLED",
        (true, false) => "ok",
    }
}
