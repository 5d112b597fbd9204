//! Durations, counts and bars as people read them.

/// Shortens to `width` characters, `~` marks the cut.
pub fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{kept}~")
}

/// Microseconds with one unit: `45us`, `2.1ms`, `34.2s`, `12m05s`, `3h07m`.
pub fn duration(us: u64) -> String {
    let seconds = us / 1_000_000;
    match us {
        0..1_000 => format!("{us}us"),
        1_000..1_000_000 => format!("{}.{}ms", us / 1_000, us % 1_000 / 100),
        _ if seconds < 100 => format!("{seconds}.{}s", us % 1_000_000 / 100_000),
        _ if seconds < 6_000 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
    }
}

/// `1,234,567`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const DIGITS: [char; 8] = ['.', ':', '-', '=', '+', '*', '#', '@'];

/// The newest `width` values as bars, scaled to the highest; zero is a blank.
pub fn sparkline(values: &[u64], width: usize, ascii: bool) -> String {
    let shown = &values[values.len().saturating_sub(width)..];
    let highest = shown.iter().copied().max().unwrap_or(0).max(1);
    shown.iter().map(|value| level(*value, highest, ascii)).collect()
}

/// One value as a glyph, by eighths of `highest`.
pub fn level(value: u64, highest: u64, ascii: bool) -> char {
    if value == 0 {
        return ' ';
    }
    let glyphs = if ascii { DIGITS } else { BARS };
    let eighth = (u128::from(value) * 8).div_ceil(u128::from(highest.max(1)));
    glyphs[(eighth.clamp(1, 8) - 1) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_like_a_person_says_them() {
        let said: Vec<_> = [45, 2_100, 34_200_000, 725_000_000, 11_220_000_000].map(duration).to_vec();
        assert_eq!(said, ["45us", "2.1ms", "34.2s", "12m05s", "3h07m"]);
    }

    #[test]
    fn bars_rise_with_their_values() {
        assert_eq!(sparkline(&[9, 0, 1, 4, 8], 4, false), " ▁▄█");
        assert_eq!(sparkline(&[0, 1, 4, 8], 4, true), " .=@");
        assert_eq!(count(1_234_567), "1,234,567");
    }
}
