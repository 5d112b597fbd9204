//! Kernel side: looks at one mount, judged, and as pictures.

use std::collections::HashMap;

use super::watch::{self, Watch};
use crate::{
    commands::attach::judge::{Judged, judge},
    engine::model::{Limits, Now},
    sources::kernel::{
        daemon::Daemon,
        facts,
        look::{self, Look, Sources},
        mountinfo::Mount,
        rows::{self, Row},
        signature::Wait,
        sys,
        task::Task,
    },
    tui::{
        compose,
        picture::{LaneSpan, Moved, Operation, Picture, Source, SourceState, StackGroup, Verdict},
        trace::Trace,
    },
};

pub(in crate::tui::feed) struct KernelSide {
    pub(in crate::tui::feed) mount: Mount,
    mounts: Vec<Mount>,
    sources: Sources,
    seen: Option<Seen>,
    /// Thread by number: its stack and when it ran last, at the look before.
    before: HashMap<u32, (Vec<Box<str>>, Option<f64>)>,
}

/// The last look.
struct Seen {
    look: Look,
    rows: Vec<Row>,
    judged: Judged,
}

impl KernelSide {
    pub(in crate::tui::feed) fn new(mount: Mount, mounts: Vec<Mount>) -> Self {
        let sources = Sources::open(&mounts, &[]);
        Self { mount, mounts, sources, seen: None, before: HashMap::new() }
    }

    /// Whether nothing waited at the last look, nor waits now.
    pub(in crate::tui::feed) fn is_quiet(&self) -> bool {
        let waiting = self.sources.fusectl.as_ref().ok().and_then(|f| f.waiting(self.mount.connection()).ok());
        waiting == Some(0) && self.seen.as_ref().is_some_and(|seen| seen.rows.is_empty())
    }

    /// With what was seen live, where somebody watched.
    pub(in crate::tui::feed) fn look(&mut self, watch: Option<&mut Watch>, limits: Limits) {
        if let Some(seen) = &self.seen {
            let threads = seen.look.daemon().into_iter().flat_map(|daemon| &daemon.threads);
            self.before = threads.map(|task| (task.tid, (task.stack.clone(), task.ran_ms))).collect();
        }
        let at_ns = sys::mono_ns();
        let look = look::take(&self.mount, &self.mounts, &self.sources, &[]);
        let live = watch.filter(|watch| watch.is_open()).map(|watch| {
            watch.compare(look.view.as_ref(), at_ns);
            &watch.live
        });
        let rows = rows::of(&look, live);
        let judged = judge(&look, &rows, limits);
        self.seen = Some(Seen { look, rows, judged });
    }

    /// What the last look proves.
    pub(in crate::tui::feed) fn verdict(&self) -> Option<Verdict> {
        self.seen.as_ref()?.judged.report.verdicts.first().map(compose::verdict)
    }

    /// The last look as a picture, with what the trace has seen pass.
    pub(in crate::tui::feed) fn picture(&self, trace: &mut Trace, source: Source) -> Picture {
        let Some(Seen { look, rows, judged }) = &self.seen else { return Picture::default() };
        trace.tick(Some(sys::mono_ns() / 1000), Some(sys::wall_us()));
        trace.inflight_is(rows.len());
        let now = Now { wall_us: Some(sys::wall_us()) };
        let source = Source {
            title: self.mount.point.display().to_string(),
            kind: self.mount.fstype.clone(),
            state: if look.is_dead() {
                SourceState::Gone { why: "no process serves this mount any more".to_owned() }
            } else {
                SourceState::Live
            },
            pid: look.daemon().map(|daemon| daemon.pid),
            ..source
        };
        let mut picture = compose::picture(&judged.model, &judged.report, trace, source, now, Vec::new());
        picture.source.kernel_waiting = look.waiting;
        picture.source.untold = look.is_blind().then_some("run as root");
        picture.operations.iter_mut().for_each(|operation| known(operation, rows));
        picture.stacks = look.daemon().map(|daemon| self.stacks(daemon)).unwrap_or_default();
        picture.notes.extend(look.missing.iter().map(|why| format!("not available: {why}")));
        open_lanes(&mut picture, rows);
        picture
    }

