//! Sources against the scripted origin.

use std::collections::BTreeMap;

use fsd_events::ids::OpId;

use crate::{
    data::{
        hosts::Hosts,
        origin::{Origin, OriginConfig, OriginError, Validator},
    },
    process::demo::origin::{self as scripted, Fault, IndexStyle},
};

use super::{Listed, ListedKind, Source, SourceError, SourceSpec};

const OP: OpId = OpId(1);

fn client() -> Origin {
    Origin::new(OriginConfig { retries: 0, ..OriginConfig::default() }).unwrap()
}

async fn open(text: &str) -> Result<Source, SourceError> {
    Source::open(&SourceSpec::parse(text)?, client(), Hosts::default()).await
}

fn sizes(listed: Vec<Listed>) -> BTreeMap<String, Option<u64>> {
    let size = |kind| if let ListedKind::File { size, .. } = kind { size } else { None };
    listed.into_iter().map(|entry| (entry.name, size(entry.kind))).collect()
}

#[tokio::test]
async fn a_tree_is_listed_with_exact_sizes_whatever_the_page_says() {
    for style in [IndexStyle::NginxJson, IndexStyle::NginxHtml, IndexStyle::Python] {
        let origin = scripted::Origin::start().unwrap();
        origin.list_as(style).file("d/a b", 5).file("d/sub/ü&<>", 3_000_000_000).file("d/sub/z", 0);
        let source = open(&origin.url("d/")).await.unwrap();
        let root = sizes(source.list("", OP).await.unwrap());
        assert_eq!(root, [("a b".into(), Some(5)), ("sub".into(), None)].into(), "{style:?}");
        let sub = sizes(source.list("sub", OP).await.unwrap());
        assert_eq!(sub, [("ü&<>".into(), Some(3_000_000_000)), ("z".into(), Some(0))].into(), "{style:?}");
        assert!(matches!(source.list("none", OP).await, Err(SourceError::NoDirectory(_))), "{style:?}");
        assert!(matches!(source.list("../d", OP).await, Err(SourceError::NoDirectory(_))), "{style:?}");
    }
}

#[tokio::test]
async fn many_sizes_are_asked_for_a_few_at_once() {
    let origin = scripted::Origin::start().unwrap();
    origin.list_as(IndexStyle::Python).fault("d/none", Fault::status(404));
    for n in 0..100 {
        origin.file(&format!("d/{n}"), n);
    }
    let source = open(&origin.url("d/")).await.unwrap();
    let listed = sizes(source.list("", OP).await.unwrap());
    assert_eq!(listed.len(), 100);
    assert!(listed.iter().all(|(name, size)| *size == name.parse().ok()));
}

#[tokio::test]
async fn a_listing_that_cannot_be_completed_is_an_error_and_not_shorter() {
    let origin = scripted::Origin::start().unwrap();
    origin.list_as(IndexStyle::Python).file("d/a", 1).file("d/b", 2);
    let source = open(&origin.url("d/")).await.unwrap();
    origin.always("d/b", Fault::status(503));
    let got = source.list("", OP).await;
    assert!(matches!(got, Err(SourceError::Origin(OriginError::Status { code: 503, .. }))), "{got:?}");
    origin.always("d/b", Fault::status(403));
    assert_eq!(sizes(source.list("", OP).await.unwrap()).len(), 1);
}

#[tokio::test]
async fn a_file_that_is_sent_in_another_form_or_leads_nowhere_hides_no_other() {
    let origin = scripted::Origin::start().unwrap();
    origin.list_as(IndexStyle::Python).file("d/a", 1).file("d/log.gz", 2).file("d/round", 3);
    origin.always("d/log.gz", Fault::Encoded).always("d/round", Fault::RedirectLoop);
    let source = open(&origin.url("d/")).await.unwrap();
    assert_eq!(sizes(source.list("", OP).await.unwrap()), [("a".into(), Some(1))].into());
}

#[tokio::test]
async fn an_empty_file_has_its_size_where_head_is_not_served() {
    let origin = scripted::Origin::start().unwrap();
    origin.list_as(IndexStyle::Python).file("d/a", 1).file("d/empty", 0);
    origin.always("d/a", Fault::NoHead).always("d/empty", Fault::NoHead);
    let source = open(&origin.url("d/")).await.unwrap();
    assert_eq!(sizes(source.list("", OP).await.unwrap()), [("a".into(), Some(1)), ("empty".into(), Some(0))].into());
    // That it has no first byte is not yet that it has none.
    origin.fault("d/a", Fault::NoHead).fault("d/a", Fault::status(416));
    assert_eq!(sizes(source.list("", OP).await.unwrap()), [("empty".into(), Some(0))].into());
}

#[tokio::test]
async fn a_header_file_that_does_not_answer_hides_its_own_files_alone() {
    let origin = scripted::Origin::start().unwrap();
    origin.file("a", 1).file("b", 2);
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("headers");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let path = dir.path().join("m.toml");
    let row = |name: &str, more: &str| format!("[[file]]\nname = \"{name}\"\nurl = \"{}\"\n{more}\n", origin.url(name));
    std::fs::write(&path, row("a", "header_file = \"headers\"") + &row("b", "")).unwrap();
    let source = open(path.to_str().unwrap()).await.unwrap();
    let listed = tokio::time::timeout(OriginConfig::default().first_byte, source.list("", OP)).await;
    // Whoever waits for a writer goes on, and the test can end.
    let writer = std::fs::OpenOptions::new().read(true).write(true).open(&pipe);
    drop(writer);
    let listed = listed.expect("a listing that waits for nobody").unwrap();
    assert_eq!(sizes(listed), [("b".into(), Some(2))].into());
}

