//! What of the inputs counts, what of the report is shown, and what makes it a failure.

use fsd_events::{event::Event, ids::RunId, op::Op};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::engine::{
    fact::{At, Fact, InputId, Place, Remains, Sink, Writer},
    model::Model,
    report::{Cause, Confidence, Report},
};

/// Microseconds since 1970 of a moment as the user or a log writes it.
pub fn moment(text: &str) -> Result<u64, String> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let seconds = text.parse::<f64>().ok().filter(|_| plain).map(|s| (s * 1e6) as i128);
    let dated = || OffsetDateTime::parse(&rfc3339(text)?, &Rfc3339).ok().map(|t| t.unix_timestamp_nanos() / 1000);
    let us = seconds.or_else(dated).and_then(|us| u64::try_from(us).ok());
    us.ok_or_else(|| String::from("give `YYYY-MM-DD HH:MM:SS` or RFC 3339 (UTC where no zone is said), or seconds"))
}

/// A date with what logs leave out of the time behind it, and without their own separators.
fn rfc3339(text: &str) -> Option<String> {
    let (date, time) = text.split_at_checked(10)?;
    let time = if time.is_empty() { "T00:00" } else { time }.strip_prefix(['T', ' '])?;
    let (clock, zone) = time.split_at(time.find(['Z', '+', '-']).unwrap_or(time.len()));
    let clock = clock.trim_end();
    let seconds = if clock.len() == "00:00".len() { ":00" } else { "" };
    let zone = match zone.as_bytes() {
        [] => "Z".to_owned(),
        [b'+' | b'-', _, _] => format!("{zone}:00"),
        [b'+' | b'-', _, _, b'0'..=b'9', _] => format!("{}:{}", &zone[..3], &zone[3..]),
        _ => zone.to_owned(),
    };
    Some(format!("{}T{}{seconds}{zone}", date.replace('/', "-"), clock.replace(',', ".")))
}

/// An operation as any log or person spells it.
pub fn operation(text: &str) -> Result<Op, String> {
    Op::from_spelling(text).ok_or_else(|| String::from("give an operation, e.g. Read, Getattr or Lookup"))
}

/// A time span that is one.
pub fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds: &f64| seconds.is_finite() && *seconds >= 0.0);
    seconds.ok_or_else(|| String::from("give a number of seconds"))
}

/// From when to when; facts without a time count as the last one with a time before them in their input.
#[derive(Clone, Copy, Debug, Default)]
pub struct Window {
    pub since: Option<u64>,
    pub until: Option<u64>,
}

impl Window {
    /// A sink in front of the model that lets only this window pass.
    pub fn before<'m>(self, model: &'m mut Model, inside: &'m mut bool) -> Windowed<'m> {
        Windowed { window: self, model, inside }
    }

    pub fn has(self, wall_us: Option<u64>) -> bool {
        let Some(wall) = wall_us else { return true };
        self.since.is_none_or(|since| wall >= since) && self.until.is_none_or(|until| wall <= until)
    }
}

pub struct Windowed<'m> {
    window: Window,
    model: &'m mut Model,
    /// Whether the last fact with a time was in the window.
    inside: &'m mut bool,
}

impl Sink for Windowed<'_> {
    fn fact(&mut self, fact: Fact) {
        if fact.at.wall_us.is_some() {
            *self.inside = self.window.has(fact.at.wall_us);
        }
        if *self.inside || fact.at.mono_us.is_some() && fact.at.wall_us.is_none() {
            self.model.fact(fact);
        }
    }

    fn writer(&mut self, input: InputId, writer: Option<&Writer>, speaks: bool) {
        self.model.writer(input, writer, speaks);
    }

    fn boots(&mut self, input: InputId) {
        if *self.inside {
            self.model.boots(input);
        }
    }

    fn joins(&mut self, input: InputId, other: &Writer, daemon: &Writer) {
        self.model.joins(input, other, daemon);
    }

    fn leaves(&mut self, input: InputId) {
        if *self.inside {
            self.model.leaves(input);
        }
    }

    fn passed(&mut self, input: InputId, at: At, own: bool) {
        if self.window.has(at.wall_us) {
            self.model.passed(input, at, own);
        }
    }

    fn event(&mut self, place: Place, event: &Event<'_>) {
        *self.inside = self.window.has(Some(event.head.ts_us));
        if *self.inside {
            self.model.event(place, event);
        }
    }

    fn unknown(&mut self, place: Place, run: RunId, seq: u64, wall_us: u64) {
        *self.inside = self.window.has(Some(wall_us));
        if *self.inside {
            self.model.unknown(place, run, seq, wall_us);
        }
    }

    fn remains(&mut self, place: Place, remains: Remains) {
        if *self.inside {
            self.model.remains(place, remains);
        }
    }
}

/// What of a report is shown; verdicts stay, because they are made from everything.
pub struct Selection<'a> {
    pub op: Option<Op>,
    pub path: Option<&'a str>,
    pub id: Option<&'a str>,
}

impl Selection<'_> {
    pub fn apply(&self, report: &mut Report) {
        let of_op = |op: &str| self.op.is_none_or(|wanted| wanted.to_string() == op);
        let of_id = |id: Option<&str>| self.id.is_none_or(|wanted| id == Some(wanted));
        let of_path = |path: Option<&str>| self.path.is_none_or(|p| path.is_some_and(|path| path.contains(p)));
        report.orphans.retain(|o| of_op(&o.op) && of_id(Some(&o.id)) && of_path(o.path.as_deref()));
        report.ops.retain(|op, _| of_op(op));
        report.inflight.retain(|op, _| of_op(op));
        let chosen = self.op.is_some() || self.id.is_some();
        report.notes.retain(|n| !chosen || n.op.as_deref().is_some_and(of_op) && of_id(n.id.as_deref()));
    }
}

/// What exit code 1 needs.
pub enum FailOn {
    Any,
    Never,
    AtLeast(Confidence),
    Causes(Vec<Cause>),
}

impl FailOn {
    pub fn parse(words: &[String]) -> Result<Self, String> {
        const LEVELS: [Confidence; 4] = [Confidence::Low, Confidence::Medium, Confidence::High, Confidence::Certain];
        if let [word] = words {
            match word.as_str() {
                "any" => return Ok(Self::Any),
                "never" => return Ok(Self::Never),
                word => {
                    if let Some(level) = LEVELS.into_iter().find(|l| l.name() == word) {
                        return Ok(Self::AtLeast(level));
                    }
                }
            }
        }
        let cause = |word: &String| Cause::ALL.iter().copied().find(|c| c.name() == word).ok_or_else(|| word.clone());
        words.iter().map(cause).collect::<Result<_, _>>().map(Self::Causes)
    }

    pub fn fits(&self, report: &Report) -> bool {
        match self {
            Self::Any => !report.healthy,
            Self::Never => false,
            Self::AtLeast(level) => report.verdicts.iter().any(|v| v.confidence >= *level),
            Self::Causes(causes) => report.verdicts.iter().any(|v| causes.contains(&v.cause)),
        }
    }
}
