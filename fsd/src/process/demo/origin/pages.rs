//! Index pages: what lies below a directory, as a real server would show it.

use std::collections::BTreeMap;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{
    Request, answer,
    script::{Book, Kind},
};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IndexStyle {
    /// nginx `autoindex_format json`.
    #[default]
    NginxJson,
    /// nginx `autoindex on`.
    NginxHtml,
    /// Names only, as Python's `http.server`.
    Python,
}

/// One line of an index: a directory has no size.
struct Row {
    size: Option<u64>,
    version: u64,
}

/// The media type and text of the index that `request` asks for; None when there is no such directory.
pub(super) fn index(book: &Book, request: &Request) -> Option<(String, String)> {
    let dir = request.path.trim_start_matches('/');
    if !(dir.is_empty() || dir.ends_with('/')) {
        return None;
    }
    let rows = rows(book, dir);
    if rows.is_empty() && !dir.is_empty() {
        return None;
    }
    Some(match book.index {
        IndexStyle::NginxJson => ("application/json".to_owned(), nginx_json(&rows)),
        IndexStyle::NginxHtml => ("text/html".to_owned(), nginx_html(dir, &rows)),
        IndexStyle::Python => ("text/html; charset=utf-8".to_owned(), python(dir, &rows)),
    })
}

fn rows(book: &Book, dir: &str) -> BTreeMap<String, Row> {
    let mut rows = BTreeMap::new();
    for (path, entry) in book.entries.range(dir.to_owned()..) {
        let Some(below) = path.strip_prefix(dir) else { break };
        let size = match &entry.kind {
            Kind::Absent => continue,
            Kind::File { size } => *size,
            Kind::Page { text, .. } => text.len() as u64,
        };
        match below.split_once('/') {
            Some((first, _)) => rows.insert(first.to_owned(), Row { size: None, version: 1 }),
            None => rows.insert(below.to_owned(), Row { size: Some(size), version: entry.version }),
        };
    }
    rows
}

fn nginx_json(rows: &BTreeMap<String, Row>) -> String {
    let lines = rows.iter().map(|(name, row)| {
        let name = serde_json::Value::from(name.as_str());
        let time = answer::date(row.version);
        match row.size {
            None => format!("{{ \"name\":{name}, \"type\":\"directory\", \"mtime\":\"{time}\" }}"),
            Some(size) => format!("{{ \"name\":{name}, \"type\":\"file\", \"mtime\":\"{time}\", \"size\":{size} }}"),
        }
    });
    format!("[\n{}\n]", lines.collect::<Vec<_>>().join(",\n"))
}

fn nginx_html(dir: &str, rows: &BTreeMap<String, Row>) -> String {
    let mut text = format!("<html>\r\n<head><title>Index of /{dir}</title></head>\r\n<body>\r\n");
    text += &format!("<h1>Index of /{dir}</h1><hr><pre><a href=\"../\">../</a>\r\n");
    for (name, row) in rows {
        let slash = if row.size.is_none() { "/" } else { "" };
        let size = row.size.map_or_else(|| "-".to_owned(), |size| size.to_string());
        text += &format!("<a href=\"{}{slash}\">{}{slash}</a>  ", href(name), escape(name));
        text += &format!("{} {size:>19}\r\n", nginx_time(row.version));
    }
    text + "</pre><hr></body>\r\n</html>\r\n"
}

/// `14-Nov-2023 23:13`, out of `Tue, 14 Nov 2023 23:13:20 GMT`.
fn nginx_time(version: u64) -> String {
    let date = answer::date(version);
    format!("{} {}", date[5..16].replace(' ', "-"), &date[17..22])
}

fn python(dir: &str, rows: &BTreeMap<String, Row>) -> String {
    let mut text = format!("<!DOCTYPE HTML>\n<html>\n<head>\n<title>Directory listing for /{dir}</title>\n</head>\n");
    text += &format!("<body>\n<h1>Directory listing for /{dir}</h1>\n<hr>\n<ul>\n");
    for (name, row) in rows {
        let slash = if row.size.is_none() { "/" } else { "" };
        text += &format!("<li><a href=\"{}{slash}\">{}{slash}</a></li>\n", href(name), escape(name));
    }
    text + "</ul>\n<hr>\n</body>\n</html>\n"
}

fn href(name: &str) -> String {
    utf8_percent_encode(name, NON_ALPHANUMERIC).to_string()
}

fn escape(name: &str) -> String {
    name.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
