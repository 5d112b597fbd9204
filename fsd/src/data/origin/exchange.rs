//! One exchange: a request, its redirects, and the head of the answer.

use std::{error::Error, ops::Range, time::Duration};

use fsd_events::{event::Phase, ids::OpId};
use reqwest::{
    Method, Request, Response, StatusCode,
    header::{self, HeaderMap, HeaderName, HeaderValue},
};

use crate::{
    data::text_file,
    observe::{locks, tasks},
};

use super::{
    Limit, OriginConfig, OriginError, Resource, Validator, check,
    clients::Clients,
    plain::{Failure, Plain, Stream},
};

/// Some servers list a directory as JSON when asked to, with exact sizes.
const ACCEPT: &str = "application/json, text/html;q=0.9, */*;q=0.8";

/// Bytes of the longest file of headers.
const HEADERS: u64 = 256 << 10;

/// What is asked of an origin.
#[derive(Clone)]
pub(super) struct Ask {
    pub(super) method: Method,
    /// None: everything.
    pub(super) range: Option<Range<u64>>,
    pub(super) expect: Validator,
    pub(super) op: OpId,
}

/// Over which connection is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Connection {
    /// One that is kept from an earlier answer, if there is any.
    Kept,
    /// A new one: the way to the origin may have been lost under all that are kept, which nothing tells but silence.
    New,
}

pub(super) const USER_AGENT: &str = concat!("fsd/", env!("CARGO_PKG_VERSION"));

/// The way a body comes.
pub(super) enum Flow {
    Client(Response),
    Plain(Stream),
}

/// The head of one answer, redirects included.
pub(super) struct Got {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// Of the body, where it was announced.
    pub(super) length: Option<u64>,
    pub(super) flow: Flow,
}

impl From<Response> for Got {
    fn from(mut response: Response) -> Self {
        let headers = std::mem::take(response.headers_mut());
        Self { status: response.status(), headers, length: response.content_length(), flow: Flow::Client(response) }
    }
}

/// The head of an answer, its body still to come.
pub(super) struct Answer {
    pub(super) got: Got,
    /// Where it came from in the end.
    pub(super) from: Resource,
    /// What the source gave in place of a refused resource.
    pub(super) renewed: Option<Resource>,
}

impl Answer {
    pub(super) fn header(&self, name: HeaderName) -> Option<&str> {
        self.got.headers.get(name)?.to_str().ok()
    }

    pub(super) fn status(&self) -> StatusCode {
        self.got.status
    }
}

pub(super) struct Exchange {
    clients: Clients,
    plain: Plain,
    connect: Duration,
    redirects: u32,
}

impl Exchange {
    pub(super) fn new(config: &OriginConfig) -> Result<Self, OriginError> {
        let (clients, plain) = (Clients::new(config.connect)?, Plain::new(config.connect));
        Ok(Self { clients, plain, connect: config.connect, redirects: config.redirects })
    }

    /// Asks once, following redirects; any status but success is an error.
    pub(super) async fn once(
        &self,
        r: &Resource,
        ask: &Ask,
        first_byte: Duration,
        connection: Connection,
    ) -> Result<Answer, OriginError> {
        locks::assert_none_held("origin request");
        tasks::phase(ask.op, Phase::Upstream, &detail(r, ask));
        let mut from = r.clone();
        for _ in 0..=self.redirects {
            let got = self.ask(&from, ask, first_byte, connection).await?;
            if !is_redirect(got.status) {
                return accept(got, from, ask);
            }
            from = follow(&from, &got.headers)?;
        }
        Err(OriginError::Redirect { at: r.to_string(), why: format!("more than {} redirects", self.redirects) })
    }

    async fn request(&self, r: &Resource, ask: &Ask) -> Result<Request, OriginError> {
        let client = self.clients.of(r.url(), Connection::Kept).await?;
        let mut request = client.request(ask.method.clone(), r.url().clone());
        for ((name, value), number) in r.headers().iter().zip(1..) {
            request = request.headers(one_header(name, value, || format!("header {number}"))?);
        }
        if let Some(file) = r.header_file() {
            let text = text_file::read(file, HEADERS).await;
            let text =
                text.map_err(|error| OriginError::Headers(format!("cannot read {}: {error}", file.display())))?;
            request = request.headers(parse_headers(&text)?);
        }
        request = request.header(header::ACCEPT_ENCODING, "identity");
        request = request.header(header::ACCEPT, ACCEPT).headers(conditions(ask));
        request.build().map_err(|error| OriginError::Client(root_cause(&error.without_url())))
    }

    /// One request, from what has to be read for it to the head of its answer.
    async fn ask(
        &self,
        r: &Resource,
        ask: &Ask,
        first_byte: Duration,
        connection: Connection,
    ) -> Result<Got, OriginError> {
        let sent = async { self.send(self.request(r, ask).await?, r, connection).await };
        let late = || OriginError::Timeout { limit: Limit::FirstByte, at: r.to_string(), after: first_byte };
        tokio::time::timeout(first_byte, sent).await.unwrap_or_else(|_| Err(late()))
    }

