//! The walked stack, and the locks a thread holds, as lines of the file.

use std::fmt;

use fsd_events::stacks::{Frame, LockHold, Place, Writer};
use fsd_unwind::{Step, Trace, Walker};

use super::tables::Tables;

/// Eight bytes out of a stack copy that begins at `start`.
pub(super) fn word_of(copy: &[u8], start: u64, address: u64) -> Option<u64> {
    let at = usize::try_from(address.checked_sub(start)?).ok()?;
    copy.get(at..at.checked_add(8)?)?.try_into().ok().map(u64::from_ne_bytes)
}

pub(super) fn write(walker: &Walker, trace: &Trace, w: &mut Writer<'_>) -> fmt::Result {
    trace.inner().iter().try_for_each(|step| w.frame(&frame(walker, *step)))?;
    match trace.elided() {
        0 => {}
        elided => w.frame(&Frame::Elided(elided as u64))?,
    }
    trace.outer().try_for_each(|step| w.frame(&frame(walker, step)))?;
    if trace.rooted() { Ok(()) } else { w.frame(&Frame::Truncated) }
}

fn frame(walker: &Walker, step: Step) -> Frame<'static> {
    let place = walker.locate(step.lookup).map_or(Place::Unknown, |(module, offset)| Place::Module {
        module: u32::try_from(module).unwrap_or(u32::MAX),
        offset,
    });
    Frame::Call { address: Some(step.address), function: None, place }
}

/// The locks that the thread holds.
pub(super) fn holdings(tables: &Tables, tid: u32, w: &mut Writer<'_>) -> fmt::Result {
    for lock in tables.locks() {
        for holder in lock.holders.iter().filter(|holder| holder.tid == tid) {
            w.holding(&LockHold {
                lock: lock.number,
                name: holder.class.name().into(),
                key: holder.key,
                mode: holder.mode,
                for_ms: tables.ms_since(holder.since_us),
            })?;
        }
    }
    Ok(())
}
