//! A resource: a URL and what may be sent with it, both private.

use std::{fmt, path::PathBuf, pin::Pin, sync::Arc};

use fsd_events::ids::OpId;
use percent_encoding::percent_decode_str;
use reqwest::Url;
use serde::{Deserialize, Serialize};

use super::OriginError;

/// What a source does when the origin no longer accepts a URL (401, 403, 410).
pub trait Renew: Send + Sync {
    /// A fresh resource for the same content; None when there is none.
    fn renew(&self, op: OpId) -> Pin<Box<dyn Future<Output = Option<Resource>> + Send + '_>>;
}

/// A URL with its private headers. Cheap to clone; `Debug` and `Display` show scheme, host and path only.
#[derive(Clone)]
pub struct Resource {
    url: Url,
    access: Arc<Access>,
}

/// What is sent with requests to the host of the resource, and to no other.
#[derive(Clone, Default)]
struct Access {
    headers: Vec<(String, String)>,
    header_file: Option<PathBuf>,
    renew: Option<Arc<dyn Renew>>,
}

/// A resource with all its secrets, for private files only.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    url: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    headers: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    header_file: Option<PathBuf>,
}

impl Resource {
    /// # Errors
    /// For anything but an absolute `http` or `https` URL with a host. The message never quotes the text.
    pub fn parse(text: &str) -> Result<Self, OriginError> {
        let url = Url::parse(text.trim()).map_err(|error| OriginError::Url(error.to_string()))?;
        Self::from_url(url, Arc::default())
    }

    fn from_url(mut url: Url, access: Arc<Access>) -> Result<Self, OriginError> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(OriginError::Url("only http and https are served".to_owned()));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(OriginError::Url("it names no host".to_owned()));
        }
        // What is taken for the host is then the beginning of a user's name and password, and a host is shown.
        if url.path() == "/" && url.fragment().is_some_and(|rest| rest.contains('@')) {
            return Err(OriginError::Url("a # in a password is written %23".to_owned()));
        }
        url.set_fragment(None);
        Ok(Self { url, access })
    }

    /// Sends these headers, to this host only.
    #[must_use]
    pub fn with_headers(mut self, headers: Vec<(String, String)>) -> Self {
        Arc::make_mut(&mut self.access).headers = headers;
        self
    }

    /// Sends the headers of this file (`Name: value` lines), read again when the origin refuses them.
    #[must_use]
    pub fn with_header_file(mut self, file: PathBuf) -> Self {
        Arc::make_mut(&mut self.access).header_file = Some(file);
        self
    }

    /// Asks `renew` once when the origin answers 401, 403 or 410.
    #[must_use]
    pub fn with_renew(mut self, renew: Arc<dyn Renew>) -> Self {
        Arc::make_mut(&mut self.access).renew = Some(renew);
        self
    }

    /// Resolves a reference against this resource; the headers stay only while the host does.
    ///
    /// # Errors
    /// As [`Resource::parse`].
    pub fn join(&self, reference: &str) -> Result<Self, OriginError> {
        let url = self.url.join(reference).map_err(|error| OriginError::Url(error.to_string()))?;
        let access = if same_place(&self.url, &url) { Arc::clone(&self.access) } else { Arc::default() };
        Self::from_url(url, access)
    }

    /// What is under this path, percent-encoded, of the same host.
    #[must_use]
    pub fn at(&self, path: &str) -> Self {
        let mut there = self.clone();
        there.url.set_path(path);
        there.url.set_query(None);
        there
    }

    /// Whether both are served by the same scheme, host and port.
    pub fn same_host(&self, other: &Self) -> bool {
        same_place(&self.url, &other.url)
    }

    /// Host and port, as events name an origin.
    pub fn host(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        self.url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// The host alone, as the URL has it.
    pub fn host_name(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// Of the URL, or that of its scheme.
    pub fn port(&self) -> Option<u16> {
        self.url.port_or_known_default()
    }

    /// Whether `other` is reached without the encryption that this one has.
    pub fn is_safer_than(&self, other: &Self) -> bool {
        self.url.scheme() == "https" && other.url.scheme() != "https"
    }

    /// The path as the URL has it, percent-encoded.
    pub fn path(&self) -> &str {
        self.url.path()
    }

    /// The last path segment, decoded; None for a directory or undecodable bytes.
    pub fn file_name(&self) -> Option<String> {
        let last = self.url.path_segments()?.next_back().filter(|last| !last.is_empty())?;
        percent_decode_str(last).decode_utf8().ok().map(std::borrow::Cow::into_owned)
    }

    /// Whether the URL ends as a directory's does.
    pub fn is_dir(&self) -> bool {
        self.url.path().ends_with('/')
    }

    /// Has a query string.
    pub fn has_query(&self) -> bool {
        self.url.query().is_some()
    }

    /// With every secret; for files of mode 0600 only.
    pub fn seal(&self) -> Sealed {
        let access = &self.access;
        Sealed {
            url: self.url.as_str().to_owned(),
            headers: access.headers.clone(),
            header_file: access.header_file.clone(),
        }
    }

    /// # Errors
    /// As [`Resource::parse`].
    pub fn unseal(sealed: Sealed) -> Result<Self, OriginError> {
        let access = Access { headers: sealed.headers, header_file: sealed.header_file, renew: None };
        let url = Url::parse(&sealed.url).map_err(|error| OriginError::Url(error.to_string()))?;
        Self::from_url(url, Arc::new(access))
    }

    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    pub(super) fn headers(&self) -> &[(String, String)] {
        &self.access.headers
    }

    pub(super) fn header_file(&self) -> Option<&std::path::Path> {
        self.access.header_file.as_deref()
    }

    pub(super) fn renew(&self) -> Option<&Arc<dyn Renew>> {
        self.access.renew.as_ref()
    }
}

fn same_place(a: &Url, b: &Url) -> bool {
    a.scheme() == b.scheme() && a.host_str() == b.host_str() && a.port_or_known_default() == b.port_or_known_default()
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.url.scheme(), self.host(), self.url.path())
    }
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Resource({self})")
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealed(..)")
    }
}

