//! JSON indexes: nginx `autoindex_format json`, and Caddy.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::{Reach, Row, component, times};

#[derive(Deserialize)]
struct Entry {
    name: String,
    /// nginx: `file`, `directory` or `other`.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// Caddy.
    is_dir: Option<bool>,
    size: Option<u64>,
    mtime: Option<String>,
    mod_time: Option<String>,
    url: Option<String>,
}

pub(super) fn parse(reach: Reach<'_>, text: &str) -> Result<Vec<Row>, String> {
    // The words of serde quote what stands there, and that may be a link that is signed.
    let entries: Vec<Entry> = serde_json::from_str(text)
        .map_err(|error| format!("JSON, but no list of files at line {}, column {}", error.line(), error.column()))?;
    Ok(entries.iter().filter_map(|entry| row(reach, entry)).collect())
}

fn row(reach: Reach<'_>, entry: &Entry) -> Option<Row> {
    let dir = entry.is_dir.unwrap_or_else(|| entry.kind.as_deref() == Some("directory"));
    if entry.kind.as_deref() == Some("other") {
        return None;
    }
    let name = component(entry.name.strip_suffix('/').unwrap_or(&entry.name))?;
    let slash = if dir { "/" } else { "" };
    let own = || format!("./{}{slash}", utf8_percent_encode(name, NON_ALPHANUMERIC));
    let href = entry.url.clone().unwrap_or_else(own);
    let (resource, linked, _) = reach.follow(&href)?;
    let modified_us = entry.mtime.as_deref().or(entry.mod_time.as_deref()).and_then(times::parse);
    let size = entry.size.filter(|_| !dir);
    (linked == name).then(|| Row { name: linked, dir, size, modified_us, resource })
}
