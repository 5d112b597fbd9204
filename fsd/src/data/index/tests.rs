//! Pages of real servers, and pages that lie.

use std::collections::BTreeMap;

use crate::data::origin::{Page, Resource};

use super::{Hosts, Row, component};

fn parse(page: &Page) -> Result<Vec<Row>, String> {
    super::parse(page, &Hosts::default())
}

const LONG: &str = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx.dat";

/// The directory that all servers were asked to list.
const FILES: [(&str, u64); 9] = [
    ("a.txt", 5),
    ("big file.bin", 1_234_567),
    ("empty", 0),
    ("hash#q?.txt", 12),
    ("huge.mkv", 20_000_000),
    ("mid.bin", 99_999),
    ("per%20cent.txt", 11),
    (LONG, 13),
    ("ünï & <x>.txt", 10),
];

fn page(at: &str, media_type: &str, text: &str) -> Page {
    Page { from: Resource::parse(at).unwrap(), media_type: media_type.to_owned(), text: text.to_owned() }
}

fn golden(file: &str) -> BTreeMap<String, Row> {
    let path = format!("{}/../testdata/index/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap();
    let dir = match file {
        "apache-fancy.html" => "http://h/fancy/",
        "apache-table.html" => "http://h/table/",
        _ => "http://h/",
    };
    let kind = if file.ends_with("json") { "application/json" } else { "text/html" };
    parse(&page(dir, kind, &text)).unwrap().into_iter().map(|row| (row.name.clone(), row)).collect()
}

#[test]
fn every_server_names_the_same_files() {
    let pages = [
        "nginx.html",
        "nginx.json",
        "nginx-rounded.html",
        "python.html",
        "rclone.html",
        "apache-plain.html",
        "apache-fancy.html",
        "apache-table.html",
        "lighttpd.html",
        "caddy.html",
        "caddy.json",
    ];
    for file in pages {
        let rows = golden(file);
        let names: Vec<&str> = rows.keys().map(String::as_str).collect();
        let mut wanted: Vec<&str> = FILES.iter().map(|file| file.0).chain(["sub dir"]).collect();
        wanted.sort_unstable();
        assert_eq!(names, wanted, "{file}");
        assert!(rows["sub dir"].dir && rows["sub dir"].size.is_none(), "{file}");
        assert_eq!(rows["hash#q?.txt"].resource.file_name().as_deref(), Some("hash#q?.txt"), "{file}");
        for (name, size) in FILES {
            let shown = rows[name].size;
            assert!(!rows[name].dir, "{file}: {name}");
            assert!(shown.is_none_or(|shown| shown == size), "{file}: {name} has {shown:?}");
        }
    }
}

#[test]
fn exact_sizes_are_taken_and_rounded_ones_are_not() {
    for file in ["nginx.html", "nginx.json", "rclone.html", "caddy.html", "caddy.json"] {
        let rows = golden(file);
        for (name, size) in FILES {
            assert_eq!(rows[name].size, Some(size), "{file}: {name}");
        }
    }
    for file in ["nginx-rounded.html", "apache-fancy.html", "apache-table.html", "lighttpd.html", "python.html"] {
        assert_eq!(golden(file)["huge.mkv"].size, None, "{file}");
    }
}

#[test]
fn times_are_read_where_a_server_gives_them() {
    let (minute, second) = (Some(1_709_210_040_000_000), Some(1_709_210_096_000_000));
    for file in ["nginx.html", "apache-fancy.html", "apache-table.html"] {
        assert_eq!(golden(file)["a.txt"].modified_us, minute, "{file}");
    }
    for file in ["nginx.json", "lighttpd.html", "rclone.html", "caddy.html", "caddy.json"] {
        assert_eq!(golden(file)["a.txt"].modified_us, second, "{file}");
    }
}

#[test]
fn names_that_lead_elsewhere_are_not_listed() {
    let hrefs = [
        "../",
        "..",
        ".",
        "./",
        "/",
        "/etc/passwd",
        "a/b",
        "%2e%2e/",
        "..%2fx",
        "a%2Fb",
        "%00",
        "a%00b",
        "?C=N;O=D",
        "x?token=1",
        "#top",
        "http://other/d/x",
        "//other/d/x",
        "https://h/d/x",
        "ftp://h/d/x",
        "javascript:1",
        "mailto:a@b",
        "data:,x",
        "%ff%fe",
        "",
        "/d",
        "/d/",
        "http://h:81/d/x",
    ];
    for href in hrefs {
        let text = format!("<title>Index of /d/</title><pre><a href=\"{href}\">x</a> 1</pre>");
        assert_eq!(parse(&page("http://h/d/", "text/html", &text)), Ok(Vec::new()), "{href}");
        let text = serde_json::json!([{ "name": "x", "type": "file", "size": 1, "url": href }]).to_string();
        assert_eq!(parse(&page("http://h/d/", "application/json", &text)), Ok(Vec::new()), "{href}");
        if component(href.trim_end_matches('/')).is_none() {
            let text = serde_json::json!([{ "name": href, "type": "file", "size": 1 }]).to_string();
            assert_eq!(parse(&page("http://h/d/", "application/json", &text)), Ok(Vec::new()), "{href}");
        }
    }
    for href in ["x", "./x", "/d/x", "http://h/d/x", "http://h:80/d/x", "../d/x"] {
        let text = format!("<pre><a href=\"{href}\">x</a> 1</pre>");
        let rows = parse(&page("http://h/d/", "text/html", &text)).unwrap();
        assert_eq!(rows.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["x"], "{href}");
    }
}

#[test]
fn a_name_is_listed_once() {
    let text = "<pre><a href=\"x\">x</a> 1\n<a href=\"./x\">x</a> 2\n<a href=\"x/\">x</a> -</pre>";
    assert_eq!(parse(&page("http://h/d/", "text/html", text)).unwrap().len(), 1);
}

#[test]
fn other_pages_are_no_index() {
    for text in ["", "<html><p>Hello</p></html>", "{\"error\":1}", "<a href=\"http://other/\">x</a>"] {
        assert!(parse(&page("http://h/d/", "text/html", text)).is_err(), "{text}");
    }
    assert!(parse(&page("http://h/d/", "application/json", "{\"error\":1}")).is_err());
}

#[test]
fn files_of_allowed_hosts_are_listed_and_nothing_that_is_less_safe() {
    let links =
        ["https://cdn/p/x?sign=1", "http://cdn/y", "https://cdn/d/", "https://evil/z", "//cdn/%2e%2e", "//cdn/a%2Fb"];
    let html: String = links.iter().map(|link| format!("<a href=\"{link}\">n</a>")).collect();
    let json = r#"[{"name":"x","type":"file","size":5,"url":"https://cdn/p/x"},{"name":"w","type":"file","url":"https://cdn/q"}]"#;
    let hosts = Hosts::parse("cdn").unwrap();
    for (kind, text) in
        [("text/html", format!("<title>Index of /</title>{html}")), ("application/json", json.to_owned())]
    {
        let page = page("https://h/", kind, &text);
        let rows = super::parse(&page, &hosts).unwrap();
        let named: Vec<_> = rows.iter().map(|row| (row.name.as_str(), row.resource.to_string(), row.dir)).collect();
        assert_eq!(named, [("x", "https://cdn/p/x".to_owned(), false)], "{kind}");
        assert_eq!(parse(&page).unwrap(), [], "{kind}");
    }
}

/// Were each link compared with all others of its row, this would take minutes.
#[test]
fn a_page_with_all_its_links_in_one_row_is_read() {
    const LINKS: usize = 50_000;
    let links: String = (0..LINKS).map(|n| format!("<a href=\"f{n}\">f{n}</a>")).collect();
    let cells: String = (0..LINKS).map(|n| format!("<td><a href=\"g{n}\">g{n}</a></td>")).collect();
    let text = format!("<table><tr><td>{links}</td></tr><tr>{cells}</tr></table>");
    assert_eq!(parse(&page("http://h/", "text/html", &text)).unwrap().len(), 2 * LINKS);
}

#[test]
fn a_json_page_that_is_none_is_told_without_what_stands_in_it() {
    let texts = [
        r#"["http://h/x?sign=CANARY"]"#,
        r#"[{"name":"a","type":"file","size":"http://h/x?sign=CANARY"}]"#,
        r#"{"CANARY": 1}"#,
    ];
    for text in texts {
        let error = parse(&page("http://h/", "application/json", text)).unwrap_err();
        assert!(error.contains("line 1") && !error.contains("CANARY"), "{error}");
    }
}