#[tokio::test]
async fn a_url_is_a_directory_when_it_leads_to_one() {
    let origin = scripted::Origin::start().unwrap();
    origin.file("d/f", 7).always("d", Fault::Redirect("/d/".into()));
    let source = open(&origin.url("d")).await.unwrap();
    assert_eq!(sizes(source.list("", OP).await.unwrap()), [("f".into(), Some(7))].into());
}

#[tokio::test]
async fn one_file_is_a_tree_of_one() {
    let origin = scripted::Origin::start().unwrap();
    origin.file("d/f g", 7);
    let source = open(&origin.url("d/f%20g?token=CANARY")).await.unwrap();
    let listed = source.list("", OP).await.unwrap();
    assert_eq!(listed[0].name, "f g");
    let ListedKind::File { size: Some(7), validator: Validator::Strong(_), modified_us: Some(_), .. } = listed[0].kind
    else {
        panic!("{listed:?}")
    };
    assert!(!format!("{source:?} {listed:?} {}", source.redacted()).contains("CANARY"));
}

#[tokio::test]
async fn a_source_that_is_none_is_refused() {
    let origin = scripted::Origin::start().unwrap();
    origin.page("page/", "text/html", "<p>Hello").file("f", 1);
    assert!(matches!(open(&origin.url("page/")).await, Err(SourceError::Index { .. })));
    assert!(matches!(open(&origin.url("none/")).await, Err(SourceError::Origin(_))));
    assert!(matches!(open(&origin.url("none")).await, Err(SourceError::Origin(_))));
    assert!(matches!(open("/no/such/dir").await, Err(SourceError::Local { .. })));
    assert!(matches!(open("/no/such/list.toml").await, Err(SourceError::NoManifest { .. })));
}

#[tokio::test]
async fn a_manifest_shows_what_can_be_shown_and_is_read_again_at_each_look() {
    let (origin, other) = (scripted::Origin::start().unwrap(), scripted::Origin::start().unwrap());
    origin.file("a", 1).file("b", 2);
    other.file("c", 3);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.toml");
    let write = |all: &[(&str, String)]| {
        let entries = all.iter().map(|(name, url)| format!("[[file]]\nname = \"{name}\"\nurl = \"{url}\"\n"));
        std::fs::write(&path, entries.collect::<String>()).unwrap();
    };
    let three = [("a", origin.url("a")), ("c", other.url("c")), ("gone", origin.url("gone"))];
    write(&three);
    let source = open(path.to_str().unwrap()).await.unwrap();
    let both: BTreeMap<_, _> = [("a".into(), Some(1)), ("c".into(), Some(3))].into();
    assert_eq!(sizes(source.list("", OP).await.unwrap()), both, "404 hides one file and no other");
    other.always("c", Fault::status(503));
    assert_eq!(sizes(source.list("", OP).await.unwrap()), both, "what was known stays while its origin is down");
    std::fs::write(&path, "[[file").unwrap();
    assert_eq!(sizes(source.list("", OP).await.unwrap()), both, "half a manifest changes nothing");
    write(&[("b", origin.url("b")), ("new", other.url("c"))]);
    assert_eq!(sizes(source.list("", OP).await.unwrap()), [("b".into(), Some(2))].into(), "nobody knows its size");
    write(&[("new", other.url("c"))]);
    assert!(matches!(source.list("", OP).await, Err(SourceError::Origin(_))), "there is nothing to show");
}

#[tokio::test]
async fn a_manifest_makes_a_tree_and_renews_its_urls() {
    let origin = scripted::Origin::start().unwrap();
    origin.file("old", 10).file("new", 10).file("b", 3);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.toml");
    let write = |url: &str| {
        let b = origin.url("b");
        let text =
            format!("[[file]]\nname = \"x/a\"\nurl = \"{url}\"\nsize = 10\n[[file]]\nname = \"b\"\nurl = \"{b}\"\n");
        std::fs::write(&path, text).unwrap();
    };
    write(&origin.url("old"));
    let source = open(path.to_str().unwrap()).await.unwrap();
    assert_eq!(sizes(source.list("", OP).await.unwrap()), [("b".into(), Some(3)), ("x".into(), None)].into());
    let listed = source.list("x", OP).await.unwrap();
    let ListedKind::File { place: super::Place::Remote(resource), .. } = &listed[0].kind else { panic!() };
    origin.always("old", Fault::status(403));
    write(&origin.url("new"));
    let body = client().get(resource, Some(0..4), &Validator::None, OP).await.unwrap();
    assert!(body.renewed().is_some());
}

#[tokio::test]
async fn what_looks_like_a_url_is_never_taken_for_a_path_and_shown() {
    let origin = scripted::Origin::start().unwrap();
    origin.file("d/a", 5);
    let url = origin.url("d/");
    assert_eq!(open(&url.replace("http:", "HTTP:")).await.unwrap().list("", OP).await.unwrap().len(), 1);
    for text in ["ftp://user:CANARY@host/?CANARY", "s3+x.y-1://CANARY", " Https://user:CANARY@/"] {
        let error = open(text).await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("CANARY"), "{error}");
    }
    assert!(matches!(SourceSpec::parse("./a://b"), Ok(SourceSpec::Local(_))));
}
