//! Episodes: the dumps of one process beside each other. An operation is the same one when its id is the same.

use super::{
    case::seconds,
    chain,
    fact::{Dump, Place, Thread},
    model::{Model, ops::Micros},
    report::{Change, Compared, Episode},
    tables::OpRow,
};

/// Every process whose dumps tell of operations.
pub fn all(model: &Model) -> Vec<Episode> {
    let mut left: Vec<&(Place, Box<Dump>, Option<u64>)> = model.dumps.iter().collect();
    // Sorting keeps the order of the inputs where a tool tells no time.
    left.sort_by_key(|(.., wall)| *wall);
    let mut episodes = Vec::new();
    while let Some((_, first, _)) = left.first().copied() {
        let same = |dump: &Dump| dump.pid == first.pid && dump.format == first.format && dump.process == first.process;
        let (dumps, others): (Vec<_>, Vec<_>) = left.into_iter().partition(|(_, dump, _)| same(dump));
        if dumps.iter().any(|(_, dump, _)| !dump.tables.ops.is_empty()) {
            episodes.push(episode(model, &dumps));
        }
        left = others;
    }
    episodes
}

fn episode(model: &Model, dumps: &[&(Place, Box<Dump>, Option<u64>)]) -> Episode {
    let (last, before) = dumps.split_last().map_or((None, dumps), |(last, before)| (Some(&*last.1), before));
    let mut ops: Vec<Compared> = Vec::new();
    if let Some(last) = last {
        let earlier: Vec<&Dump> = before.iter().map(|(_, dump, _)| &**dump).collect();
        ops.extend(last.tables.ops.iter().map(|op| still(last, op, &earlier)));
        ops.extend(gone(last, &earlier));
    }
    let path = |(place, ..): &&(Place, Box<Dump>, Option<u64>)| {
        model.inputs.get(usize::from(place.input.0)).map(|input| input.path.clone()).unwrap_or_default()
    };
    let wall = |at: Option<&&(Place, Box<Dump>, Option<u64>)>| at.and_then(|(.., wall)| *wall);
    let span = wall(dumps.last()).zip(wall(dumps.first())).map(|(last, first)| last.saturating_sub(first));
    Episode {
        process: last.and_then(|dump| dump.process.as_deref()).map(str::to_owned),
        pid: last.and_then(|dump| dump.pid),
        dumps: dumps.iter().map(path).collect(),
        span_s: span.filter(|_| dumps.len() > 1).map(age),
        ops,
    }
}

/// An operation of the last dump, beside the same one in the dumps before.
fn still(last: &Dump, op: &OpRow, earlier: &[&Dump]) -> Compared {
    let known = earlier.last().and_then(|dump| Some((*dump, dump.tables.op(op.id)?)));
    let step = known.map(|(dump, then)| moved((dump, then), (last, op)));
    let (change, detail) = match (earlier.is_empty(), step) {
        (true, _) => (None, None),
        (false, None) => (Some(Change::New), None),
        (false, Some(None)) => {
            (Some(Change::NotMoved), Some(format!("the same in {} dumps", 1 + alike(last, op, earlier))))
        }
        (false, Some(moved)) => (Some(Change::Moved), moved),
    };
    compared(last, op, change, detail)
}

fn compared(dump: &Dump, op: &OpRow, change: Option<Change>, detail: Option<String>) -> Compared {
    Compared {
        op: op.op.to_string(),
        id: op.id.to_string(),
        path: op.path.as_deref().map(str::to_owned),
        age_s: age(op.age_us),
        change,
        detail,
        chain: chain::of_op(dump, op.id),
    }
}

/// Operations of earlier dumps that have ended since, each as the last dump that had it shows it.
fn gone(last: &Dump, earlier: &[&Dump]) -> Vec<Compared> {
    let mut gone: Vec<Compared> = Vec::new();
    for dump in earlier.iter().rev() {
        for op in dump.tables.ops.iter().filter(|op| last.tables.op(op.id).is_none()) {
            let id = op.id.to_string();
            if gone.iter().all(|known| known.id != id) {
                gone.push(compared(dump, op, Some(Change::Gone), None));
            }
        }
    }
    gone
}

/// In how many of the dumps before, counted backwards, the operation stood as it stands now.
fn alike(last: &Dump, op: &OpRow, earlier: &[&Dump]) -> usize {
    let same = |dump: &&&Dump| dump.tables.op(op.id).is_some_and(|then| moved((dump, then), (last, op)).is_none());
    earlier.iter().rev().take_while(same).count()
}

