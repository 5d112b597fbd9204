//! Daemon: the fsd whose flags are switched, found anew by its mount after each hand-over.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use fsd_events::control::{Answer, Request, Status};

use super::setting::Setting;
use crate::sources::{
    self, control,
    kernel::mountinfo::{self, Mount},
    rings,
};

/// Longest wait for a plain answer, and for a new worker to serve.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
const HANDOVER_LIMIT: Duration = Duration::from_secs(60);
/// Looks for the new flags after a hand-over, and the pause between two, milliseconds.
const LOOKS: u32 = 100;
const LOOK_MS: u64 = 100;

pub struct Daemon {
    pub mount: PathBuf,
}

impl Daemon {
    /// How it is. A supervisor answers also when its worker hangs.
    ///
    /// # Errors
    /// It runs no more, or does not answer.
    pub fn status(&self) -> io::Result<Status> {
        match self.ask(&Request::Status, ANSWER_LIMIT)? {
            Answer::Status(status) => Ok(*status),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// The event file of the worker that serves now.
    pub fn events(&self) -> io::Result<PathBuf> {
        self.found().map(|mount| mount.events.canonicalize().unwrap_or(mount.events))
    }

    /// Brings the two flags into force: by a new worker, or live where that is enough and nothing else is possible.
    ///
    /// # Errors
    /// In words: which flag, and why not.
    pub fn set(&self, setting: Setting) -> Result<(), String> {
        let before = self.status().map_err(|error| format!("{}: {error}", self.mount.display()))?;
        if before.supervised {
            let request = Request::Restart { flags: setting.flags().to_vec(), binary: None };
            self.ask(&request, HANDOVER_LIMIT).map_err(|error| format!("{}: {error}", setting.words()))?;
        } else {
            self.set_live(setting, &before)?;
        }
        self.await_flags(setting)
    }

    fn set_live(&self, setting: Setting, before: &Status) -> Result<(), String> {
        for (flag, value) in setting.flags() {
            if before.flags.get(flag) == value {
                continue;
            }
            let cannot = |why: &str| Err(format!("{} = {value} could not be set: {why}", flag.name()));
            if !flag.live() {
                return cannot("this fsd runs without a supervisor, and that flag needs a hand-over");
            }
            if let Err(error) = self.ask(&Request::SetFlag { flag, value }, ANSWER_LIMIT) {
                return cannot(&error.to_string());
            }
        }
        Ok(())
    }

    /// Believes nothing but what the daemon then says of itself.
    fn await_flags(&self, setting: Setting) -> Result<(), String> {
        let mut seen = String::from("it does not answer");
        for _ in 0..LOOKS {
            match self.status() {
                Ok(status) if Setting::of(status.flags) == setting && (status.worker_alive || !status.supervised) => {
                    return Ok(());
                }
                Ok(status) => seen = format!("it says {}", Setting::of(status.flags).words()),
                Err(error) => seen = error.to_string(),
            }
            sources::pause(LOOK_MS);
        }
        Err(format!("{} could not be set: {seen}", setting.words()))
    }

    fn ask(&self, request: &Request, limit: Duration) -> io::Result<Answer> {
        control::ask(&self.found()?, request, limit)
    }

    fn found(&self) -> io::Result<rings::Mount> {
        let gone = || io::Error::new(io::ErrorKind::NotFound, "no fsd serves it any more");
        rings::of_mount(&self.mount).filter(|mount| mount.alive).ok_or_else(gone)
    }
}

/// Why none was chosen.
pub enum Unchosen {
    /// No such fsd runs.
    None(String),
    /// Several run, and the user must say which.
    Several(String),
}

/// The mount that is meant: the one named, or the only one that runs.
///
/// # Errors
/// There is none, or more than one; the words say which there are.
pub fn choose(named: Option<&Path>) -> Result<Daemon, Unchosen> {
    if let Some(path) = named {
        let known = rings::of_mount(path).filter(|mount| mount.alive);
        let none = || format!("no fsd serves {}; `fsdiag mounts` lists what is mounted", path.display());
        return known.map(|known| Daemon { mount: known.mount.into() }).ok_or_else(|| Unchosen::None(none()));
    }
    let known = rings::mounts();
    let mut elsewhere = mounted();
    elsewhere.retain(|mount| !known.iter().any(|known| known.connection == mount.connection()));
    let running: Vec<PathBuf> = known.into_iter().filter(|mount| mount.alive).map(|mount| mount.mount.into()).collect();
    match (running.as_slice(), elsewhere.as_slice()) {
        ([], []) => Err(Unchosen::None("no fsd is running for this user".to_owned())),
        ([one], []) => Ok(Daemon { mount: one.clone() }),
        (here, elsewhere) => {
            let name = |point: &PathBuf| format!("  {}", point.display());
            let unseen = |mount: &Mount| name(&mount.point) + " (its records are in a directory of its own)";
            let names: Vec<_> = here.iter().map(name).chain(elsewhere.iter().map(unseen)).collect();
            Err(Unchosen::Several(format!("several fsd are mounted, name one:\n{}", names.join("\n"))))
        }
    }
}

/// What the kernel shows as mounts of fsd that are this user's; who keeps its records elsewhere runs all the same.
fn mounted() -> Vec<Mount> {
    let uid = fs::metadata("/proc/self").map_or(0, |meta| meta.uid());
    let ours = |mount: &Mount| uid == 0 || mount.option("user_id").is_some_and(|id| id == uid.to_string());
    let mut all = mountinfo::read().unwrap_or_default();
    all.retain(|mount| mount.is_fuse() && mount.kind() == "fsd" && ours(mount));
    all.sort_by_key(Mount::connection);
    // A directory that is shown at another place, too, is no other mount.
    all.dedup_by_key(|mount| mount.connection());
    all
}
