//! Open requests: whatever is packed comes out as it went in, and nobody can tell who is packed.

use std::collections::HashMap;

use fsd_events::event::Phase;
use proptest::{option, prelude::*, sample::select};

use super::*;
use crate::engine::{
    fact::{Call, InputId, Name, Place},
    model::ops::PhaseAt,
};

fn place() -> impl Strategy<Value = Place> {
    (any::<u16>(), any::<u64>()).prop_map(|(input, line)| Place { input: InputId(input), line, part: 0 })
}

fn key() -> impl Strategy<Value = Key> {
    let number = prop_oneof![0..2000_u64, any::<u64>()];
    (0..4_u8, number).prop_map(|(kind, n)| match kind {
        0 => Key::Num(n),
        1 => Key::Hex(n),
        2 => Key::Line(n),
        _ => Key::Thread(n),
    })
}

fn text() -> impl Strategy<Value = Option<Name>> {
    option::of("[ab]{0,3}".prop_map(|text: String| text.into()))
}

fn call() -> impl Strategy<Value = Call> {
    let ops: Vec<Op> = Op::all().collect();
    let texts = (text(), text(), option::of(any::<u32>()), option::of(any::<u32>()));
    let numbers = proptest::array::uniform5(option::of(any::<u64>()));
    (key(), select(ops), texts, numbers, any::<[bool; 3]>()).prop_map(|(key, op, texts, numbers, flags)| {
        let ((thread, path, tid, pid), [ino, fh, off, len, unique]) = (texts, numbers);
        let [resent, asynchronous, ambiguous] = flags;
        Call {
            key,
            op,
            thread,
            tid,
            pid,
            ino,
            fh,
            path,
            off,
            len,
            unique,
            resent,
            asynchronous,
            ambiguous,
            doing: None,
        }
    })
}

fn open() -> impl Strategy<Value = OpenOp> {
    let phase = (select(Phase::ALL), text(), option::of(any::<i64>()), place());
    let phase = phase.prop_map(|(phase, detail, since, place)| PhaseAt {
        phase,
        detail: detail.unwrap_or_default(),
        since,
        place,
    });
    let rest = (place(), option::of(any::<i64>()), any::<u64>(), option::of(phase), any::<bool>());
    (call(), rest).prop_map(|(call, (place, at, order, phase, interrupted))| OpenOp {
        call: Box::new(call),
        place,
        at,
        order,
        phase,
        interrupted,
    })
}

fn shown(op: &OpenOp) -> String {
    format!("{op:?}")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_packed_comes_out_as_it_went_in(all in proptest::collection::vec(open(), 1..200), gone: u64) {
        let (mut packed, mut plain) = (Packed::default(), HashMap::new());
        for op in all {
            if let Some(before) = plain.remove(&op.key()) {
                prop_assert_eq!(packed.remove(&op.key()).as_ref().map(shown), Some(shown(&before)));
            }
            packed.insert(op.clone());
            plain.insert(op.key(), op);
        }
        let keys: Vec<Key> = plain.keys().copied().filter(|key| format!("{key:?}").len() as u64 % 3 == gone % 3).collect();
        for key in keys {
            prop_assert_eq!(packed.remove(&key).as_ref().map(shown), plain.remove(&key).as_ref().map(shown));
            prop_assert!(!packed.contains(&key));
        }
        prop_assert_eq!(packed.len(), plain.len());
        for (key, op) in &plain {
            prop_assert_eq!(packed.get(key).as_ref().map(shown), Some(shown(op)));
        }
        let mut glances: Vec<String> = packed.glances().map(|glance| format!("{glance:?}")).collect();
        let mut wanted: Vec<String> = plain.values().map(|op| format!("{:?}", Glance::of(op))).collect();
        glances.sort();
        wanted.sort();
        prop_assert_eq!(glances, wanted);
    }
}

fn read(id: u64) -> OpenOp {
    let call = Call { path: Some(format!("/f{}", id % 10).into()), ..Call::new(Key::Num(id), Op::Read) };
    let place = Place { input: InputId(0), line: id, part: 0 };
    OpenOp { call: Box::new(call), place, at: Some(id as i64 * 10), order: id, phase: None, interrupted: false }
}

#[test]
fn nobody_can_tell_who_is_packed() {
    let mut open = OpenOps::default();
    for id in 0..50_000 {
        open.insert(read(id));
        // Most end, some at once and some late, and every seventh stays.
        if id % 7 != 0 {
            assert!(open.remove(&Key::Num(id)).is_some());
        }
    }
    let stayed = (0..50_000).filter(|id| id % 7 == 0);
    assert_eq!((open.len(), open.glances().count()), (stayed.clone().count(), stayed.clone().count()));
    let mut orders: Vec<u64> = open.judged(|_| false).map(|op| op.order).collect();
    orders.sort_unstable();
    assert_eq!(orders, stayed.clone().collect::<Vec<_>>());
    for id in stayed {
        assert_eq!(open.get(&Key::Num(id)).map(|op| shown(&op)), Some(shown(&read(id))));
        open.get_mut(&Key::Num(id)).expect("it is open").interrupted = true;
        assert!(open.remove(&Key::Num(id)).is_some_and(|op| op.interrupted));
    }
    assert!(open.is_empty());
}

#[test]
fn of_a_crowd_the_oldest_and_the_mentioned_are_judged_and_all_are_counted() {
    let mut open = OpenOps::default();
    let many = (JUDGED + LATEST + 1000) as u64;
    (0..many).for_each(|id| drop(open.insert(read(id))));
    let mentioned = Key::Num(many - LATEST as u64 - 1);
    let judged: Vec<u64> = open.judged(|key| key == mentioned).map(|op| op.order).collect();
    let left = open.unjudged();
    assert_eq!(judged.len() as u64 + left.kinds[&Op::Read], many);
    assert!(judged.contains(&0) && judged.contains(&(JUDGED as u64 - 2)) && !judged.contains(&(JUDGED as u64 - 1)));
    assert!(judged.contains(&(many - 1)) && judged.contains(&(many - LATEST as u64 - 1)));
}

#[test]
fn gaps_are_filled_and_a_request_of_a_crowd_takes_little_room() {
    let mut packed = Packed::default();
    for id in 0..200_000_u64 {
        packed.insert(read(id));
        if id >= 1000 {
            packed.remove(&Key::Num(id - 1000));
        }
    }
    assert!(packed.bytes() < 200_000, "{} bytes for 1000 requests", packed.bytes());
    let mut packed = Packed::default();
    (0..100_000).for_each(|id| packed.insert(read(id)));
    assert!(packed.bytes() / 100_000 < 40, "{} bytes a request", packed.bytes() / 100_000);
}
