//! Stamps: the times that lines start with.

use super::scan;
use crate::engine::fact::At;

/// A time as one line states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stamp {
    /// Microseconds since 1970-01-01 UTC; a stamp without a zone is taken as UTC.
    Wall(u64),
    /// Microseconds since midnight: the date is not said.
    OfDay(u64),
    /// Microseconds since 1970-01-01 UTC, had it been in 1972, a leap year: the year is not said.
    OfYear(u64),
    /// Microseconds since some start, e.g. of the kernel.
    Mono(u64),
}

impl Stamp {
    /// The time of a line with this stamp inside another one. The inner one is nearer to the event; but lines without it
    /// have the outer one only, and between clocks of two kinds, or two zones, lies no age: there the outer one counts.
    pub(super) fn within(self, outer: Self) -> Self {
        match (outer, self) {
            (_, Stamp::Wall(_)) => self,
            (Stamp::OfDay(around), Stamp::OfDay(own)) => near(own, around).map_or(outer, Stamp::OfDay),
            (Stamp::OfYear(around), Stamp::OfYear(own)) => near(own, around).map_or(outer, Stamp::OfYear),
            (Stamp::OfYear(around), Stamp::OfDay(own)) => of_date(own, around).map_or(outer, Stamp::OfYear),
            _ => outer,
        }
    }
}

/// No line takes longer from one stamp to the other, one of which may be of whole seconds.
const AT_ONCE: u64 = 2_000_000;

/// The first of two times, unless something else than the way of a line lies between them.
fn near(own: u64, around: u64) -> Option<u64> {
    (own.abs_diff(around) <= AT_ONCE).then_some(own)
}

/// A time of day on the date of another stamp, or on the one before or behind it.
fn of_date(own: u64, around: u64) -> Option<u64> {
    let same = around - around % DAY_US + own;
    [same, same.saturating_sub(DAY_US), same + DAY_US].into_iter().find_map(|own| near(own, around))
}

/// By how much the stamps of a daemon differ from those that a container or the journal puts before them: they may be of
/// another zone.
#[derive(Debug, Default)]
pub(super) struct Zone {
    apart: i64,
}

impl Zone {
    /// The time of a line by the daemon's own clock, also where the line has only the stamp `around` the others.
    pub(super) fn own(&mut self, at: At, around: Option<Stamp>) -> At {
        match (at.wall_us, around) {
            (Some(own), Some(Stamp::Wall(around))) => self.apart = between(own, around),
            (Some(around), None) if self.apart != 0 => {
                return At { wall_us: around.checked_add_signed(self.apart), ..at };
            }
            _ => {}
        }
        at
    }
}

/// What lies between two clocks, without what a line took from one to the other: zones differ by quarters of an hour.
/// What differs by anything else was stamped anew, later than it was written.
fn between(own: u64, around: u64) -> i64 {
    const QUARTER: i64 = 900_000_000;
    let apart = own as i64 - around as i64;
    let zone = (apart + QUARTER / 2).div_euclid(QUARTER) * QUARTER;
    if apart.abs_diff(zone) <= AT_ONCE { zone } else { apart }
}

pub(super) const DAY_US: u64 = 86_400_000_000;

/// Turns stamps into times that fall neither at midnight or new year, nor when the clock is put back an hour.
#[derive(Debug, Default)]
pub(super) struct Days {
    last: Option<i64>,
    /// What all those made of it in microseconds.
    passed: i64,
    /// The clock was put back by so much.
    put_back: i64,
}

const DAY: i64 = DAY_US as i64;
/// Of a leap year; one day less passes at the end of February where there is no other.
const YEAR: i64 = 366 * DAY;
/// Midnight before the 28th of February, in the days that [`month_first`] counts.
const END_OF_FEBRUARY: i64 = (730 + 58) * DAY;
/// Whoever writes later than others does not do so by that much.
const STEP: i64 = 600_000_000;

impl Days {
    /// The same of what may have none. On its own: where it is made part of its caller, the compiler takes the times
    /// apart into bits and puts them together again, which costs as much as the rest of a line.
    #[inline(never)]
    pub(super) fn at_any(&mut self, stamp: Option<Stamp>) -> At {
        match stamp {
            Some(stamp) => self.at(stamp),
            None => At::default(),
        }
    }

