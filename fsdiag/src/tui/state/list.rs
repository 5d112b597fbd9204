//! A list's position: which row is selected and which is on top.

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct List {
    pub selected: usize,
    pub top: usize,
}

impl List {
    pub fn scroll(&mut self, by: isize, rows: usize) {
        let last = rows.saturating_sub(1);
        self.selected = self.selected.saturating_add_signed(by).min(last);
    }

    pub fn select(&mut self, at: usize, rows: usize) {
        self.selected = at.min(rows.saturating_sub(1));
    }

    pub fn clamp(&mut self, rows: usize) {
        self.select(self.selected, rows);
    }

    /// The first row to draw so that the selected one is seen in `height` rows.
    pub fn window(&self, height: usize) -> usize {
        self.selected.saturating_sub(height.saturating_sub(1)).max(self.top.min(self.selected))
    }
}
