//! A manifest: names and URLs in a TOML or JSON file.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
};

use fsd_events::ids::OpId;
use serde::Deserialize;

use crate::{
    data::{
        index,
        origin::{Meta, Origin, OriginError, Renew, Resource},
        text_file,
    },
    observe::locks::{Class, Mutex, Rank},
};

use super::{Listed, ListedKind, Place, SourceError, http};

/// Bytes of the largest manifest: a million entries.
const LONGEST: u64 = 256 << 20;

const NO_ENTRY: &str = "an entry has `name` and `url`, and perhaps `size` and `header_file`";

static MANIFEST: Class = Class::new("manifest", Rank::Session);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    file: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// As the mount shows it; `/` makes directories.
    name: String,
    url: String,
    size: Option<u64>,
    header_file: Option<PathBuf>,
}

/// A file of the manifest.
#[derive(Clone, Debug)]
struct File {
    resource: Resource,
    size: Option<u64>,
}

/// Files by their path.
type Files = BTreeMap<String, File>;

/// A manifest, read again whenever somebody looks.
#[derive(Clone, Debug)]
pub(super) struct Manifest {
    path: PathBuf,
    known: Arc<Mutex<Known>>,
}

#[derive(Debug)]
struct Known {
    /// As they were when the manifest could last be read.
    files: Arc<Files>,
    /// What the origin of each last said.
    metas: HashMap<String, (Resource, Meta)>,
}

impl Manifest {
    pub(super) async fn read(path: &Path) -> Result<Self, SourceError> {
        let known = Known { files: Arc::new(read(path).await?), metas: HashMap::new() };
        Ok(Self { path: path.to_owned(), known: Arc::new(Mutex::new(&MANIFEST, known)) })
    }

    /// Where the file `name` of `dir` was when the manifest was last read.
    pub(super) fn find(&self, dir: &str, name: &str) -> Option<Resource> {
        let files = Arc::clone(&self.known.lock().files);
        files.get(format!("{dir}/{name}").trim_start_matches('/')).map(|file| file.resource.clone())
    }

    /// What it says now; what it said before, if somebody is just writing it.
    async fn files(&self) -> Arc<Files> {
        match read(&self.path).await {
            Ok(files) => {
                let files = Arc::new(files);
                let mut known = self.known.lock();
                known.metas.retain(|path, (of, _)| files.get(path).is_some_and(|file| file.resource == *of));
                let before = std::mem::replace(&mut known.files, Arc::clone(&files));
                drop(known);
                drop(before);
                files
            }
            Err(error) => {
                tracing::warn!("the manifest cannot be read again, so it stays as it was: {error}");
                Arc::clone(&self.known.lock().files)
            }
        }
    }

