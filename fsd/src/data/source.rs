//! A source: a tree of names, listed when somebody looks.

mod http;
mod link;
mod local;
mod manifest;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use fsd_events::ids::OpId;
use tokio::task::spawn_blocking;

use crate::{
    data::{
        hosts::Hosts,
        origin::{Origin, OriginError, Resource, Sealed, Validator},
        store::Whole,
    },
    observe::locks,
};

pub use link::Link;
use manifest::Manifest;

/// Where the bytes of a file are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Remote(Resource),
    Local(PathBuf),
    /// Fetched already, because the origin does not tell the length.
    Whole(Arc<Whole>),
}

/// What a user can mount.
#[derive(Clone, Debug)]
pub enum SourceSpec {
    /// A URL: a directory if it ends in `/` or redirects to one, else one file.
    Http(Resource),
    /// A TOML or JSON list of names and URLs.
    Manifest(PathBuf),
    /// A directory of this machine.
    Local(PathBuf),
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum SourceError {
    #[error(transparent)]
    Origin(#[from] OriginError),
    #[error("no directory {0:?} in the source")]
    NoDirectory(String),
    #[error("{at}: {why}")]
    Local { at: String, why: String },
    #[error("{at}: not an index page that fsd can read ({why})")]
    Index { at: String, why: String },
    #[error("{at}: {why}")]
    Manifest { at: String, why: String },
    #[error("{at}: {why}")]
    NoManifest { at: String, why: String },
}

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// One path component: not empty, not `.` or `..`, without `/` and NUL.
    pub name: String,
    pub kind: ListedKind,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ListedKind {
    Dir,
    File {
        /// Exact, in bytes; None: the origin does not tell before all of it has come.
        size: Option<u64>,
        /// `None` with a known `modified_us`: the version is (modified, size), and the store takes over the
        /// origin's validator from its first answer. `None` without it: decision by the last close.
        validator: Validator,
        modified_us: Option<u64>,
        place: Place,
    },
}

/// The version of a local file.
pub(in crate::data) fn local_validator(meta: &std::fs::Metadata) -> Validator {
    use std::os::unix::fs::MetadataExt;
    local_version(meta.len(), meta.mtime(), meta.mtime_nsec())
}

/// The same out of its size and the time of its last change.
pub(in crate::data) fn local_version(size: u64, seconds: i64, nanoseconds: i64) -> Validator {
    Validator::Dated { modified: format!("{seconds}.{nanoseconds:09}"), size: Some(size) }
}

/// An open source. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Source {
    tree: Tree,
    origin: Origin,
    hosts: Hosts,
    redacted: String,
}

#[derive(Clone, Debug)]
enum Tree {
    Web(Resource),
    /// One file.
    Single(Resource),
    Manifest(Manifest),
    /// Canonical.
    Local(PathBuf),
}

/// Has a scheme, whatever it is and however it is written: such a text may hold secrets, and a path is shown.
pub fn is_url(text: &str) -> bool {
    let Some((scheme, _)) = text.split_once("://") else { return false };
    let fit = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(fit)
}

impl SourceSpec {
    /// What `text` means: an `http(s)` URL, a local directory, or a local `.toml` or `.json` manifest.
    ///
    /// # Errors
    /// For a URL that is none of `http(s)`.
    pub fn parse(text: &str) -> Result<Self, SourceError> {
        if is_url(text.trim()) {
            return Ok(Self::Http(Resource::parse(text)?));
        }
        let path = PathBuf::from(text);
        let manifest = path.extension().is_some_and(|end| end == "toml" || end == "json");
        Ok(if manifest { Self::Manifest(path) } else { Self::Local(path) })
    }
}

impl Source {
    /// Looks at the source once, so that a wrong one is refused before mounting. Its pages may lead to its own host and
    /// to files of `hosts`.
    ///
    /// # Errors
    /// When it does not answer, is no directory, index or manifest, or cannot be read.
    pub async fn open(spec: &SourceSpec, origin: Origin, hosts: Hosts) -> Result<Self, SourceError> {
        let op = OpId::default();
        let (tree, redacted) = match spec {
            SourceSpec::Http(resource) => (web(&origin, &hosts, resource, op).await?, resource.to_string()),
            SourceSpec::Manifest(path) => (Tree::Manifest(Manifest::read(path).await?), path.display().to_string()),
            SourceSpec::Local(path) => (directory(path).await?, path.display().to_string()),
        };
        Ok(Self { tree, origin, hosts, redacted })
    }

    /// The same source without a look at it: an earlier worker has looked, and `led_to` is where it was led. What is
    /// mounted must not wait for an origin to be served again.
    ///
    /// # Errors
    /// When a local file or directory cannot be read.
    pub async fn resume(
        spec: &SourceSpec,
        origin: Origin,
        hosts: Hosts,
        led_to: Option<Sealed>,
    ) -> Result<Self, SourceError> {
        let SourceSpec::Http(resource) = spec else { return Self::open(spec, origin, hosts).await };
        let tree = match led_to {
            Some(root) => Tree::Web(Resource::unseal(root)?),
            None => Tree::Single(resource.clone()),
        };
        Ok(Self { tree, origin, hosts, redacted: resource.to_string() })
    }

    /// For [`Source::resume`]; None for one file.
    pub fn led_to(&self) -> Option<Sealed> {
        match &self.tree {
            Tree::Web(root) => Some(root.seal()),
            _ => None,
        }
    }

    /// For people and events: without secrets.
    pub fn redacted(&self) -> String {
        self.redacted.clone()
    }

    /// Lists `dir`: empty for the root, else components joined by `/`.
    ///
    /// # Errors
    /// When the origin does not answer in time, or `dir` is not there.
    pub async fn list(&self, dir: &str, op: OpId) -> Result<Vec<Listed>, SourceError> {
        locks::assert_none_held("listing of a source");
        match &self.tree {
            Tree::Web(root) => http::list(&self.origin, &self.hosts, root, dir, op).await,
            Tree::Single(file) if dir.is_empty() => Ok(vec![http::single(&self.origin, file, op).await?]),
            Tree::Single(_) => Err(SourceError::NoDirectory(dir.to_owned())),
            Tree::Manifest(manifest) => manifest.list(&self.origin, dir, op).await,
            Tree::Local(root) => {
                let (root, dir) = (root.clone(), dir.to_owned());
                blocking(move || local::list(&root, &dir)).await?
            }
        }
    }
}

/// A directory if the URL ends in `/` or is redirected to one, else a file.
async fn web(origin: &Origin, hosts: &Hosts, resource: &Resource, op: OpId) -> Result<Tree, SourceError> {
    let (root, dir) = if resource.is_dir() {
        (resource.clone(), true)
    } else {
        let end = origin.destination(resource, op).await?;
        if end.is_dir() { (end, true) } else { (resource.clone(), false) }
    };
    if !dir {
        return Ok(Tree::Single(root));
    }
    http::list(origin, hosts, &root, "", op).await?;
    Ok(Tree::Web(root))
}

async fn directory(path: &Path) -> Result<Tree, SourceError> {
    let path = path.to_owned();
    let look = move || {
        let real = path.canonicalize().and_then(|real| std::fs::read_dir(&real).map(|_| real));
        real.map_err(|error| SourceError::Local { at: path.display().to_string(), why: error.to_string() })
    };
    Ok(Tree::Local(blocking(look).await??))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, SourceError> {
    let lost = |error: tokio::task::JoinError| SourceError::Local { at: "disk".to_owned(), why: error.to_string() };
    spawn_blocking(work).await.map_err(lost)
}

#[cfg(test)]
#[cfg(feature = "failpoints")]
mod tests;
