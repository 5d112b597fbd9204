//! An index page: names, sizes and times out of what a server shows for a directory. Nothing in it is trusted.

mod html;
mod json;
mod times;

use percent_encoding::percent_decode_str;

use super::origin::{Page, Resource};

/// One entry as the page shows it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    /// One path component, checked by [`component`].
    pub(super) name: String,
    pub(super) dir: bool,
    /// Only if the page gives it to the byte.
    pub(super) size: Option<u64>,
    pub(super) modified_us: Option<u64>,
    pub(super) resource: Resource,
}

/// What the page lists; each name once, in the order of the page.
///
/// # Errors
/// Why this is no index page.
pub(super) fn parse(page: &Page) -> Result<Vec<Row>, String> {
    let text = page.text.trim_start_matches('\u{feff}').trim_start();
    let json = page.media_type.ends_with("json") || text.starts_with('[');
    let mut rows = if json { json::parse(&page.from, text)? } else { html::parse(&page.from, text)? };
    let mut seen = std::collections::HashSet::new();
    rows.retain(|row| seen.insert(row.name.clone()));
    Ok(rows)
}

/// `name` if it can stand in a directory: not empty, `.` or `..`, no `/`, no NUL, at most 255 bytes.
pub(super) fn component(name: &str) -> Option<&str> {
    let fit = !matches!(name, "" | "." | "..") && !name.contains(['/', '\0']) && name.len() <= 255;
    fit.then_some(name)
}

/// The entry that `href` on the page at `base` leads to: directly below `base`, on the same host, without a query.
fn child(base: &Resource, href: &str) -> Option<(Resource, String, bool)> {
    if href.contains(['?', '#']) {
        return None;
    }
    let resource = base.join(href).ok()?;
    if !resource.same_host(base) || resource.has_query() {
        return None;
    }
    let below = resource.path().strip_prefix(base.path())?;
    let (encoded, dir) = below.strip_suffix('/').map_or((below, false), |name| (name, true));
    let name = percent_decode_str(encoded).decode_utf8().ok()?;
    let name = component(&name)?.to_owned();
    (!encoded.contains('/')).then_some((resource, name, dir))
}

#[cfg(test)]
mod tests;