    pub(super) fn at(&mut self, stamp: Stamp) -> At {
        match stamp {
            Stamp::Wall(us) => At { wall_us: Some(us), mono_us: None },
            Stamp::Mono(us) => At { wall_us: None, mono_us: Some(us) },
            Stamp::OfDay(us) => self.since(us, DAY),
            Stamp::OfYear(us) => self.since(us, YEAR),
        }
    }

    /// `turn`: where these stamps begin again.
    fn since(&mut self, us: u64, turn: i64) -> At {
        let now = us as i64;
        let before = self.last.replace(now).unwrap_or(now);
        match now - before {
            back if back < -turn / 2 => self.passed += turn,
            // Machines of one log are in two years, or two zones, and write by turns.
            on if turn == YEAR && on > turn / 2 => self.passed -= turn.min(self.passed),
            on if self.put_back > 0 && (on - self.put_back).abs() < STEP / 10 => {
                self.passed -= std::mem::take(&mut self.put_back);
            }
            back if back <= -STEP => {
                self.put_back = -back;
                self.passed -= back;
            }
            _ if turn == YEAR && before / DAY == END_OF_FEBRUARY / DAY && now / DAY == before / DAY + 2 => {
                self.passed -= DAY;
            }
            _ => {}
        }
        At { wall_us: None, mono_us: u64::try_from(now + self.passed).ok() }
    }
}

/// The stamp that `text` starts with, and what follows it (not even a blank is removed).
pub(super) fn leading(text: &str) -> Option<(Stamp, &str)> {
    let bytes = text.as_bytes();
    if !bytes.first()?.is_ascii_digit() {
        return None;
    }
    match (bytes.get(2)?, bytes.get(4)?, bytes.get(10)?) {
        (b':', ..) => of_day(text).map(|(us, rest)| (Stamp::OfDay(us), rest)),
        (_, b'-' | b'/' | b'.', _) => dated(text),
        (_, _, b'.') => epoch(text),
        _ => day_first(text),
    }
}

/// The same of a number that may be a time, or a size, or the number of anything.
pub(super) fn counted(text: &str) -> Option<(Stamp, &str)> {
    if !text.as_bytes().first()?.is_ascii_digit() {
        return None;
    }
    whole(text).or_else(|| elapsed(text))
}

/// `12.345678 ` since the log's start (`ts -s '%.s'`).
fn elapsed(text: &str) -> Option<(Stamp, &str)> {
    /// No log runs for centuries.
    const LONGEST: u64 = 10_000_000_000;
    let (seconds, rest) = scan::num(text).filter(|(seconds, _)| *seconds < LONGEST)?;
    let (us, len) = scan::fraction_us(rest.strip_prefix('.')?);
    let rest = &rest[1 + len..];
    (len == 6 && rest.starts_with(' ')).then(|| (Stamp::Mono(seconds * 1_000_000 + us), rest))
}

/// `YYYY-MM-DD HH:MM:SS.ffffff+ZZ:ZZ` with any of `-/.` in the date, `T` or a blank, `.` or `,` before the fraction.
fn dated(text: &str) -> Option<(Stamp, &str)> {
    let date: &[u8; 11] = text.as_bytes().first_chunk()?;
    let separator = date[4];
    let numbers = numbers(date.first_chunk()?, [b'0', b'0', b'0', b'0', separator, b'0', b'0', separator])?;
    let days = days(numbers[0] * 100 + numbers[2], numbers[5], digits::<2>(text, 8)?)?;
    if !matches!(date[10], b' ' | b'T' | b'-' | b'_') {
        return None;
    }
    let (us, rest) = of_day(text.get(11..)?)?;
    let (offset_us, rest) = zone(rest);
    let wall = (days * DAY_US as i64 + us as i64).checked_sub(offset_us)?;
    Some((Stamp::Wall(u64::try_from(wall).ok()?), rest))
}

/// `DD/MM/YYYY HH:MM:SS.ffffff`.
fn day_first(text: &str) -> Option<(Stamp, &str)> {
    let date = text.as_bytes();
    if date.get(2) != Some(&b'/') || date.get(5) != Some(&b'/') || date.get(10) != Some(&b' ') {
        return None;
    }
    let days = days(digits::<4>(text, 6)?, digits::<2>(text, 3)?, digits::<2>(text, 0)?)?;
    let (us, rest) = of_day(text.get(11..)?)?;
    Some((Stamp::Wall(u64::try_from(days).ok()? * DAY_US + us), rest))
}

