//! Choice: every FUSE mount, and every fsd that died and left a record, for the user to choose from.

use std::{path::PathBuf, time::Duration};

use super::{Show, Step};
use crate::{
    commands::mounts::{Health, health},
    engine::model::Limits,
    sources::{
        kernel::{
            brief::{self, Brief},
            look::Sources,
            mountinfo,
        },
        rings,
    },
    tui::picture::{Choice, Picture, Source, SourceState},
};

/// Between two looks at all mounts.
const PACE: Duration = Duration::from_secs(1);

pub(super) struct Choices {
    limits: Limits,
}

impl Choices {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits }
    }
}

impl Show for Choices {
    fn step(&mut self, now_us: u64) -> Step {
        let source = Source { title: "mounts".to_owned(), state: SourceState::Choosing, now_us, ..Source::default() };
        let picture = match all(self.limits) {
            Ok((mounts, notes)) => Picture { source, mounts, notes, ..Picture::default() },
            Err(error) => {
                let state = SourceState::Failed {
                    what: format!("/proc/self/mountinfo: {error}"),
                    next: "Name a file: fsdiag tui FILE".to_owned(),
                };
                Picture { source: Source { state, ..source }, ..Picture::default() }
            }
        };
        Step { picture: Some(picture), pause: PACE }
    }
}

/// Everything that can be looked at; nothing is asked that could hang.
pub(super) fn all_points() -> Vec<PathBuf> {
    let mut points: Vec<PathBuf> =
        mountinfo::read().unwrap_or_default().into_iter().filter(|m| m.is_fuse()).map(|m| m.point).collect();
    points.extend(rings::mounts().into_iter().map(|mount| PathBuf::from(mount.mount)));
    points.sort();
    points.dedup();
    points
}

/// The sick first, then by name; and what could not be read.
fn all(limits: Limits) -> std::io::Result<(Vec<Choice>, Vec<String>)> {
    let mounts = mountinfo::read()?;
    let sources = Sources::open(&mounts, &[]);
    let stalled_us = u64::try_from(limits.stalled_us).unwrap_or(0);
    let briefs = brief::all(&mounts, &sources);
    let mut rows: Vec<Choice> = briefs.iter().map(|brief| row(brief, stalled_us)).collect();
    let dead = rings::mounts().into_iter().filter(|own| !own.alive && rows.iter().all(|row| row.mount != own.mount));
    rows.extend(
        dead.map(|own| Choice {
            mount: own.mount,
            kind: "fsd".to_owned(),
            daemon: format!("fsd {} died, its record is left", own.pid),
            health: Health::Dead.word().to_owned(),
            sick: true,
            ..Choice::default()
        })
        .collect::<Vec<_>>(),
    );
    rows.sort_by(|a, b| b.sick.cmp(&a.sick).then_with(|| a.mount.cmp(&b.mount)));
    let missing = sources.missing().into_iter().map(|why| format!("not available: {why}")).collect();
    Ok((rows, missing))
}

fn row(brief: &Brief, stalled_us: u64) -> Choice {
    let health = health(brief, stalled_us);
    let oldest = brief.oldest.as_ref().map(|seen| {
        let op = seen.request.op().map_or_else(|| format!("opcode {}", seen.request.opcode), |op| op.to_string());
        seen.path().map_or(op.clone(), |path| format!("{op} {path}"))
    });
    let doubt = if brief.sure { "" } else { "?" };
    Choice {
        mount: brief.mount.point.display().to_string(),
        kind: brief.mount.fstype.clone(),
        daemon: brief.holder.as_ref().map(|h| format!("{}{doubt} {}", h.comm, h.pid)).unwrap_or_default(),
        waiting: brief.waiting,
        oldest: oldest.unwrap_or_default(),
        oldest_us: brief.oldest_us,
        health: health.word().to_owned(),
        sick: health.is_sick(),
        unknown: health == Health::Unknown,
    }
}
