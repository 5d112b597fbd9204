//! Sources on the web: a directory with index pages, or one file.

use std::sync::Arc;

use fsd_events::ids::OpId;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::{sync::Semaphore, task::JoinSet};

use crate::data::{
    hosts::Hosts,
    index::{self, Row},
    origin::{Meta, Origin, OriginError, Resource, Validator},
};

use super::{Listed, ListedKind, Place, SourceError, blocking};

/// Bytes of the largest index page: a million entries of nginx JSON.
const PAGE: usize = 256 << 20;
/// HEADs at once that complete a listing.
const HEADS: usize = 16;
/// What a segment of a path keeps as it is.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Lists the directory `dir` below `root`.
pub(super) async fn list(
    origin: &Origin,
    hosts: &Hosts,
    root: &Resource,
    dir: &str,
    op: OpId,
) -> Result<Vec<Listed>, SourceError> {
    let at = below(root, dir)?;
    let page = origin.text(&at, PAGE, op).await.map_err(|error| missing(error, dir))?;
    if !page.from.is_dir() {
        return Err(SourceError::Index { at: page.from.to_string(), why: "it is no directory".to_owned() });
    }
    // A page may have a million links, and others wait for this thread.
    let hosts = hosts.clone();
    let read = move || index::parse(&page, &hosts).map_err(|why| SourceError::Index { at: page.from.to_string(), why });
    let rows = blocking(read).await??;
    complete(origin, rows, op).await
}

/// `root` with the components of `dir`.
fn below(root: &Resource, dir: &str) -> Result<Resource, SourceError> {
    let mut at = root.clone();
    for name in dir.split('/').filter(|name| !name.is_empty()) {
        let name = index::component(name).ok_or_else(|| SourceError::NoDirectory(dir.to_owned()))?;
        at = at.join(&format!("./{}/", utf8_percent_encode(name, SEGMENT)))?;
    }
    Ok(at)
}

fn missing(error: OriginError, dir: &str) -> SourceError {
    match error {
        OriginError::Status { code: 404, .. } if !dir.is_empty() => SourceError::NoDirectory(dir.to_owned()),
        other => SourceError::Origin(other),
    }
}

/// Asks for the sizes that the page did not give to the byte.
async fn complete(origin: &Origin, rows: Vec<Row>, op: OpId) -> Result<Vec<Listed>, SourceError> {
    let open = |row: &&Row| !row.dir && row.size.is_none();
    let asked: Vec<Resource> = rows.iter().filter(open).map(|row| row.resource.clone()).collect();
    let mut answers = metas(origin, asked, op).await.into_iter();
    let (mut listed, mut odd) = (Vec::with_capacity(rows.len()), Vec::new());
    for row in rows {
        if !open(&&row) {
            listed.push(known(row));
            continue;
        }
        match answers.next() {
            Some(Ok(meta)) => listed.push(Listed { name: row.name, kind: file(meta, row.resource) }),
            // A name with nothing behind it for us.
            Some(Err(OriginError::Status { code: 401 | 403 | 404 | 410, .. })) | None => {}
            Some(Err(error)) if is_odd(&error) => odd.push(error),
            Some(Err(error)) => return Err(error.into()),
        }
    }
    match odd.pop() {
        Some(error) if listed.is_empty() => return Err(error.into()),
        Some(error) => tracing::warn!(more = odd.len(), "a file is not shown: {error}"),
        None => (),
    }
    Ok(listed)
}

/// The origin answers, and of this one file what cannot be shown: it is compressed on the way, say, or leads nowhere.
fn is_odd(error: &OriginError) -> bool {
    matches!(error, OriginError::Answer { .. } | OriginError::Redirect { .. } | OriginError::Beyond { .. })
}

fn known(row: Row) -> Listed {
    let kind = if row.dir {
        ListedKind::Dir
    } else {
        let place = Place::Remote(row.resource);
        ListedKind::File { size: row.size, validator: Validator::None, modified_us: row.modified_us, place }
    };
    Listed { name: row.name, kind }
}

fn file(meta: Meta, resource: Resource) -> ListedKind {
    let Meta { size, validator, modified_us, .. } = meta;
    ListedKind::File { size, validator, modified_us, place: Place::Remote(resource) }
}

/// Size and version of each, a few at once, in the order that was asked for.
#[expect(clippy::disallowed_methods, reason = "these end with the listing that asks, which stands in the table")]
pub(super) async fn metas(origin: &Origin, resources: Vec<Resource>, op: OpId) -> Vec<Result<Meta, OriginError>> {
    let turns = Arc::new(Semaphore::new(HEADS));
    let mut asked = JoinSet::new();
    for (n, resource) in resources.into_iter().enumerate() {
        let (origin, turns) = (origin.clone(), Arc::clone(&turns));
        asked.spawn(async move {
            let _turn = turns.acquire_owned().await;
            (n, meta(&origin, &resource, op).await)
        });
    }
    let mut answers = asked.join_all().await;
    answers.sort_unstable_by_key(|answer| answer.0);
    answers.into_iter().map(|answer| answer.1).collect()
}

/// HEAD, or the first byte where HEAD is not served.
pub(super) async fn meta(origin: &Origin, resource: &Resource, op: OpId) -> Result<Meta, OriginError> {
    match origin.head(resource, op).await {
        Err(OriginError::Status { code: 405 | 501, .. }) => {
            match origin.get(resource, Some(0..1), &Validator::None, op).await {
                // Of nothing there is no first byte.
                Err(OriginError::Beyond { size: Some(0), .. }) => Ok(Meta { size: Some(0), ..Meta::default() }),
                answer => answer.map(|body| body.meta().clone()),
            }
        }
        answer => answer,
    }
}

/// The one file of a source that is a file.
pub(super) async fn single(origin: &Origin, resource: &Resource, op: OpId) -> Result<Listed, SourceError> {
    let named = resource.file_name();
    let name = named.as_deref().and_then(index::component).map_or_else(|| resource.host(), str::to_owned);
    let meta = meta(origin, resource, op).await?;
    Ok(Listed { name, kind: file(meta, resource.clone()) })
}
