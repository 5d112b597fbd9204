//! A list's position: which row is selected, and whether it stays with the newest.

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct List {
    pub selected: usize,
    /// The last row is selected, also when rows are added.
    pub follow: bool,
    /// Whether rows are added at the end, so that its end is the present.
    grows: bool,
}

impl List {
    pub fn scroll(&mut self, by: isize, rows: usize) {
        let last = rows.saturating_sub(1);
        self.select(self.selected.saturating_add_signed(by).min(last), rows);
    }

    pub fn select(&mut self, at: usize, rows: usize) {
        self.grows |= self.follow;
        self.selected = at.min(rows.saturating_sub(1));
        self.follow = self.grows && self.selected + 1 == rows;
    }

    /// The rows are others now; `at` is where the selected one stands, if it is still there.
    pub fn refreshed(&mut self, at: Option<usize>, rows: usize) {
        let last = rows.saturating_sub(1);
        self.selected = if self.follow { last } else { at.unwrap_or(self.selected).min(last) };
    }

    pub fn clamp(&mut self, rows: usize) {
        self.refreshed(None, rows);
    }

    /// The first row to draw so that the selected one is seen in `height` rows.
    pub fn window(&self, height: usize) -> usize {
        self.selected.saturating_sub(height.saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_follows_lets_go_when_one_moves_away_and_takes_hold_at_its_end() {
        let mut list = List { follow: true, ..List::default() };
        list.refreshed(None, 10);
        assert_eq!(list.selected, 9);
        list.scroll(-3, 10);
        list.refreshed(Some(6), 20);
        assert_eq!((list.selected, list.follow), (6, false));
        list.scroll(isize::MAX / 2, 20);
        list.refreshed(None, 30);
        assert_eq!(list.selected, 29);
    }
}
