//! Numbers: decimal, hexadecimal, and the times that are made of them.

/// The decimal number that `text` starts with, and what follows.
#[inline]
pub(in crate::formats) fn num(text: &str) -> Option<(u64, &str)> {
    // Most numbers of most lines have fewer than eight digits: those are read at once.
    match text.as_bytes().first_chunk().map(Eight::new) {
        Some(eight) if eight.len == 0 => None,
        Some(eight) if eight.len < 8 => Some((eight.number(), &text[eight.len..])),
        _ => long_num(text),
    }
}

/// The same of any length, a digit at a time.
fn long_num(text: &str) -> Option<(u64, &str)> {
    /// So many digits are always a number of 64 bits.
    const SAFE: usize = 19;
    let (mut number, mut end) = (0_u64, 0);
    for byte in text.bytes().take_while(u8::is_ascii_digit) {
        let digit = u64::from(byte - b'0');
        number = if end < SAFE { number * 10 + digit } else { number.checked_mul(10)?.checked_add(digit)? };
        end += 1;
    }
    (end > 0).then(|| (number, &text[end..]))
}

/// The digits that eight bytes begin with.
#[derive(Clone, Copy)]
struct Eight {
    /// A digit each, the first one in the lowest byte; behind them is anything.
    digits: u64,
    len: usize,
}

impl Eight {
    #[inline]
    fn new(bytes: &[u8; 8]) -> Self {
        const ONES: u64 = 0x0101_0101_0101_0101;
        let digits = u64::from_le_bytes(*bytes) ^ (ONES * 0x30);
        // Whatever is greater than nine is sixteen or more with six; what that carries goes behind it.
        let other = (digits | digits.wrapping_add(ONES * 6)) & (ONES * 0xf0);
        Self { digits, len: other.trailing_zeros() as usize / 8 }
    }

    /// What they are as a number: ones become tens and ones, those hundreds, and so on. At least one is there.
    #[inline]
    fn number(self) -> u64 {
        const PAIRS: u64 = 0x00ff_00ff_00ff_00ff;
        const FOURS: u64 = 0x0000_ffff_0000_ffff;
        let ones = self.digits << (64 - 8 * self.len.min(8));
        let pairs = (ones.wrapping_mul(10).wrapping_add(ones >> 8)) & PAIRS;
        let fours = (pairs.wrapping_mul(100).wrapping_add(pairs >> 16)) & FOURS;
        fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & u64::from(u32::MAX)
    }
}

/// The hexadecimal number that `text` starts with (`0x` allowed), and what follows.
pub(in crate::formats) fn hex(text: &str) -> Option<(u64, &str)> {
    let text = text.strip_prefix("0x").unwrap_or(text);
    let (mut number, mut end) = (0_u64, 0);
    for byte in text.bytes() {
        let Some(digit) = char::from(byte).to_digit(16) else { break };
        number = number.checked_mul(16)? | u64::from(digit);
        end += 1;
    }
    (end > 0).then(|| (number, &text[end..]))
}

/// A duration as Go, ts(1) and people write it: `1m2.5s`, `45ms`, `27.01µs`, `12s`; microseconds.
pub(in crate::formats) fn duration_us(text: &str) -> Option<u64> {
    if let Some(us) = whole_us(text) {
        return Some(us);
    }
    let mut rest = text;
    let mut total = 0.0;
    while rest.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let value: f64 = rest[..end].parse().ok()?;
        let (scale, unit) = unit_us(&rest[end..])?;
        total += value * scale;
        rest = &rest[end + unit..];
    }
    (rest.len() < text.len() && total.is_finite()).then_some(total as u64)
}

/// A whole number of milliseconds or microseconds, as most are.
fn whole_us(text: &str) -> Option<u64> {
    let (number, unit) = num(text)?;
    let (scale, rest) = match unit.strip_prefix("ms") {
        Some(rest) => (1000, rest),
        None => (1, unit.strip_prefix("us")?),
    };
    let goes_on = rest.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    number.checked_mul(scale).filter(|_| !goes_on)
}

/// Microseconds in the unit that `text` starts with, and the unit's length in bytes.
fn unit_us(text: &str) -> Option<(f64, usize)> {
    const UNITS: [(&str, f64); 9] = [
        ("ms", 1e3),
        ("µs", 1.0),
        ("μs", 1.0),
        ("us", 1.0),
        ("ns", 1e-3),
        ("min", 60e6),
        ("s", 1e6),
        ("m", 60e6),
        ("h", 3600e6),
    ];
    UNITS.iter().find(|(unit, _)| text.starts_with(unit)).map(|(unit, scale)| (*scale, unit.len()))
}

/// Seconds with a fraction, as microseconds: `0.000010`.
pub(in crate::formats) fn seconds_us(text: &str) -> Option<u64> {
    let (whole, rest) = num(text)?;
    let Some(fraction) = rest.strip_prefix('.') else { return whole.checked_mul(1_000_000) };
    whole.checked_mul(1_000_000)?.checked_add(fraction_us(fraction).0)
}

/// Microseconds of the digits behind a decimal point, and how many bytes they take.
pub(in crate::formats) fn fraction_us(digits: &str) -> (u64, usize) {
    const SCALES: [u64; 7] = [1_000_000, 100_000, 10_000, 1000, 100, 10, 1];
    if let Some(eight) = digits.as_bytes().first_chunk().map(Eight::new)
        && (1..=6).contains(&eight.len)
    {
        return (eight.number() * SCALES[eight.len], eight.len);
    }
    let (mut us, mut len) = (0, 0);
    for digit in digits.bytes().take_while(u8::is_ascii_digit) {
        if len < 6 {
            us = us * 10 + u64::from(digit - b'0');
        }
        len += 1;
    }
    (us * SCALES[len.min(6)], len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_whatever_stands_behind_it() {
        for behind in ["", " ", ":", "/", ", opcode", "µ", "/////////", "\u{0}1", "~~~~~~~~~"] {
            for digits in 0..20 {
                let text = format!("{}{behind}", &"7012345678901234567890"[..digits]);
                let plain = text[..digits].parse().ok().map(|number: u64| (number, behind));
                assert_eq!(num(&text), plain, "{text}");
                let six = format!("{:0<6}", &text[..digits.min(6)]).parse().unwrap();
                assert_eq!(fraction_us(&text), (six, digits), "{text}");
            }
        }
        assert_eq!((num("18446744073709551615"), num("18446744073709551616")), (Some((u64::MAX, "")), None));
    }

    #[test]
    fn durations_are_read_in_every_unit() {
        let cases = [
            ("45ms", 45_000),
            ("1.256949055s", 1_256_949),
            ("27.01µs", 27),
            ("1m2.5s", 62_500_000),
            ("800ns", 0),
            ("2h", 7_200_000_000),
            ("10.678890466s)", 10_678_890),
        ];
        for (text, us) in cases {
            assert_eq!(duration_us(text), Some(us), "{text}");
        }
        for text in ["", "s", "12", "-3s", "12x"] {
            assert_eq!(duration_us(text), None, "{text}");
        }
    }
}
