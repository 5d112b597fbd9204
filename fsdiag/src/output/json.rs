//! The report as one JSON object: the contract that other programs rely on.

use crate::engine::report::Report;

/// One object and a line feed.
///
/// # Errors
/// Never for a report of ours; the type is the serialiser's.
pub fn render(report: &Report) -> serde_json::Result<String> {
    serde_json::to_string_pretty(report).map(|text| text + "\n")
}