/// `1700000000.123456`.
fn epoch(text: &str) -> Option<(Stamp, &str)> {
    // An address has fewer digits before its first dot.
    let (seconds, rest) = scan::num(text).filter(|(_, rest)| text.len() - rest.len() == 10)?;
    let (us, len) = scan::fraction_us(rest.strip_prefix('.')?);
    (len >= 3).then(|| (Stamp::Wall(seconds * 1_000_000 + us), &rest[1 + len..]))
}

/// Whole seconds since 1970, milliseconds, microseconds or nanoseconds, before a blank.
fn whole(text: &str) -> Option<(Stamp, &str)> {
    let (number, rest) = scan::num(text)?;
    let us = since_1970(number).filter(|_| rest.starts_with([' ', '\t']))?;
    Some((Stamp::Wall(us), rest))
}

/// Microseconds of a time in whatever unit, as its size tells: any but that is millennia away.
pub(super) fn since_1970(number: u64) -> Option<u64> {
    const DECADES: std::ops::Range<u64> = 1_000_000_000..4_000_000_000;
    let in_unit = |to_seconds: u64| DECADES.contains(&(number / to_seconds));
    match number {
        _ if in_unit(1) => Some(number * 1_000_000),
        _ if in_unit(1000) => Some(number * 1000),
        _ if in_unit(1_000_000) => Some(number),
        _ if in_unit(1_000_000_000) => Some(number / 1000),
        _ => None,
    }
}

/// `HH:MM:SS` with an optional fraction: microseconds since midnight.
pub(super) fn of_day(text: &str) -> Option<(u64, &str)> {
    let numbers = numbers(text.as_bytes().first_chunk()?, *b"00:00:00")?;
    let (hours, minutes, seconds) = (numbers[0], numbers[3], numbers[6]);
    if hours > 23 || minutes > 59 || seconds > 60 {
        return None;
    }
    let whole = ((hours * 60 + minutes) * 60 + seconds) * 1_000_000;
    let rest = &text[8..];
    let Some(fraction) = rest.strip_prefix(['.', ',']) else { return Some((whole, rest)) };
    let (us, len) = scan::fraction_us(fraction);
    Some(if len == 0 { (whole, rest) } else { (whole + us, &fraction[len..]) })
}

/// The zone behind a time, as microseconds east of UTC.
fn zone(text: &str) -> (i64, &str) {
    if let Some(rest) = text.strip_prefix('Z') {
        return (0, rest);
    }
    let east = match text.as_bytes().first() {
        Some(b'+') => 1,
        Some(b'-') => -1,
        Some(b' ') => return zone_apart(text).unwrap_or((0, text)),
        _ => return (0, text),
    };
    let colon = usize::from(text.as_bytes().get(3) == Some(&b':'));
    let (Some(hours), Some(minutes)) = (digits::<2>(text, 1), digits::<2>(text, 3 + colon)) else { return (0, text) };
    (east * (hours * 60 + minutes) as i64 * 60_000_000, &text[5 + colon..])
}

/// The same behind a blank, ` +0000]` or ` +00:00: `: there it may be any number, unless it is of the size of a zone.
fn zone_apart(text: &str) -> Option<(i64, &str)> {
    const QUARTER: i64 = 900_000_000;
    const FARTHEST: i64 = 14 * 4 * QUARTER;
    let apart = text[1..].starts_with(['+', '-']);
    let (offset_us, rest) = apart.then(|| zone(&text[1..]))?;
    let ends = rest.starts_with([']', ' ', ':']) && matches!(text.len() - rest.len(), 6 | 7);
    (ends && offset_us.abs() <= FARTHEST && offset_us % QUARTER == 0).then_some((offset_us, rest))
}

/// `Nov 22 09:26:51`: syslog's stamp, which says no year; comparable within one log only.
pub(super) fn month_first(text: &str) -> Option<(Stamp, &str)> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    if !matches!(text.as_bytes().get(3)?, b' ' | b'0'..=b'9') {
        return None;
    }
    let name = text.get(..3)?;
    let month = 1 + MONTHS.iter().position(|m| *m == name)? as u64;
    let (day, rest) = scan::num(text.get(3..)?.trim_start_matches(' '))?;
    let (us, rest) = of_day(rest.strip_prefix(' ')?)?;
    let in_leap_year = days(1972, month, day)?;
    Some((Stamp::OfYear(u64::try_from(in_leap_year).ok()? * DAY_US + us), rest))
}