/// What is different about an operation; None where it stands still.
fn moved(then: (&Dump, &OpRow), now: (&Dump, &OpRow)) -> Option<String> {
    let ((before, was), (after, is)) = (then, now);
    if let Some(task) = is.task.filter(|task| was.task == Some(*task)) {
        let have = |dump: &Dump| dump.tables.task(task).map(|task| task.have);
        if let (Some(old), Some(new)) = (have(before), have(after))
            && old != new
        {
            return Some(format!("task {task}: {} more bytes", new.saturating_sub(old)));
        }
    }
    if (was.task, was.need, was.phase) != (is.task, is.need, is.phase) {
        return Some(String::from("it waits for something else"));
    }
    let lock = |dump: &'_ Dump| dump.tables.wanted_by(is.id, None).map(|lock| (lock.key.clone(), ids(lock)));
    let (old, new) = (lock(before), lock(after));
    if old != new {
        let same = old.zip(new).is_some_and(|(old, new)| old.0 == new.0);
        return Some(String::from(if same { "its lock has another holder" } else { "it waits for another lock" }));
    }
    let frames = |dump: &Dump| serving(dump, is.id).map(|thread| thread.frames.clone());
    let (old, new) = (frames(before), frames(after));
    (old != new).then(|| String::from("its thread is elsewhere"))
}

fn ids(lock: &super::tables::LockRow) -> Vec<u64> {
    lock.holders.iter().map(|holder| holder.id).collect()
}

/// The thread that runs the operation's callback.
fn serving(dump: &Dump, id: u64) -> Option<&Thread> {
    let serves = |thread: &&Thread| thread.op.is_some_and(|(key, _)| key == Some(super::fact::Key::Num(id)));
    dump.threads.iter().find(serves)
}

/// Microseconds as the report gives them.
fn age(us: u64) -> f64 {
    seconds(Micros::try_from(us).unwrap_or(Micros::MAX))
}

#[cfg(test)]
mod tests {
    use fsd_events::op::Op;

    use super::*;
    use crate::engine::{
        fact::{At, Fact, What},
        model::Limits,
        tables::{Tables, TaskRow},
    };

    fn op(id: u64, task: u64) -> OpRow {
        OpRow {
            id,
            op: Op::Read,
            age_us: 20_000_000,
            thread: 1,
            ino: 1,
            fh: None,
            path: Some("a/b".into()),
            task: Some(task),
            need: None,
            phase: None,
            line: 1,
        }
    }

    fn task(id: u64, have: u64) -> TaskRow {
        TaskRow {
            id,
            kind: fsd_events::event::TaskKind::Download,
            age_us: 1,
            parent: None,
            fh: None,
            path: None,
            phase: None,
            have,
            want: 100,
            line: 1,
        }
    }

    fn model(dumps: Vec<(u64, Tables)>) -> Model {
        let mut model = Model::new(Limits::default());
        for (wall, tables) in dumps {
            let input = model.input(&format!("stacks-{wall}.log"));
            let dump = Dump { format: "fsd-stacks".into(), pid: Some(7), tables, ..Dump::default() };
            let at = At { wall_us: Some(wall * 1_000_000), mono_us: None };
            model.apply(&Fact { place: Place { input, line: 1, part: 0 }, at, what: What::Dump(Box::new(dump)) });
        }
        model
    }

    #[test]
    fn operations_are_followed_by_id_over_dumps_in_any_order_of_inputs() {
        let tables = |ops: &[u64], have: [u64; 2]| Tables {
            ops: ops.iter().map(|id| op(*id, 10 + id % 2)).collect(),
            tasks: vec![task(10, have[0]), task(11, have[1])],
            locks: Vec::new(),
        };
        let later = (30, tables(&[2, 3, 5], [8, 60]));
        let episodes = all(&model(vec![later, (10, tables(&[1, 2, 3], [8, 50])), (20, tables(&[2, 3, 4], [8, 55]))]));
        let [episode] = &episodes[..] else { panic!("{episodes:?}") };
        assert_eq!((episode.dumps.len(), episode.span_s, &*episode.dumps[0]), (3, Some(20.0), "stacks-10.log"));
        let told: Vec<_> = episode.ops.iter().map(|op| (&*op.id, op.change, op.detail.as_deref())).collect();
        assert_eq!(
            told,
            [
                ("2", Some(Change::NotMoved), Some("the same in 3 dumps")),
                ("3", Some(Change::Moved), Some("task 11: 5 more bytes")),
                ("5", Some(Change::New), None),
                ("4", Some(Change::Gone), None),
                ("1", Some(Change::Gone), None),
            ]
        );
    }

    #[test]
    fn one_dump_shows_its_operations_and_compares_nothing() {
        let episodes = all(&model(vec![(10, Tables { ops: vec![op(1, 10)], ..Tables::default() })]));
        assert_eq!((episodes[0].span_s, episodes[0].ops[0].change), (None, None));
        assert!(all(&model(vec![(10, Tables::default())])).is_empty());
    }
}