impl PartialEq for Resource {
    fn eq(&self, other: &Self) -> bool {
        self.url == other.url && self.access.headers == other.access.headers
    }
}

impl Eq for Resource {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_private_is_ever_shown() {
        let text = "https://user:CANARY@host.example:8443/a/b%20c?token=CANARY#CANARY";
        let resource = Resource::parse(text).unwrap().with_headers(vec![("X-Key".into(), "CANARY".into())]);
        let shown = format!("{resource} {resource:?} {:?} {:?}", resource.seal(), Resource::parse("CANARY"));
        assert!(!shown.contains("CANARY"), "{shown}");
        assert_eq!(resource.to_string(), "https://host.example:8443/a/b%20c");
        assert_eq!(resource.file_name().as_deref(), Some("b c"));
    }

    #[test]
    fn headers_do_not_travel_to_another_host() {
        let resource = Resource::parse("http://a/x/").unwrap().with_headers(vec![("K".into(), "v".into())]);
        assert_eq!(resource.join("y").unwrap().headers().len(), 1);
        assert!(resource.join("//b/y").unwrap().headers().is_empty());
        assert!(resource.join("https://a/y").unwrap().headers().is_empty());
    }

    #[test]
    fn a_sealed_resource_comes_back_whole() {
        let resource = Resource::parse("http://u:p@a/x?q=1").unwrap().with_headers(vec![("K".into(), "v".into())]);
        let text = serde_json::to_string(&resource.seal()).unwrap();
        assert_eq!(Resource::unseal(serde_json::from_str(&text).unwrap()).unwrap(), resource);
    }

    #[test]
    fn only_http_is_served() {
        for text in ["file:///etc/passwd", "ftp://a/b", "x/y", "", "http://user:1#2@host/"] {
            assert!(Resource::parse(text).is_err(), "{text}");
        }
        assert!(Resource::parse("http://host/a#b@c").is_ok() && Resource::parse("http://u:p@host/#b").is_ok());
    }
}
