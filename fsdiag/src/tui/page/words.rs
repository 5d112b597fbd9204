//! Durations, counts and bars as people read them.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::output::text;

/// Columns that a text takes on a terminal.
pub fn width(text: &str) -> usize {
    text.width()
}

/// Shortens to `width` columns, `~` marks the cut.
pub fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let kept = pieces(text, width.saturating_sub(1)).next().unwrap_or("");
    if width == 0 { String::new() } else { format!("{kept}~") }
}

/// Shortens from the front: the end of a path says most.
pub fn cut_front(text: &str, width: usize) -> String {
    let mut kept = text;
    while kept.width() + 1 > width && !kept.is_empty() {
        kept = kept.char_indices().nth(1).map_or("", |(at, _)| &kept[at..]);
    }
    if text.width() <= width { text.to_owned() } else { format!("~{kept}") }
}

/// A text in pieces of at most `width` columns.
pub fn pieces(text: &str, width: usize) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let mut taken = 0;
        let too_much = |(_, c): &(usize, char)| {
            taken += c.width().unwrap_or(0);
            taken > width
        };
        let end = rest.char_indices().find(too_much).map_or(rest.len(), |(at, _)| at);
        let (piece, after) = rest.split_at(end);
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
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

/// As in reports, but shorter.
pub fn latency(us: Option<u64>, resolution_us: u64) -> String {
    text::latency(us, resolution_us, "", duration)
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

/// `34.2 MB`.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 4] = ["B", "kB", "MB", "GB"];
    let unit = (n.checked_ilog10().unwrap_or(0) / 3).min(3);
    match unit {
        0 => format!("{n} B"),
        unit => format!("{:.1} {}", n as f64 / 1000_f64.powi(unit.cast_signed()), UNITS[unit as usize]),
    }
}

/// `01:02:03`, `02:03`.
pub fn clock(us: u64) -> String {
    let seconds = us / 1_000_000;
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes:02}:{seconds:02}") }
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

/// How much, on a logarithmic scale: one, up to ten, up to a hundred, more.
pub fn shade(count: u32, ascii: bool) -> char {
    let shades = if ascii { [' ', '.', '+', '#', '@'] } else { [' ', '░', '▒', '▓', '█'] };
    let step = match count {
        0 => 0,
        1 => 1,
        2..=10 => 2,
        11..=100 => 3,
        _ => 4,
    };
    shades[step]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_like_a_person_says_them() {
        let said: Vec<_> = [45, 2_100, 34_200_000, 725_000_000, 11_220_000_000].map(duration).to_vec();
        assert_eq!(said, ["45us", "2.1ms", "34.2s", "12m05s", "3h07m"]);
        let told = [(None, 1), (Some(0), 1_000_000), (Some(0), 1_000), (Some(45), 1)];
        assert_eq!(told.map(|(us, resolution)| latency(us, resolution)), ["-", "<1s", "<1ms", "45us"]);
    }

    #[test]
    fn texts_are_cut_by_columns_not_by_characters() {
        assert_eq!((cut("映画祭", 5), cut("abc", 3), cut("abcd", 3)), ("映画~".into(), "abc".into(), "ab~".into()));
        assert_eq!(cut_front("/mnt/films/a.mkv", 9), "~ms/a.mkv");
    }

    #[test]
    fn bars_rise_with_their_values() {
        assert_eq!(sparkline(&[9, 0, 1, 4, 8], 4, false), " ▁▄█");
        assert_eq!(sparkline(&[0, 1, 4, 8], 4, true), " .=@");
        assert_eq!(count(1_234_567), "1,234,567");
    }
}