    async fn send(&self, request: Request, r: &Resource, connection: Connection) -> Result<Got, OriginError> {
        let client = self.clients.of(r.url(), connection).await?;
        let late = || OriginError::Timeout { limit: Limit::Connect, at: r.to_string(), after: self.connect };
        let broken = |why| OriginError::Connect { at: r.to_string(), why };
        if self.plain.serves(&request) {
            return self.plain.send(&request, connection).await.map_err(|failure| match failure {
                Failure::Late => late(),
                Failure::Unanswered(error) => broken(error.to_string()),
                Failure::Broken(why) => broken(why),
            });
        }
        client
            .execute(request)
            .await
            .map(Got::from)
            .map_err(|error| if error.is_timeout() { late() } else { broken(root_cause(&error.without_url())) })
    }
}

/// Host, range and path for the phase event.
fn detail(r: &Resource, ask: &Ask) -> String {
    match &ask.range {
        None => format!("{} {} {}", r.host(), ask.method, r.path()),
        Some(range) => format!("{} {} {} {}-{}", r.host(), ask.method, r.path(), range.start, range.end),
    }
}

/// Range and preconditions: never bytes of another version.
fn conditions(ask: &Ask) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut put = |name, text: &str| {
        if let Ok(value) = HeaderValue::from_str(text) {
            headers.insert(name, value);
        }
    };
    if let Validator::Strong(tag) = &ask.expect {
        put(header::IF_MATCH, tag);
    }
    let Some(range) = &ask.range else { return headers };
    put(header::RANGE, &format!("bytes={}-{}", range.start, range.end.saturating_sub(1)));
    match &ask.expect {
        Validator::Strong(tag) => put(header::IF_RANGE, tag),
        Validator::Dated { modified, .. } => put(header::IF_RANGE, modified),
        Validator::None => {}
    }
    headers
}

/// What is wrong is told by its place: where a colon is missing, a value stands in the place of a name.
fn one_header(name: &str, value: &str, place: impl Fn() -> String) -> Result<HeaderMap, OriginError> {
    let bad = || OriginError::Headers(format!("{} is no header", place()));
    let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| bad())?;
    let mut value = HeaderValue::from_str(value.trim()).map_err(|_| bad())?;
    value.set_sensitive(true);
    Ok(HeaderMap::from_iter([(name, value)]))
}

/// `Name: value` lines; empty lines and those with `#` in front do not count.
fn parse_headers(text: &str) -> Result<HeaderMap, OriginError> {
    let mut headers = HeaderMap::new();
    for (line, number) in text.lines().zip(1..) {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let place = || format!("line {number}");
        let missing = || OriginError::Headers(format!("{} has no colon", place()));
        let (name, value) = line.split_once(':').ok_or_else(missing)?;
        headers.extend(one_header(name, value, place)?);
    }
    Ok(headers)
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

fn follow(from: &Resource, headers: &HeaderMap) -> Result<Resource, OriginError> {
    let refuse = |why: &str| OriginError::Redirect { at: from.to_string(), why: why.to_owned() };
    let location = headers.get(header::LOCATION).and_then(|location| location.to_str().ok());
    let to = from.join(location.ok_or_else(|| refuse("a redirect to nowhere"))?)?;
    if from.is_safer_than(&to) {
        return Err(refuse("a redirect from https to http"));
    }
    Ok(to)
}

fn accept(got: Got, from: Resource, ask: &Ask) -> Result<Answer, OriginError> {
    let (status, at) = (got.status, from.to_string());
    let answer = Answer { got, from, renewed: None };
    match status.as_u16() {
        200 | 206 => Ok(answer),
        412 => Err(OriginError::Changed { at, why: "the precondition failed".to_owned() }),
        416 if ask.range.is_some() => Err(OriginError::Beyond { at, size: check::size_without_range(&answer) }),
        code => {
            let retry_after = answer.header(header::RETRY_AFTER).and_then(retry_after);
            Err(OriginError::Status { at, code, retry_after })
        }
    }
}

/// Seconds, or a date from now.
fn retry_after(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = httpdate::parse_http_date(text).ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(at.saturating_sub(Duration::from_micros(crate::platform::clock::now_wall_us())))
}

/// The innermost reason: the outer ones quote URLs.
pub(super) fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    if cause.source().is_none() && error.source().is_none() {
        "the request failed".to_owned()
    } else {
        cause.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_files_are_lines_of_name_and_value() {
        let headers = parse_headers("# mine\n\nAuthorization: Bearer CANARY\nX-A: 1").unwrap();
        assert_eq!(headers.len(), 2);
        assert!(!format!("{headers:?}").contains("CANARY"));
        assert!(!parse_headers("CANARY").unwrap_err().to_string().contains("CANARY"));
    }

    #[test]
    fn a_line_that_is_no_header_is_told_by_its_number_alone() {
        for line in ["Cookie session=CANARY; next=http://x", "X: CANARY\u{7f}", ": CANARY"] {
            let error = parse_headers(&format!("# mine\n{line}\n")).unwrap_err().to_string();
            assert!(error.contains("line 2") && !error.contains("CANARY"), "{error}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(retry_after("7"), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("Tue, 14 Nov 2023 22:13:20 GMT"), Some(Duration::ZERO));
        assert_eq!(retry_after("soon"), None);
    }
}