/// `[ 1330.393341] `: the kernel's own time; what follows the blank.
pub(super) fn kernel(text: &str) -> Option<(Stamp, &str)> {
    let inner = text.strip_prefix('[')?.trim_start_matches(' ');
    let (seconds, rest) = scan::num(inner)?;
    let (us, len) = scan::fraction_us(rest.strip_prefix('.')?);
    let rest = rest.get(1 + len..)?.strip_prefix(']')?;
    (len == 6).then(|| {
        (Stamp::Mono(seconds.saturating_mul(1_000_000).saturating_add(us)), rest.strip_prefix(' ').unwrap_or(rest))
    })
}

/// What each byte of a text makes with the one behind it as a number of two digits, if there are digits wherever `form`
/// has a zero, and else what `form` has. All eight are looked at at once.
fn numbers(text: &[u8; 8], form: [u8; 8]) -> Option<[u64; 8]> {
    const SIX: u64 = 0x0606_0606_0606_0606;
    const LARGE: u64 = 0xf0f0_f0f0_f0f0_f0f0;
    let signs = form.map(|byte| if byte == b'0' { 0 } else { u8::MAX });
    let digits = u64::from_le_bytes(*text) ^ u64::from_le_bytes(form);
    // Whatever is greater than nine is sixteen or more with six.
    let other = digits & u64::from_le_bytes(signs) | (digits | digits.wrapping_add(SIX)) & LARGE;
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
    (other == 0).then(|| pairs.to_le_bytes().map(u64::from))
}

fn digits<const COUNT: usize>(text: &str, from: usize) -> Option<u64> {
    let digits: &[u8; COUNT] = text.as_bytes().get(from..)?.first_chunk()?;
    // None waits for the one before it to be a digit.
    let all = digits.iter().fold(true, |all, byte| all & byte.is_ascii_digit());
    all.then(|| digits.iter().fold(0, |n, byte| n * 10 + u64::from(byte - b'0')))
}