    /// Threads of the daemon by what they do in the kernel.
    fn stacks(&self, daemon: &Daemon) -> Vec<StackGroup> {
        let mut groups: Vec<StackGroup> = Vec::new();
        for task in &daemon.threads {
            let frames: Vec<String> = match task.stack.as_slice() {
                [] => vec![task.where_text()],
                stack => stack.iter().map(ToString::to_string).collect(),
            };
            let (moved, state) = (self.moved(task), task.state.map(|s| s.to_string()).unwrap_or_default());
            let name = format!("{}/{}", task.comm, task.tid);
            match groups.iter_mut().find(|group| group.frames == frames && group.moved == moved) {
                Some(group) => group.threads.push(name),
                None => {
                    let waits = task.waits().map(|(wait, _)| words(wait).to_owned()).unwrap_or_default();
                    groups.push(StackGroup { threads: vec![name], state, moved, frames, waits });
                }
            }
        }
        groups.sort_by_key(|group| (group.waits == words(Wait::Idle), std::cmp::Reverse(group.threads.len())));
        groups
    }

    fn moved(&self, task: &Task) -> Moved {
        match self.before.get(&task.tid) {
            None if self.before.is_empty() => Moved::Unknown,
            None => Moved::New,
            Some((stack, ran)) if *stack == task.stack && *ran == task.ran_ms => Moved::Same,
            Some(_) => Moved::Moved,
        }
    }
}

fn words(wait: Wait) -> &'static str {
    match wait {
        Wait::Idle => "reads the device",
        Wait::Reply => "an answer of a FUSE daemon",
        Wait::Page => "a page",
        Wait::Background => "a background slot",
        Wait::ReverseNotify => "its own kernel",
        Wait::Directory => "another request in the directory",
        Wait::LockedPage => "a page that a READ has locked",
        Wait::Polling => "polls descriptors",
    }
}

/// What the row behind an operation knows.
fn known(operation: &mut Operation, rows: &[Row]) {
    let is = |row: &&Row| match row.sender.pid {
        Some(pid) if row.unique == 0 => operation.id == format!("thread {pid}"),
        _ => operation.id == row.unique.to_string(),
    };
    let Some(row) = rows.iter().find(is) else { return };
    let client = match (&row.sender.comm, row.sender.pid) {
        (Some(comm), Some(pid)) => format!(", sent by {comm} {pid}"),
        (None, Some(pid)) if row.sender.gone => format!(", its client {pid} is gone"),
        _ => String::new(),
    };
    let server = row.server.as_ref().map(|s| format!(" in {}", s.waits)).unwrap_or_default();
    operation.waits = format!("{}{server}{client}", facts::state_word(row).to_lowercase());
    operation.thread = row.server.as_ref().map(|s| format!("{}/{}", s.comm, s.tid)).unwrap_or_default();
    operation.path = row.path.clone().or_else(|| row.name.clone()).unwrap_or_default();
}

/// What is open runs on the lane of the thread that serves it, or on that of those of which only the state is known.
fn open_lanes(picture: &mut Picture, rows: &[Row]) {
    let now = picture.source.now_us;
    for row in rows {
        let (Some(op), Some(age_us)) = (row.op, row.age_us) else { continue };
        let state = || facts::state_word(row).to_lowercase();
        let worker = row.server.as_ref().map_or_else(state, |server| watch::lane(server.tid));
        let span = LaneSpan { start_us: now.saturating_sub(age_us), end_us: None, op };
        match picture.lanes.iter_mut().find(|lane| lane.worker == worker) {
            Some(lane) => lane.spans.push(span),
            None => picture.lanes.push(crate::tui::picture::Lane { worker, spans: vec![span] }),
        }
    }
}
