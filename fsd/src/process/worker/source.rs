//! The source of a mount: opened before anything is mounted, or refused with what to do about it.

use tokio::runtime::Runtime;

use crate::{
    data::{
        origin::{Origin, OriginError},
        source::{Source, SourceError, SourceSpec},
    },
    process::{
        config::Config,
        exit::{Exit, Failure},
        link::Takeover,
    },
};

/// Opens what `text` names. A first worker looks at it; one that takes over does not wait for an origin, which may be
/// down just now.
///
/// # Errors
/// [`Exit::Source`] when it is refused for good, [`Exit::Unreachable`] when another time may do.
pub(super) fn open(
    runtime: &Runtime,
    text: &str,
    config: &Config,
    origin: &Origin,
    takeover: Option<&Takeover>,
) -> Result<Source, Failure> {
    let mut spec = SourceSpec::parse(text).map_err(|error| refused(&error))?;
    if let (SourceSpec::Http(resource), Some(file)) = (&mut spec, &config.header_file) {
        *resource = resource.clone().with_header_file(file.clone());
    }
    let (origin, hosts) = (origin.clone(), config.allow_hosts.clone());
    let opened = match takeover {
        Some(takeover) => runtime.block_on(Source::resume(&spec, origin, hosts, takeover.led_to.clone())),
        None => runtime.block_on(Source::open(&spec, origin, hosts)),
    };
    opened.map_err(|error| refused(&error))
}

fn refused(error: &SourceError) -> Failure {
    let (exit, hint) = match error {
        SourceError::Origin(origin) => blame(origin),
        SourceError::Index { .. } => {
            (Exit::Source, "give a directory with an index page, the URL of one file, or a manifest")
        }
        SourceError::Manifest { .. } => {
            (Exit::Source, "write name and url for each file; docs/CONFIG.md has an example")
        }
        SourceError::NoManifest { .. } => (Exit::Source, "a manifest is a .toml or .json file; check the path"),
        SourceError::Local { .. } | SourceError::NoDirectory(_) => {
            (Exit::Source, "check the path; a URL starts with http:// or https://")
        }
    };
    exit.because(format!("cannot mount the source: {error}; {hint}"))
}

/// Whose fault it is, and what to do about it.
pub(super) fn blame(error: &OriginError) -> (Exit, &'static str) {
    match error {
        OriginError::Headers(_) => (Exit::Usage, "write one `Name: value` a line"),
        OriginError::Url(_) => (Exit::Source, "a URL looks like https://host/files/"),
        OriginError::Status { code: 401 | 403, .. } => {
            (Exit::Source, "it wants other credentials: give them in a file with --header-file")
        }
        OriginError::Status { code: 404 | 410, .. } => {
            (Exit::Source, "check the URL; that of a directory ends with a slash")
        }
        other if other.passing() || matches!(other, OriginError::Timeout { .. }) => {
            (Exit::Unreachable, "check host and network, or try again later")
        }
        _ => (Exit::Source, "check the URL with curl -I"),
    }
}
