//! Sources: pages that lead to other hosts, and files whose length nobody tells.

use std::{fs, path::Path};

use fsd::process::demo::origin::{IndexStyle, Versions};
use nix::sys::signal::Signal;

use super::{control::read_sum, support::*};

const MIB: u64 = 1 << 20;

/// What `ls` shows, in order.
fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A page that leads to a file of its own, to `other`, and to what nobody may be led to.
fn page_with_links(origin: &Origin, other: &Origin) {
    let foreign = other.url("far/b%20c?sign=CANARY");
    let links = [
        "own",
        &foreign,
        &other.url("far/dir/"),
        &other.url("far/..%2Fup"),
        &other.url("far/%00"),
        "http://localhost:1/elsewhere",
        "ftp://127.0.0.1/x",
        "file:///etc/passwd",
    ];
    let links: String = links.iter().map(|link| format!("<a href=\"{link}\">x</a>\n")).collect();
    origin.file("own", MIB).page("", "text/html", &format!("<title>Index of /</title>{links}"));
    other.file("far/b c", MIB);
}

#[test]
fn links_to_other_hosts_are_followed_where_the_user_allows_it_and_without_our_headers() {
    let (origin, other) = (Origin::start().unwrap(), Origin::start().unwrap());
    page_with_links(&origin, &other);
    origin.require("own", "authorization", "Bearer CANARY");
    let dirs = Dirs::new();
    let headers = dirs.root().join("headers");
    fs::write(&headers, "Authorization: Bearer CANARY\n").unwrap();
    let (headers, allowed) = (headers.display().to_string(), other.address().to_string());
    let args = ["--header-file", &headers, "--allow-hosts", &allowed];
    let mounted = try_mount(dirs, Some(&origin.url("")), &args, |_| ()).unwrap();
    assert_eq!(names(&mounted.dir()), ["Staged", "b c", "own"]);
    assert_eq!(read_sum(&mounted.path("own")), (MIB, checksum("own", MIB)));
    assert_eq!(read_sum(&mounted.path("b c")), (MIB, checksum("far/b c", MIB)));
    assert!(origin.requests_of("own").iter().all(|request| request.header("authorization").is_some()));
    let there = other.requests();
    assert!(!there.is_empty() && there.iter().all(|request| request.header("authorization").is_none()));
    let record = mounted.finish();
    assert!(!record.iter().any(|event| event.to_string().contains("CANARY")));
}

#[test]
fn links_to_other_hosts_are_not_shown_unless_allowed() {
    let (origin, other) = (Origin::start().unwrap(), Origin::start().unwrap());
    page_with_links(&origin, &other);
    let elsewhere = format!("localhost:{}", other.address().port());
    for args in [vec![], vec!["--allow-hosts", &elsewhere]] {
        let mounted = mount(Some(&origin.url("")), &args);
        assert_eq!(names(&mounted.dir()), ["Staged", "own"], "{args:?}");
        mounted.finish();
    }
    assert!(other.requests().is_empty(), "nobody asked there");
}

#[test]
fn a_redirect_to_another_host_gets_none_of_our_headers() {
    let (origin, other) = (Origin::start().unwrap(), Origin::start().unwrap());
    origin.file("a", MIB).always("a", Fault::Redirect(other.file("b", MIB).url("b")));
    let dirs = Dirs::new();
    let headers = dirs.root().join("headers");
    fs::write(&headers, "Cookie: CANARY\n").unwrap();
    let args = ["--header-file", &headers.display().to_string()];
    let mounted = try_mount(dirs, Some(&origin.url("a")), &args, |_| ()).unwrap();
    assert_eq!(read_sum(&mounted.path("a")), (MIB, checksum("b", MIB)));
    assert!(origin.requests_of("a").iter().all(|request| request.header("cookie").is_some()));
    assert!(other.requests().iter().all(|request| request.header("cookie").is_none()));
    mounted.finish();
}

#[test]
fn a_file_of_unknown_length_appears_when_all_of_it_has_come_with_its_exact_size() {
    let origin = Origin::start().unwrap();
    let size = 3 * MIB + 7;
    origin.list_as(IndexStyle::Python).file("d/known", 5).file("d/chunked", size).file("d/nothing", size);
    origin.versions("d/nothing", Versions::Nothing).always("d/nothing", Fault::Chunked);
    origin.always("d/chunked", Fault::Chunked).file("d/empty", 0).always("d/empty", Fault::Chunked);
    let mounted = mount(Some(&origin.url("d/")), &["--listing-ttl", "200ms"]);
    assert!(mounted.path("known").metadata().is_ok());
    for (name, size) in [("chunked", size), ("nothing", size), ("empty", 0)] {
        await_true("the file", || mounted.path(name).exists());
        assert_eq!(fs::metadata(mounted.path(name)).unwrap().len(), size);
        assert_eq!(read_sum(&mounted.path(name)), (size, checksum(&format!("d/{name}"), size)));
    }
    assert_eq!(names(&mounted.dir()), ["Staged", "chunked", "empty", "known", "nothing"]);
    assert_eq!(mounted.status()["disk_used"].as_u64(), Some(2 * size), "it is in the store, and counted there");
    // The origin tells its version: listing it again fetches nothing.
    let gets = || origin.requests_of("d/chunked").iter().filter(|request| request.method == "GET").count();
    let listed = || origin.requests_of("d/known").len();
    let (before, heads) = (gets(), listed());
    await_true("another listing", || {
        names(&mounted.dir());
        listed() > heads
    });
    assert_eq!(gets(), before);
    mounted.finish();
}

#[test]
fn a_file_of_unknown_length_that_is_too_large_stays_hidden_and_disturbs_nobody() {
    let origin = Origin::start().unwrap();
    origin.list_as(IndexStyle::Python).file("d/slow", MIB).file("d/known", MIB);
    origin.always("d/slow", Fault::Chunked);
    let mounted = mount(Some(&origin.url("d/")), &["--unsized-limit", "64KiB"]);
    assert_eq!(names(&mounted.dir()), ["Staged", "known"]);
    await_true("the word that it is too large", || mounted.messages().contains("larger than unsized_limit"));
    assert!(!mounted.path("slow").exists());
    assert_eq!(read_sum(&mounted.path("known")), (MIB, checksum("d/known", MIB)));
    mounted.signal(Signal::SIGTERM);
    let (status, record) = mounted.gone();
    assert_eq!(status.code(), Some(0));
    assert_eq!(orphans(&record), Vec::<String>::new());
}

#[test]
fn a_file_of_unknown_length_that_did_not_come_whole_is_tried_again_at_the_next_look() {
    let origin = Origin::start().unwrap();
    origin.list_as(IndexStyle::Python).file("d/a", MIB).always("d/a", Fault::status(503));
    // Two listings ask for its length: that before the mount, and that of the first look.
    origin.fault("d/a", Fault::Chunked).fault("d/a", Fault::Chunked);
    let mounted = mount(Some(&origin.url("d/")), &["--listing-ttl", "200ms"]);
    let file = mounted.path("a");
    assert!(!file.exists());
    await_true("the end of the fetch", || mounted.messages().contains("a is of unknown length and not shown: "));
    origin.always("d/a", Fault::Chunked);
    await_true("the file", || file.exists());
    assert_eq!(read_sum(&file), (MIB, checksum("d/a", MIB)));
    mounted.finish();
}
