//! Times: durations of one kind of call, and what one in a hundred or a thousand of them takes.

/// Milliseconds each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Times(Vec<f64>);

impl Times {
    pub(crate) fn of(mut taken: Vec<f64>) -> Self {
        taken.sort_by(f64::total_cmp);
        Self(taken)
    }

    /// The smallest time that so many in a thousand do not exceed; 0 when there are none.
    pub(crate) fn per_mille(&self, so_many: usize) -> f64 {
        let rank = (self.0.len() * so_many).div_ceil(1000);
        self.0.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
    }

    /// `0.12 / 0.50 / 3.1 / 9.0`: p50, p99, p99.9 and p100.
    pub(crate) fn cell(&self) -> String {
        if self.0.is_empty() {
            return "-".into();
        }
        [500, 990, 999, 1000].map(|n| format!("{:.2}", self.per_mille(n))).join(" / ")
    }
}
