//! Front: the first lines of an input, held back until their times tell whether the latest stands first, as stores of
//! logs show and export what they keep.

use fsd_events::line::{Decoded, decode};

use super::ties;
use crate::formats::{clock::Stamp, envelope, scan};

/// Lines of which it is not known yet in which order they stand.
#[derive(Default)]
pub(super) struct Front {
    pub(super) held: Vec<(u64, Vec<u8>)>,
    bytes: usize,
    order: Watch,
}

/// How lines of a log follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Forward,
    Backward,
}

/// How times followed each other so far.
#[derive(Default)]
struct Watch {
    last: Option<(u8, u64)>,
    up: u32,
    down: u32,
}

/// So many lines without a time have none.
const UNTIMED: usize = 64;
/// So many steps of time tell the direction.
const STEPS: u32 = 8;
/// So many do where all of them go on, in lines enough to show their widths: most logs stand so.
const ONWARD: u32 = 3;
/// More is not held back for it, bytes: the lines are all of one second.
const MOST: usize = 512 << 10;
/// More lines than these are not read both ways.
const MOST_PAIRED: usize = 4096;

impl Front {
    pub(super) fn add(&mut self, number: u64, line: &[u8]) {
        self.bytes += line.len();
        self.order.see(time_of(line));
        self.held.push((number, line.to_vec()));
    }

    /// None: the lines so far do not tell.
    pub(super) fn order(&self) -> Option<Order> {
        let Watch { last, up, down } = self.order;
        let untimed = last.is_none() && self.held.len() >= UNTIMED;
        let onward = down == 0 && up >= ONWARD && self.held.len() >= UNTIMED;
        let enough = onward || up + down >= STEPS || self.bytes >= MOST || untimed;
        enough.then(|| self.likely())
    }

    /// The same where no further line comes.
    pub(super) fn likely(&self) -> Order {
        /// Once a clock was set, or two files were put together.
        const MORE_THAN_ONCE: u32 = 2;
        let Watch { up, down, .. } = self.order;
        if down >= MORE_THAN_ONCE && down > 3 * up { Order::Backward } else { Order::Forward }
    }

    /// The same at the end of an input, where the lines themselves may tell: no request ends before it begins.
    pub(super) fn likely_at_end(&self) -> Order {
        /// Fewer may be of a log that was cut.
        const FEWEST: usize = 3;
        let lines = || self.held.iter().map(|(_, line)| &line[..]);
        let likely = self.likely();
        if likely == Order::Backward || self.order.up > 0 || self.held.len() > MOST_PAIRED {
            return likely;
        }
        let turned = ties::paired(lines().rev());
        let is_turned = turned >= FEWEST && turned > 2 * ties::paired(lines());
        if is_turned { Order::Backward } else { likely }
    }
}

impl Watch {
    fn see(&mut self, time: Option<(u8, u64)>) {
        let Some((clock, now)) = time else { return };
        match self.last.replace((clock, now)) {
            Some((before, then)) if before == clock => {
                self.up += u32::from(now > then);
                self.down += u32::from(now < then);
            }
            _ => {}
        }
    }
}

/// The time of a line and by which kind of clock.
pub(super) fn time_of(line: &[u8]) -> Option<(u8, u64)> {
    if line.starts_with(b"{")
        && let Decoded::Event(event) = decode(line)
    {
        return Some((0, event.head.ts_us));
    }
    let number = |stamp| match stamp {
        Stamp::Wall(us) => (0, us),
        Stamp::OfDay(us) => (1, us),
        Stamp::OfYear(us) => (2, us),
        Stamp::Mono(us) => (3, us),
    };
    let text = scan::text(line);
    // Most lines of most logs, told by one look.
    let plain = envelope::stamped(&text).map(|(stamp, _)| stamp);
    plain.or_else(|| envelope::time_of(&text)).map(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn front(times: &[u32]) -> Front {
        let mut front = Front::default();
        for (time, number) in times.iter().zip(1..) {
            front.add(number, format!("2026-11-22T09:43:{time:02}Z x").as_bytes());
        }
        front
    }

    #[test]
    fn times_that_fall_tell_that_the_latest_line_stands_first() {
        let down: Vec<u32> = (0..20).rev().collect();
        assert_eq!(front(&down).order(), Some(Order::Backward));
        assert_eq!(front(&[9, 9, 8, 8, 7]).order(), None);
        assert_eq!(front(&[9, 9, 8, 8, 7]).likely(), Order::Backward);
    }

    #[test]
    fn a_clock_that_is_set_once_turns_no_log_round() {
        assert_eq!(front(&[1, 2, 3, 1, 2, 3, 4, 5, 6, 7]).order(), Some(Order::Forward));
        assert_eq!(front(&[9, 9, 1]).likely(), Order::Forward);
        assert_eq!(front(&[]).likely(), Order::Forward);
    }

    #[test]
    fn requests_that_end_before_they_begin_tell_it_where_times_do_not() {
        let mut front = Front::default();
        for id in (1..5).rev() {
            front.add(id, format!("2026-11-22T09:43:26Z [FUSE] Getattr EXIT (id={id}, elapsed=1ms)").as_bytes());
            front.add(id, format!("2026-11-22T09:43:26Z [FUSE] Getattr ENTER (id={id})").as_bytes());
        }
        assert_eq!((front.likely(), front.likely_at_end()), (Order::Forward, Order::Backward));
        front.held.reverse();
        assert_eq!(front.likely_at_end(), Order::Forward);
    }

    #[test]
    fn lines_without_times_stand_as_they_were_written() {
        let mut front = Front::default();
        (0..UNTIMED as u64).for_each(|number| front.add(number, b"unique: 2, opcode: LOOKUP (1)"));
        assert_eq!(front.order(), Some(Order::Forward));
    }
}
