//! An index page: names, sizes and times out of what a server shows for a directory. Nothing in it is trusted.

mod html;
mod json;
mod times;

use percent_encoding::percent_decode_str;

use super::{
    hosts::Hosts,
    origin::{Page, Resource},
};

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

/// What the page lists, and links to files of the other `hosts`; each name once, in the order of the page.
///
/// # Errors
/// Why this is no index page.
pub(super) fn parse(page: &Page, hosts: &Hosts) -> Result<Vec<Row>, String> {
    let text = page.text.trim_start_matches('\u{feff}').trim_start();
    let json = page.media_type.ends_with("json") || text.starts_with('[');
    let reach = Reach { base: &page.from, hosts };
    let mut rows = if json { json::parse(reach, text)? } else { html::parse(reach, text)? };
    let mut seen = std::collections::HashSet::new();
    rows.retain(|row| seen.insert(row.name.clone()));
    Ok(rows)
}

/// `name` if it can stand in a directory: not empty, `.` or `..`, no `/`, no NUL, at most 255 bytes.
pub(super) fn component(name: &str) -> Option<&str> {
    let fit = !matches!(name, "" | "." | "..") && !name.contains(['/', '\0']) && name.len() <= 255;
    fit.then_some(name)
}

/// What a page may lead to.
#[derive(Clone, Copy)]
struct Reach<'a> {
    /// Where the page came from.
    base: &'a Resource,
    hosts: &'a Hosts,
}

impl Reach<'_> {
    /// The entry that `href` leads to, its name, and whether it is a directory.
    fn follow(self, href: &str) -> Option<(Resource, String, bool)> {
        let resource = self.base.join(href).ok()?;
        if !resource.same_host(self.base) {
            return self.elsewhere(resource);
        }
        // Links with a query sort the page or lead to another view of it.
        if href.contains(['?', '#']) || resource.has_query() {
            return None;
        }
        let below = resource.path().strip_prefix(self.base.path())?;
        let (encoded, dir) = below.strip_suffix('/').map_or((below, false), |name| (name, true));
        let name = percent_decode_str(encoded).decode_utf8().ok()?;
        let name = component(&name)?.to_owned();
        (!encoded.contains('/')).then_some((resource, name, dir))
    }

    /// A file of an allowed host, by the last part of its path. Its query may be what signs it; directories of other
    /// hosts are not followed.
    fn elsewhere(self, resource: Resource) -> Option<(Resource, String, bool)> {
        if !self.hosts.allow(&resource) || self.base.is_safer_than(&resource) {
            return None;
        }
        let name = resource.file_name()?;
        let name = component(&name)?.to_owned();
        Some((resource, name, false))
    }
}

#[cfg(test)]
mod tests;