    /// What the origin of the file says; while it does not answer, what it said before.
    fn meta(&self, path: String, file: &File, got: Result<Meta, OriginError>) -> Result<Meta, OriginError> {
        let mut known = self.known.lock();
        match got {
            Ok(meta) => {
                known.metas.insert(path, (file.resource.clone(), meta.clone()));
                Ok(meta)
            }
            Err(error) if error.passing() => known.metas.get(&path).map(|(_, meta)| meta.clone()).ok_or(error),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn list(&self, origin: &Origin, dir: &str, op: OpId) -> Result<Vec<Listed>, SourceError> {
        let prefix = if dir.is_empty() { String::new() } else { format!("{dir}/") };
        let (mut dirs, mut names): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
        let (all, mut files) = (self.files().await, Vec::new());
        for (path, file) in all.range(prefix.clone()..) {
            let Some(below) = path.strip_prefix(&prefix) else { break };
            match below.split_once('/') {
                Some((name, _)) => dirs.push(name),
                None => {
                    names.push(below);
                    files.push(file);
                }
            }
        }
        if dirs.is_empty() && names.is_empty() && !dir.is_empty() {
            return Err(SourceError::NoDirectory(dir.to_owned()));
        }
        dirs.dedup();
        let mut listed: Vec<Listed> =
            dirs.into_iter().map(|name| Listed { name: name.to_owned(), kind: ListedKind::Dir }).collect();
        let asked = files.iter().map(|file| file.resource.clone()).collect();
        let answers = http::metas(origin, asked, op).await;
        let mut missing = Vec::new();
        for ((name, file), meta) in names.into_iter().zip(files).zip(answers) {
            let meta = self.meta(format!("{prefix}{name}"), file, meta);
            match file.listed(meta) {
                Ok(kind) => listed.push(Listed { name: name.to_owned(), kind }),
                Err(error) => missing.push((name, error)),
            }
        }
        // Each file has an origin of its own, and the others are shown without it.
        match missing.pop() {
            Some((_, error)) if listed.is_empty() => return Err(error.into()),
            Some((name, error)) if missing.is_empty() => tracing::warn!("{prefix}{name} is not shown: {error}"),
            Some((name, error)) => {
                tracing::warn!("{prefix}{name} and {} more are not shown: {error}", missing.len());
            }
            None => (),
        }
        Ok(listed)
    }
}

impl File {
    /// A size in the manifest is enough to show the file while its origin does not answer.
    fn listed(&self, meta: Result<Meta, OriginError>) -> Result<ListedKind, OriginError> {
        let place = Place::Remote(self.resource.clone());
        let Meta { size, validator, modified_us, .. } = match meta {
            Err(error) if self.size.is_none() => return Err(error),
            meta => meta.unwrap_or_default(),
        };
        Ok(ListedKind::File { size: size.or(self.size), validator, modified_us, place })
    }
}

async fn read(path: &Path) -> Result<Files, SourceError> {
    let at = || path.display().to_string();
    let wrong = |why: String| SourceError::Manifest { at: at(), why };
    let text = text_file::read(path, LONGEST)
        .await
        .map_err(|error| SourceError::NoManifest { at: at(), why: error.to_string() })?;
    let (mut files, mut numbers) = (BTreeMap::new(), HashMap::new());
    // No name is quoted: it may be a URL in the wrong place.
    for (entry, number) in parse(path, &text).map_err(wrong)?.into_iter().zip(1..) {
        let name = entry.name.clone();
        let file = check(path, entry).map_err(|why| wrong(format!("entry {number}: {why}")))?;
        files.insert(name.clone(), file);
        if let Some(before) = numbers.insert(name, number) {
            return Err(wrong(format!("entries {before} and {number} have the same name")));
        }
    }
    if let Some(name) = files.keys().find(|name| has_below(&files, name)) {
        return Err(wrong(format!("the name of entry {} is also that of a directory", numbers[name])));
    }
    Ok(files)
}

fn has_below<T>(files: &BTreeMap<String, T>, name: &str) -> bool {
    let below = format!("{name}/");
    files.range(below.clone()..).next().is_some_and(|(next, _)| next.starts_with(&below))
}

/// What is wrong is told by its place and its kind: the words of serde quote what stands there, and that may be a URL.
fn parse(path: &Path, text: &str) -> Result<Vec<Entry>, String> {
    let json = path.extension().is_some_and(|end| end == "json");
    if json { json_entries(text) } else { toml_entries(text) }
}

fn json_entries(text: &str) -> Result<Vec<Entry>, String> {
    let list = text.trim_start().starts_with('[');
    let entries = if list { serde_json::from_str(text) } else { serde_json::from_str(text).map(|w: Written| w.file) };
    entries.map_err(|error| {
        let why = if error.is_data() { NO_ENTRY } else { "it is not JSON" };
        format!("line {}, column {}: {why}", error.line(), error.column())
    })
}

fn toml_entries(text: &str) -> Result<Vec<Entry>, String> {
    toml::from_str::<Written>(text).map(|written| written.file).map_err(|error| {
        let why = if toml::de::DeTable::parse(text).is_ok() { NO_ENTRY } else { "it is not TOML" };
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        format!("line {}, column {column}: {why}", before.matches('\n').count() + 1)
    })
}

fn check(path: &Path, entry: Entry) -> Result<File, String> {
    if entry.name.split('/').any(|name| index::component(name).is_none()) {
        return Err("its name is none for a file".to_owned());
    }
    let mut resource = Resource::parse(&entry.url).map_err(|error| error.to_string())?;
    if let Some(file) = entry.header_file {
        let dir = path.parent().unwrap_or(Path::new(""));
        resource = resource.with_header_file(dir.join(file));
    }
    let again = Again { path: path.to_owned(), name: entry.name, old: resource.clone() };
    Ok(File { resource: resource.with_renew(Arc::new(again)), size: entry.size })
}

/// A refused URL is looked up again: somebody may have written a fresh one.
struct Again {
    path: PathBuf,
    name: String,
    old: Resource,
}

impl Renew for Again {
    fn renew(&self, _op: OpId) -> Pin<Box<dyn Future<Output = Option<Resource>> + Send + '_>> {
        Box::pin(async {
            let text = text_file::read(&self.path, LONGEST).await.ok()?;
            let entry = parse(&self.path, &text).ok()?.into_iter().find(|entry| entry.name == self.name)?;
            check(&self.path, entry).ok().map(|file| file.resource).filter(|fresh| *fresh != self.old)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, text: &str) -> Result<Files, SourceError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(super::read(&path))
    }

    #[test]
    fn toml_and_json_say_the_same() {
        let toml = "[[file]]\nname = \"a/b\"\nurl = \"http://h/x\"\nsize = 3\nheader_file = \"secret\"\n";
        let list = r#"[{"name":"a/b","url":"http://h/x","size":3,"header_file":"secret"}]"#;
        for (name, text) in [("m.toml", toml), ("m.json", list), ("n.json", &format!("{{\"file\":{list}}}"))] {
            let manifest = read(name, text).unwrap();
            assert_eq!(manifest["a/b"].size, Some(3), "{name}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_secrets() {
        let file = |name: &str, url: &str| format!("[[file]]\nname = \"{name}\"\nurl = \"{url}\"\n");
        let url = "http://u:CANARY@h/?CANARY";
        let texts = [
            file("../x", url),
            file("", url),
            file("a//b", url),
            file("a", "ftp://CANARY/"),
            file("a", url) + &file("a", url),
            file("a", url) + &file("a/b", url),
            format!("[[file]]\nname = 3\nurl = \"{url}\"\n"),
            format!("[[file]]\nname = \"x\"\nurl = \"{url}\nsize"),
            format!("[[file]]\nname = \"x\"\nurl = \"{url}\"\nsice = 3\n"),
        ];
        for text in texts {
            let error = read("m.toml", &text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("CANARY"), "{error}");
        }
    }

    #[test]
    fn a_url_in_the_wrong_place_is_not_quoted_and_its_place_is_told() {
        let url = "http://u:CANARY@h/x?token=CANARY";
        let row = |name: &str, url: &str| format!("[[file]]\nname = \"{name}\"\nurl = \"{url}\"\n");
        let texts = [
            ("m.json", format!("[\n\"{url}\"]"), "line 2"),
            ("m.json", format!("{{\"{url}\": \"movie.mkv\"}}"), "line 1"),
            ("m.json", format!("{{\"file\": \"{url}\"}}"), "line 1"),
            ("m.json", format!("[{{\"name\": \"a\", \"{url}\": 1}}]"), "line 1"),
            ("m.toml", format!("# mine\nfile = [\"{url}\"]\n"), "line 2"),
            ("m.toml", format!("\n\"{url}\" = \"movie.mkv\"\n"), "line 2"),
            ("m.toml", format!("[[file]]\nname = \"a\"\nurl = \"http://h/\"\nsize = \"{url}\"\n"), "line 4"),
            ("m.toml", row("a", "http://h/") + &row(url, "movie.mkv"), "entry 2"),
            ("m.toml", row("a", "http://h/") + &row("b", "ftp://CANARY/"), "entry 2"),
            ("m.toml", row(&url.replace("//", ""), "http://h/").repeat(2), "entries 1 and 2"),
        ];
        for (name, text, place) in texts {
            let error = read(name, &text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("CANARY"), "{error}");
            assert!(error.to_string().contains(place), "{text}: {error}");
        }
    }
}