/// Days since 1970-01-01 of a Gregorian date; None for one that no calendar has.
fn days(year: u64, month: u64, day: u64) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || year < 1970 {
        return None;
    }
    let (year, month, day) = (year as i64 - i64::from(month <= 2), month as i64, day as i64);
    let era = year / 400;
    let year_of_era = year - era * 400;
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_moment_is_the_same_moment() {
        let moment = Stamp::Wall(1_795_340_606_221_726);
        for text in [
            "2026-11-22T09:43:26.221726 x",
            "2026/11/22 09:43:26.221726 x",
            "2026.11.22 09:43:26.221726 x",
            "2026-11-22 09:43:26,221726 x",
            "2026-11-22T10:43:26.221726+01:00 x",
            "2026-11-22T08:13:26.221726-0130 x",
            "2026-11-22 08:13:26.221726 -0130 x",
            "2026-11-22 09:43:26.221726 +0000 x",
            "2026-11-22T09:43:26.221726Z x",
            "22/11/2026 09:43:26.221726 x",
            "1795340606.221726 x",
        ] {
            assert_eq!(leading(text), Some((moment, " x")), "{text}");
        }
    }

    #[test]
    fn a_number_behind_a_time_is_no_zone() {
        for rest in [" -1234 x", " +2400 x", " -01305 x", " +0", " - x", " "] {
            let text = format!("2026-11-22 09:43:26.221726{rest}");
            assert_eq!(leading(&text), Some((Stamp::Wall(1_795_340_606_221_726), rest)), "{text}");
        }
    }

    #[test]
    fn seconds_since_the_log_began_are_a_clock_of_its_own() {
        for (text, us) in [("0.000020 unique: 2", 20), ("1234.500000 unique: 2", 1_234_500_000)] {
            assert_eq!(counted(text), Some((Stamp::Mono(us), " unique: 2")), "{text}");
        }
        for text in ["1.5 GiB of memory", "99999999999999.123456 x", "12.5", "x"] {
            assert_eq!(counted(text), None, "{text}");
        }
        assert!(kernel("[18446744073709551615.123456] x").is_some(), "it is only a number");
    }

    #[test]
    fn what_is_no_time_is_left_alone() {
        for text in [
            "",
            "12",
            "unique: 2",
            "2026-13-01 10:00:00 x",
            "99:00:00 x",
            "123456 read(3",
            "10.0.0.1 - -",
            "192.168.10.20 - -",
        ] {
            assert_eq!(leading(text), None, "{text}");
        }
    }

    #[test]
    fn a_line_without_a_stamp_of_its_own_is_on_the_clock_of_those_that_have_one() {
        let at = |wall_us| At { wall_us: Some(wall_us), mono_us: None };
        let (mut zone, noon, hour) = (Zone::default(), 43_200_000_000_u64, 3_600_000_000);
        assert_eq!(zone.own(at(noon), None), at(noon));
        assert_eq!(zone.own(at(noon + 2 * hour), Some(Stamp::Wall(noon + 30_000))), at(noon + 2 * hour));
        assert_eq!(zone.own(at(noon + 40_000), None), at(noon + 2 * hour + 40_000));
        assert_eq!(zone.own(at(noon), Some(Stamp::Wall(noon + 1_900_000))), at(noon));
        assert_eq!(zone.own(at(noon), None), at(noon), "that was a delay");
    }

    #[test]
    fn what_a_log_waited_for_to_be_printed_makes_no_request_older() {
        let at = |second: u64| At { wall_us: Some(second * 1_000_000), mono_us: None };
        for later in [90, 300, 449, 451, 1_200, 7_500] {
            let mut zone = Zone::default();
            assert_eq!(zone.own(at(50_000), Some(Stamp::Wall((50_000 + later) * 1_000_000))), at(50_000));
            assert_eq!(zone.own(at(50_001 + later), None), at(50_001), "{later} s later");
        }
    }

    #[test]
    fn clocks_of_two_kinds_are_never_compared() {
        let second = 1_000_000;
        let (day, year) = (|at: u64| Stamp::OfDay(at * second), |at: u64| Stamp::OfYear(at * second));
        let mono = Stamp::Mono(1_330_393_341);
        assert_eq!(Stamp::OfDay(64_731_100_000).within(year(864_000 + 64_732)), Stamp::OfYear(928_731_100_000));
        assert_eq!(day(86_399).within(year(864_000)), year(863_999), "the inner one is of the day before");
        assert_eq!(day(0).within(year(863_999)), year(864_000));
        assert_eq!(day(64_731).within(year(864_000 + 68_331)), year(864_000 + 68_331), "of another zone");
        for outer in [day(64_731), year(928_731), Stamp::Mono(second), Stamp::Wall(second)] {
            assert_eq!(mono.within(outer), outer);
        }
        assert_eq!(day(64_731).within(mono), mono);
        assert_eq!(year(64_731).within(day(64_731)), day(64_731));
        assert_eq!(Stamp::OfDay(64_731_100_000).within(day(64_731)), Stamp::OfDay(64_731_100_000));
        assert_eq!(Stamp::Wall(second).within(year(64_731)), Stamp::Wall(second));
    }

    #[test]
    fn midnight_does_not_turn_time_back() {
        let mut days = Days::default();
        let before = days.at(Stamp::OfDay(DAY_US - 1));
        let after = days.at(Stamp::OfDay(1));
        assert_eq!(after.mono_us.zip(before.mono_us).map(|(a, b)| a - b), Some(2));
    }

    #[test]
    fn machines_of_two_zones_that_write_one_log_by_turns_do_not_make_time_run() {
        let mut days = Days::default();
        let at = |text: &str| month_first(text).map(|stamp| stamp.0).expect("a stamp");
        let mut shown = |text: &str| days.at(at(text)).mono_us.unwrap_or(0);
        let first = shown("Dec 31 23:59:58 a");
        for second in 0..5 {
            shown(&format!("Jan  1 00:59:5{second} b"));
            assert!(shown(&format!("Dec 31 23:59:5{second} a")) < first + 60_000_000);
        }
    }

    #[test]
    fn kernel_and_syslog_stamps_order_their_lines() {
        assert_eq!(kernel("[ 1330.393341] INFO"), Some((Stamp::Mono(1_330_393_341), "INFO")));
        let first = month_first("Nov  2 09:26:51 host").map(|s| s.0);
        let later = month_first("Nov 22 09:26:51 host").map(|s| s.0);
        let (Some(Stamp::OfYear(first)), Some(Stamp::OfYear(later))) = (first, later) else { panic!("no stamps") };
        assert_eq!(later - first, 20 * DAY_US);
    }
}
