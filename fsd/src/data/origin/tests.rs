//! The client against the scripted origin: exact bytes, bounded patience, no secrets.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use fsd_events::ids::OpId;

use crate::{
    platform::clock,
    process::demo::origin::{self as scripted, Fault, Versions},
};

use super::{Limit, Meta, Origin, OriginConfig, OriginError, Renew, Resource, Validator};

const OP: OpId = OpId(1);

fn client() -> Origin {
    let ms = Duration::from_millis;
    let config = OriginConfig {
        connect: ms(500),
        first_byte: ms(300),
        inactivity: ms(300),
        whole: ms(1500),
        retries: 2,
        backoff: ms(5),
        backoff_limit: ms(200),
        redirects: 3,
    };
    Origin::new(config).unwrap()
}

fn served(size: u64) -> (scripted::Origin, Resource) {
    let origin = scripted::Origin::start().unwrap();
    origin.file("f", size);
    let resource = Resource::parse(&origin.url("f?token=CANARY")).unwrap();
    (origin, resource)
}

async fn fetch(
    client: &Origin,
    resource: &Resource,
    range: Option<std::ops::Range<u64>>,
    expect: &Validator,
) -> Result<Vec<u8>, OriginError> {
    let mut body = client.get(resource, range, expect, OP).await?;
    let mut bytes = Vec::new();
    while let Some(piece) = body.chunk().await? {
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

fn v1() -> Validator {
    Validator::Strong("\"v1\"".into())
}

#[tokio::test]
async fn a_range_is_asked_for_with_its_version_and_comes_whole() {
    let (origin, resource) = served(1_000_000);
    let bytes = fetch(&client(), &resource, Some(5..700_005), &v1()).await.unwrap();
    assert_eq!(bytes, origin.bytes("f", 5, 700_000));
    let request = &origin.requests()[0];
    assert_eq!(request.range, Some(5..700_005));
    assert_eq!(request.header("if-match"), Some("\"v1\""));
    assert_eq!(request.header("if-range"), Some("\"v1\""));
    assert_eq!(request.header("accept-encoding"), Some("identity"));
}

#[tokio::test]
async fn a_head_tells_size_and_version() {
    let (origin, resource) = served(77);
    let meta = client().head(&resource, OP).await.unwrap();
    let modified_us = Some((1_700_000_000 + 3600) * 1_000_000);
    assert_eq!(meta, Meta { size: Some(77), validator: v1(), modified_us, ranges: true });
    origin.versions("f", Versions::Weak);
    let Validator::Dated { size, .. } = client().head(&resource, OP).await.unwrap().validator else { panic!() };
    assert_eq!(size, Some(77));
}

#[tokio::test]
async fn wrong_answers_give_no_bytes() {
    let faults = [Fault::WholeForRange, Fault::WrongRange, Fault::OtherTag, Fault::Encoded, Fault::WrongLength(-1)];
    for fault in faults {
        let (origin, resource) = served(1000);
        origin.always("f", fault.clone());
        let got = fetch(&client(), &resource, Some(10..20), &v1()).await;
        let as_expected = match fault {
            Fault::WholeForRange => matches!(got, Err(OriginError::NoRanges { .. })),
            Fault::OtherTag => matches!(got, Err(OriginError::Changed { .. })),
            _ => matches!(got, Err(OriginError::Answer { .. })),
        };
        assert!(as_expected, "{fault:?}: {got:?}");
        assert_eq!(origin.requests().len(), 1, "{fault:?}: asking again cannot help");
    }
}

#[tokio::test]
async fn another_version_is_never_mixed_in() {
    for versions in [Versions::Tag, Versions::Date, Versions::Weak] {
        let (origin, resource) = served(1000);
        origin.versions("f", versions);
        let before = client().head(&resource, OP).await.unwrap().validator;
        assert!(fetch(&client(), &resource, Some(10..20), &before).await.is_ok());
        origin.file("f", 1000);
        let got = fetch(&client(), &resource, Some(10..20), &before).await;
        assert!(matches!(got, Err(OriginError::Changed { .. })), "{versions:?}: {got:?}");
    }
}

#[tokio::test]
async fn a_passing_fault_passes() {
    let faults = [Fault::status(503), Fault::Status { code: 429, retry_after: Some("0".into()) }, Fault::Silent];
    for fault in faults {
        let (origin, resource) = served(1000);
        origin.fault("f", fault.clone()).fault("f", fault.clone());
        let got = fetch(&client(), &resource, Some(10..20), &v1()).await;
        assert!(got.is_ok(), "{fault:?}: {got:?}");
    }
}

#[tokio::test]
async fn attempts_and_waits_are_bounded() {
    let (origin, resource) = served(1000);
    origin.always("f", Fault::Status { code: 429, retry_after: Some("3600".into()) });
    let started = clock::now();
    let got = fetch(&client(), &resource, Some(0..10), &v1()).await;
    assert!(matches!(got, Err(OriginError::Status { code: 429, .. })), "{got:?}");
    assert_eq!(origin.requests().len(), 3);
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn silence_ends_at_its_limit_wherever_it_falls() {
    let (origin, resource) = served(1_000_000);
    origin.always("f", Fault::Silent);
    let got = client().head(&resource, OP).await;
    assert!(matches!(got, Err(OriginError::Timeout { .. })), "{got:?}");
    origin.always("f", Fault::StallAt(1000));
    let got = fetch(&client(), &resource, None, &v1()).await;
    assert!(matches!(got, Err(OriginError::Timeout { limit: Limit::Inactivity, .. })), "{got:?}");
}

#[tokio::test]
async fn a_trickling_page_ends_at_the_whole_limit_and_marks_the_origin() {
    let (origin, resource) = served(1_000_000);
    let client = client();
    origin.fault("f", Fault::Trickle(Duration::from_millis(50)));
    let started: Instant = clock::now();
    let got = client.text(&resource, 1 << 20, OP).await;
    assert!(matches!(got, Err(OriginError::Timeout { limit: Limit::Whole, .. })), "{got:?}");
    assert!(started.elapsed() < Duration::from_secs(4));
    assert!(client.stalled());
    client.head(&resource, OP).await.unwrap();
    assert!(!client.stalled());
}

#[tokio::test]
async fn a_body_that_ends_early_is_never_taken_for_the_end() {
    for fault in [Fault::ShortAt(500), Fault::ResetAt(500), Fault::ChunkedShort(500)] {
        let (origin, resource) = served(1000);
        origin.always("f", fault.clone());
        let got = fetch(&client(), &resource, Some(0..1000), &v1()).await;
        let ended =
            matches!(got, Err(OriginError::Short { .. } | OriginError::NoRanges { .. } | OriginError::Connect { .. }));
        assert!(ended, "{fault:?}: {got:?}");
    }
}

#[tokio::test]
async fn redirects_are_followed_a_few_times_and_carry_no_credentials_elsewhere() {
    let (origin, resource) = served(1000);
    let other = scripted::Origin::start().unwrap();
    other.file("g", 1000);
    let resource = resource.with_headers(vec![("Authorization".into(), "Bearer CANARY".into())]);
    origin.fault("f", Fault::Redirect(other.url("g")));
    assert_eq!(fetch(&client(), &resource, Some(1..9), &v1()).await.unwrap(), other.bytes("g", 1, 8));
    assert_eq!(origin.requests()[0].header("authorization"), Some("Bearer CANARY"));
    assert_eq!(other.requests()[0].header("authorization"), None);
    assert_eq!(other.requests()[0].range, Some(1..9));
    origin.always("f", Fault::RedirectLoop);
    let got = fetch(&client(), &resource, None, &v1()).await;
    assert!(matches!(got, Err(OriginError::Redirect { .. })), "{got:?}");
    assert!(origin.requests().len() < 10);
}

struct Fresh(Resource);

impl Renew for Fresh {
    fn renew(&self, _op: OpId) -> Pin<Box<dyn Future<Output = Option<Resource>> + Send + '_>> {
        Box::pin(async { Some(self.0.clone()) })
    }
}

#[tokio::test]
async fn a_refused_url_is_renewed_once() {
    for code in [401, 403, 410] {
        let (origin, resource) = served(1000);
        origin.always("f", Fault::status(code)).file("fresh", 1000);
        let fresh = Resource::parse(&origin.url("fresh")).unwrap();
        let resource = resource.with_renew(Arc::new(Fresh(fresh.clone())));
        let body = client().get(&resource, Some(0..10), &Validator::None, OP).await.unwrap();
        assert_eq!(body.renewed(), Some(&fresh));
        origin.always("fresh", Fault::status(code));
        let got = client().get(&resource, Some(0..10), &Validator::None, OP).await;
        assert!(matches!(got, Err(OriginError::Status { .. })), "{got:?}");
        assert_eq!(origin.requests().len(), 4, "{code}");
    }
}

#[tokio::test]
async fn a_header_file_is_read_for_each_request() {
    let (origin, resource) = served(1000);
    origin.require("f", "authorization", "Bearer B");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "Authorization: Bearer A\n").unwrap();
    let resource = resource.with_header_file(file.path().to_owned());
    assert!(client().head(&resource, OP).await.unwrap_err().refused());
    std::fs::write(file.path(), "Authorization: Bearer B\n").unwrap();
    assert!(client().head(&resource, OP).await.is_ok());
}

#[tokio::test]
async fn no_error_shows_a_secret() {
    let faults = [
        Fault::status(500),
        Fault::Silent,
        Fault::Garbage,
        Fault::OtherTag,
        Fault::Encoded,
        Fault::WholeForRange,
        Fault::WrongRange,
        Fault::Redirect("http://[CANARY/".into()),
        Fault::Redirect("ftp://h/?CANARY".into()),
        Fault::RedirectLoop,
        Fault::ShortAt(3),
        Fault::ResetAt(3),
    ];
    let (origin, resource) = served(1000);
    for fault in faults {
        origin.always("f", fault.clone());
        let error = fetch(&client(), &resource, Some(5..105), &v1()).await.unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("CANARY"), "{fault:?}: {shown}");
    }
    let gone = Resource::parse("http://user:CANARY@127.0.0.1:1/x?CANARY").unwrap();
    let error = client().head(&gone, OP).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("CANARY"), "{error:?}");
}

