//! Row: one line of cells, each a text with a meaning.

use super::words;
use crate::output::clean::clean;

/// What a piece of text means; the theme gives it a colour, the text itself a letter or glyph.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Look {
    #[default]
    Plain,
    /// Column names, labels.
    Label,
    Culprit,
    Victim,
    Slow,
    Good,
    Dim,
    Loud,
    /// What the search found.
    Match,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    pub text: String,
    pub look: Look,
}

impl Cell {
    /// Names of files hold what they like: nothing of it reaches the terminal as an order.
    pub fn new(text: impl Into<String>, look: Look) -> Self {
        Self { text: clean(text), look }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::new(text, Look::Plain)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::new(text, Look::Plain)
    }
}

/// One line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row(pub Vec<Cell>);

impl Row {
    pub fn text(text: impl Into<String>) -> Self {
        Self(vec![Cell::from(text.into())])
    }

    pub fn looking(text: impl Into<String>, look: Look) -> Self {
        Self(vec![Cell::new(text, look)])
    }

    /// The whole line without meaning.
    pub fn plain(&self) -> String {
        let text: String = self.0.iter().map(|c| c.text.as_str()).collect();
        text.trim_end().to_owned()
    }

    /// Shortened to `width` columns, and marked where it is cut.
    #[must_use]
    pub fn cut(&self, width: usize) -> Self {
        let (mut cells, mut left) = (Vec::new(), width);
        let whole: usize = self.0.iter().map(|cell| words::width(&cell.text)).sum();
        if whole <= width {
            return self.clone();
        }
        for cell in &self.0 {
            let wide = words::width(&cell.text);
            if wide >= left {
                cells.push(Cell::new(words::cut(&format!("{} ", cell.text), left), cell.look));
                break;
            }
            left -= wide;
            cells.push(cell.clone());
        }
        Self(cells)
    }

    /// The same in lines of at most `width`, broken between words; what goes on is indented as its beginning is.
    pub fn wrapped(&self, width: usize) -> Vec<Self> {
        let [only] = self.0.as_slice() else { return vec![self.clone()] };
        if words::width(&only.text) <= width {
            return vec![self.clone()];
        }
        let indent = only.text.len() - only.text.trim_start_matches([' ', '-']).len();
        let indent = " ".repeat(indent.min(width / 2));
        let (mut lines, mut line) = (Vec::new(), String::new());
        for word in only.text.split_inclusive(' ') {
            for piece in words::pieces(word, width.saturating_sub(indent.len()).max(1)) {
                if words::width(&line) + words::width(piece.trim_end()) > width {
                    lines.push(Self::looking(line.trim_end(), only.look));
                    line.clone_from(&indent);
                }
                line.push_str(piece);
            }
        }
        lines.push(Self::looking(line.trim_end(), only.look));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_break_between_words_and_very_long_words_anywhere() {
        let lines = |text: &str| Row::text(text).wrapped(12).iter().map(Row::plain).collect::<Vec<_>>();
        assert_eq!(lines("- one two three four"), ["- one two", "  three four"]);
        assert_eq!(lines("abcdefghijklmnop"), ["abcdefghijkl", "mnop"]);
    }

    #[test]
    fn a_cut_is_marked_wherever_a_cell_ends() {
        let row = Row(vec![Cell::from("abc"), Cell::from("def")]);
        let cut = |width| row.cut(width).plain();
        assert_eq!([cut(6), cut(5), cut(4), cut(3), cut(2)], ["abcdef", "abcd~", "abc~", "ab~", "a~"]);
    }

    #[test]
    fn nothing_in_a_name_is_an_order_to_the_terminal() {
        assert_eq!(Cell::from("a\u{1b}[2Jb\nc").text, "a?[2Jb?c");
    }
}
