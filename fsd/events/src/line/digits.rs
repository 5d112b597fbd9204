//! Numbers in text, eight characters at once.

const ONES: u64 = 0x0101_0101_0101_0101;
const POWERS: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// The decimal number that `text` starts with, and how many digits it has; the value holds for up to 19 digits.
#[inline]
pub(super) fn decimal(text: &[u8]) -> (u64, usize) {
    let (mut value, mut len) = (0_u64, 0);
    while let Some(chunk) = text[len..].first_chunk::<8>() {
        let digits = u64::from_le_bytes(*chunk) ^ (ONES * 0x30);
        // A carry runs upwards only, so the lowest mark is always a true one.
        let others = (digits.wrapping_add(ONES * 0x76) | digits) & (ONES * 0x80);
        let count = others.trailing_zeros() as usize / 8;
        if count < 8 {
            // Two shifts, because none by 64 is allowed.
            let aligned = digits << 8 << (56 - 8 * count);
            return (value.wrapping_mul(POWERS[count]).wrapping_add(eight(aligned)), len + count);
        }
        value = value.wrapping_mul(POWERS[8]).wrapping_add(eight(digits));
        len += 8;
    }
    for digit in text[len..].iter().map(|c| c.wrapping_sub(b'0')).take_while(|digit| *digit <= 9) {
        value = value.wrapping_mul(10).wrapping_add(digit.into());
        len += 1;
    }
    (value, len)
}

/// The number of one to seven digits that a text starts with, how many they are, and the character behind them.
#[inline]
pub(super) fn short(text: [u8; 8]) -> Option<(u64, usize, u8)> {
    let word = u64::from_le_bytes(text);
    let digits = word ^ (ONES * 0x30);
    let others = (digits.wrapping_add(ONES * 0x76) | digits) & (ONES * 0x80);
    let bits = others.trailing_zeros() & !7;
    if bits == 0 || bits == 64 {
        return None;
    }
    Some((eight(digits << (64 - bits)), bits as usize / 8, (word >> bits) as u8))
}

/// The number of eight digits, the first in the lowest byte.
#[inline]
fn eight(digits: u64) -> u64 {
    const PAIRS: u64 = 0x0000_00ff_0000_00ff;
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
    let upper = (pairs & PAIRS).wrapping_mul(100 + (1_000_000 << 32));
    let lower = ((pairs >> 16) & PAIRS).wrapping_mul(1 + (10_000 << 32));
    upper.wrapping_add(lower) >> 32
}

/// The number of eight hexadecimal digits in small letters.
#[inline]
pub(super) fn hex(text: [u8; 8]) -> Option<u32> {
    let word = u64::from_le_bytes(text);
    let nibbles = (word & (ONES * 0x0f)) + ((word >> 6) & ONES) * 9;
    let letters = ((nibbles + ONES * 6) >> 4) & ONES;
    if nibbles & (ONES * 0xf0) != 0 || nibbles + ONES * 0x30 + letters * 39 != word {
        return None;
    }
    let bytes = (nibbles << 4 | nibbles >> 8) & 0x00ff_00ff_00ff_00ff;
    let halves = (bytes | bytes >> 8) & 0x0000_ffff_0000_ffff;
    Some(((halves | halves >> 16) as u32).swap_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn decimals_are_read_as_the_library_reads_them(digits in "[0-9]{0,19}", rest in "[^0-9]?.{0,9}") {
            let text = format!("{digits}{}", rest.trim_start_matches(|c: char| c.is_ascii_digit()));
            let number = (digits.parse().unwrap_or(0), digits.len());
            prop_assert_eq!(decimal(text.as_bytes()), number);
            if let Some(Some((value, len, next))) = text.as_bytes().first_chunk().map(|chunk| short(*chunk)) {
                prop_assert_eq!((value, len, next), (number.0, number.1, text.as_bytes()[len]));
            }
        }

        #[test]
        fn what_is_no_hexadecimal_is_refused(text: [u8; 8], at in 0_usize..8, digits in "[0-9a-f]{8}") {
            let mut mixed: [u8; 8] = digits.as_bytes().try_into().expect("eight");
            mixed[at] = text[at];
            for text in [text, mixed] {
                let small = text.iter().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
                let want = std::str::from_utf8(&text).ok().filter(|_| small).map(|t| u32::from_str_radix(t, 16).expect("hex"));
                prop_assert_eq!(hex(text), want);
            }
        }
    }
}