/// An origin to which the way may be lost: what is connected by then is never answered again.
#[derive(Clone, Default)]
struct Losing {
    lost: Arc<AtomicBool>,
    /// Requests over connections that are lost.
    in_vain: Arc<AtomicUsize>,
}

impl Losing {
    fn serve(self, listener: &TcpListener) {
        for socket in listener.incoming() {
            let (one, is_new) = (self.clone(), self.lost.load(Ordering::SeqCst));
            let answers = move || one.answer(socket.unwrap(), is_new);
            drop(std::thread::Builder::new().spawn(answers).unwrap());
        }
    }

    fn answer(self, mut socket: TcpStream, is_new: bool) {
        let mut asked = [0; 4096];
        while socket.read(&mut asked).is_ok_and(|got| got > 0) {
            if self.lost.load(Ordering::SeqCst) && !is_new {
                self.in_vain.fetch_add(1, Ordering::SeqCst);
                continue;
            }
            socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
        }
    }
}

#[tokio::test]
async fn one_request_at_most_waits_for_connections_that_were_lost_while_they_were_kept() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let resource = Resource::parse(&format!("http://{}/f", listener.local_addr().unwrap())).unwrap();
    let (origin, client) = (Losing::default(), client());
    let serving = origin.clone();
    drop(std::thread::Builder::new().spawn(move || serving.serve(&listener)).unwrap());
    let fetches = || async { fetch(&client, &resource, None, &Validator::None).await };
    let (a, b, c, d, e) = tokio::join!(fetches(), fetches(), fetches(), fetches(), fetches());
    assert!([a, b, c, d, e].iter().all(Result::is_ok));
    origin.lost.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        assert_eq!(fetches().await.unwrap(), b"ok");
    }
    assert_eq!(origin.in_vain.load(Ordering::SeqCst), 1, "the others are given up with the first");
}
