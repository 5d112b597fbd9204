//! ceph-fuse's own tables of what it waits for, as its admin socket shows them: `objecter_requests`, what was sent to
//! storage, and `mds_requests`, what was sent to a metadata server.

use fsd_events::op::Op;

use super::{Draft, hand_over};
use crate::{
    engine::fact::{Fact, Frame, Thread, What},
    formats::{Line, Mark, Parser, Taken, scan},
};

pub(crate) fn parser() -> Box<dyn Parser> {
    Box::new(CephRequests::default())
}

#[derive(Default)]
struct CephRequests {
    draft: Option<Draft>,
    row: Option<Row>,
    /// The list of operations of a row is open.
    in_ops: bool,
    /// There was a request of which nothing tells what it is.
    untold: bool,
}

/// A request as far as it has been read.
#[derive(Default)]
struct Row {
    line: u64,
    tid: u64,
    to: Box<str>,
    object: Box<str>,
    age_us: Option<u64>,
    op: Option<Op>,
    /// It was sent to storage or to a metadata server, which no other list says.
    known: bool,
}

impl Parser for CephRequests {
    fn format(&self) -> &'static str {
        "ceph-requests"
    }

    fn marks(&self) -> &'static [Mark] {
        &[Mark::Starts("\"tid\": "), Mark::Starts("\"linger_ops\": "), Mark::Starts("\"request\": {")]
    }

    fn is_idle(&self) -> bool {
        self.draft.is_none()
    }

    fn line(&mut self, line: &Line<'_>, out: &mut Vec<Fact>) -> Taken {
        let text = scan::trimmed(line.text);
        let field = text.strip_prefix('"').and_then(|rest| scan::split(rest, "\": "));
        match field {
            Some(("tid", value)) => self.begin(line, value),
            Some(("linger_ops" | "request", _)) => {
                self.end_row();
                self.draft.get_or_insert_with(|| Draft::start(line, "ceph-requests"));
            }
            _ if self.draft.is_none() => return Taken::No,
            // Another table, of another moment.
            None if line.text == "{" => {
                self.finish(out);
                return Taken::No;
            }
            Some((key, value)) => self.field(key, value.trim_end_matches(',')),
            None if matches!(text, "{" | "[" | "]" | "],") => self.in_ops &= !text.starts_with(']'),
            None if matches!(text, "}" | "},") => self.end_row(),
            None if self.in_ops && text.starts_with('"') => self.operation(text.trim_matches(['"', ','])),
            None if text.is_empty() => return Taken::No,
            None => {
                self.finish(out);
                return Taken::No;
            }
        }
        Taken::Yes
    }

    fn finish(&mut self, out: &mut Vec<Fact>) {
        self.end_row();
        let untold = self.untold;
        // An empty table shows that nothing is waited for.
        if let Some(draft) = self.draft.as_mut().filter(|draft| draft.dump.threads.is_empty() && !untold) {
            let what = What::Dump(Box::new(std::mem::take(&mut draft.dump)));
            out.push(Fact { place: draft.place, at: draft.at, what });
        }
        hand_over(&mut self.draft, out);
        *self = Self::default();
    }
}

impl CephRequests {
    fn begin(&mut self, line: &Line<'_>, tid: &str) {
        self.end_row();
        let draft = self.draft.get_or_insert_with(|| Draft::start(line, "ceph-requests"));
        draft.dump.process = Some("ceph-fuse".into());
        let tid = scan::num(tid).map_or(0, |(tid, _)| tid);
        self.row = Some(Row { line: line.place.line, tid, ..Row::default() });
    }

    fn field(&mut self, key: &str, value: &str) {
        let Some(row) = &mut self.row else { return };
        let text = value.trim_matches('"');
        match key {
            "osd" | "mds" => {
                row.to = format!("ceph: {key}.{value}").into();
                row.known = true;
            }
            "object_id" | "path" => row.object = text.into(),
            "age" => {
                row.age_us =
                    value.parse::<f64>().ok().filter(|age| (0.0..1e9).contains(age)).map(|age| (age * 1e6) as u64)
            }
            "op" => row.op = of_metadata(text),
            "osd_ops" => self.in_ops = value == "[",
            _ => {}
        }
    }

    /// `read 0~4194304`
    fn operation(&mut self, text: &str) {
        let Some(row) = &mut self.row else { return };
        let op = match scan::word(text).0 {
            "read" | "sparse-read" => Some(Op::Read),
            "write" | "writefull" | "zero" | "truncate" => Some(Op::Write),
            _ => None,
        };
        row.op = row.op.or(op);
    }

    fn end_row(&mut self) {
        self.in_ops = false;
        let (Some(row), Some(draft)) = (self.row.take(), &mut self.draft) else { return };
        if !row.known || row.op.is_none() {
            self.untold = true;
            return;
        }
        let kind = if row.to.contains("mds") { "metadata request" } else { "storage request" };
        let frame = |function: &str| Frame { function: function.into(), args: row.object.clone(), ..Frame::default() };
        let thread = Thread {
            label: format!("{kind} {}", row.tid).into(),
            number: row.tid,
            since_us: row.age_us,
            op: row.op.map(|op| (None, op)),
            frames: vec![frame(&row.to)],
            ..Thread::default()
        };
        let place = crate::engine::fact::Place { line: row.line, ..draft.place };
        draft.thread(&Line { place, text: "", at: draft.at, host: "" }, thread);
    }
}

/// What the metadata server calls `getattr`, `lookup`, `readdir`.
fn of_metadata(name: &str) -> Option<Op> {
    match name {
        "lookupino" | "lookuphash" | "lookupparent" | "lookupname" => Some(Op::Lookup),
        "lssnap" => Some(Op::Readdir),
        "setlayout" | "setdirlayout" => Some(Op::Setattr),
        "setfilelock" => Some(Op::Setlk),
        "getfilelock" => Some(Op::Getlk),
        name => scan::op(name),
    }
}
