//! Time stamps: RFC 3339 in UTC with microseconds, exactly 27 characters.

/// Length of `2026-11-23T21:45:44.123456Z`.
pub const LEN: usize = 27;

/// Appends the time stamp of that many microseconds since 1970-01-01 UTC. Years beyond 9999 are written as 9999.
pub fn write(us: u64, out: &mut Vec<u8>) {
    const LAST: u64 = 253_402_300_799_999_999;
    let us = us.min(LAST);
    let (secs, micros) = (us / 1_000_000, us % 1_000_000);
    let (year, month, day) = civil(secs / 86_400);
    let clock = secs % 86_400;
    let mut text = *b"0000-00-00T00:00:00.000000Z";
    digits(&mut text[0..4], year);
    digits(&mut text[5..7], month);
    digits(&mut text[8..10], day);
    digits(&mut text[11..13], clock / 3600);
    digits(&mut text[14..16], clock / 60 % 60);
    digits(&mut text[17..19], clock % 60);
    digits(&mut text[20..26], micros);
    out.extend_from_slice(&text);
}

/// Microseconds since 1970-01-01 UTC of a stamp in exactly the written form; None for any other.
#[inline]
pub fn read(text: &[u8]) -> Option<u64> {
    let t: &[u8; LEN] = text.try_into().ok()?;
    if [t[4], t[7], t[10], t[13], t[16], t[19], t[26]] != *b"--T::.Z" {
        return None;
    }
    let mut odd = false;
    let mut two = |at: usize| {
        let (tens, ones) = (t[at].wrapping_sub(b'0'), t[at + 1].wrapping_sub(b'0'));
        odd |= tens > 9 || ones > 9;
        u64::from(tens) * 10 + u64::from(ones)
    };
    let (year, month, day) = (two(0) * 100 + two(2), two(5), two(8));
    let (hour, minute, second) = (two(11), two(14), two(17));
    let micros = (two(20) * 100 + two(22)) * 100 + two(24);
    if odd {
        return None;
    }
    if year < 1970 || !(1..=12).contains(&month) || day < 1 || day > month_days(year, month) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let secs = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    Some(secs * 1_000_000 + micros)
}

/// Microseconds of `.123456Z`.
#[inline]
pub(super) fn fraction(text: &[u8; 8]) -> Option<u64> {
    let inner = text.strip_prefix(b".")?.strip_suffix(b"Z")?;
    inner.iter().try_fold(0, |n: u64, c| c.is_ascii_digit().then(|| n * 10 + u64::from(c - b'0')))
}

fn digits(out: &mut [u8], mut value: u64) {
    for place in out.iter_mut().rev() {
        *place = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
    }
}

fn month_days(year: u64, month: u64) -> u64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a date of the Gregorian calendar (years counted from March, so that leap days end one).
fn days(year: u64, month: u64, day: u64) -> u64 {
    let y = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (y / 400, y % 400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Year, month, day of a count of days since 1970-01-01.
fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let (era, of_era) = (z / 146_097, z % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let (day, month) = (of_year - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    (year + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_survive_text() {
        for us in [0, 951_782_400_000_000, 1_795_470_344_123_456, 4_107_542_399_999_999] {
            let mut text = Vec::new();
            write(us, &mut text);
            assert_eq!(read(&text), Some(us), "{}", String::from_utf8_lossy(&text));
        }
        let mut text = Vec::new();
        write(1_795_470_344_123_456, &mut text);
        assert_eq!(text, b"2026-11-23T21:45:44.123456Z");
    }

    #[test]
    fn a_date_that_does_not_exist_is_refused() {
        assert_eq!(read(b"2026-02-29T00:00:00.000000Z"), None);
        assert_eq!(read(b"2026-13-01T00:00:00.000000Z"), None);
        assert_eq!(read(b"2026-01-01T24:00:00.000000Z"), None);
        assert_eq!(read(b"2026-01-01 20:00:00.000000Z"), None);
    }
}
