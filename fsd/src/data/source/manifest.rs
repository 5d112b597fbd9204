//! A manifest: names and URLs in a TOML or JSON file.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
};

use fsd_events::ids::OpId;
use serde::Deserialize;

use crate::data::{
    index,
    origin::{Meta, Origin, OriginError, Renew, Resource},
};

use super::{Listed, ListedKind, Place, SourceError, http};

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

/// The files of a manifest by their path.
#[derive(Clone, Debug)]
pub(super) struct Manifest {
    files: Arc<BTreeMap<String, File>>,
}

impl Manifest {
    pub(super) async fn read(path: &Path) -> Result<Self, SourceError> {
        let wrong = |why: String| SourceError::Manifest { at: path.display().to_string(), why };
        let text = tokio::fs::read_to_string(path).await.map_err(|error| wrong(error.to_string()))?;
        let entries = parse(path, &text).map_err(wrong)?;
        let mut files = BTreeMap::new();
        for entry in entries {
            let name = entry.name.clone();
            let file = check(path, entry).map_err(|why| wrong(format!("{name:?}: {why}")))?;
            if files.insert(name.clone(), file).is_some() {
                return Err(wrong(format!("{name:?} stands there twice")));
            }
        }
        if let Some(name) = files.keys().find(|name| has_below(&files, name)) {
            return Err(wrong(format!("{name:?} is a file and a directory")));
        }
        Ok(Self { files: Arc::new(files) })
    }

    pub(super) async fn list(&self, origin: &Origin, dir: &str, op: OpId) -> Result<Vec<Listed>, SourceError> {
        let prefix = if dir.is_empty() { String::new() } else { format!("{dir}/") };
        let (mut dirs, mut names): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
        let mut files = Vec::new();
        for (path, file) in self.files.range(prefix.clone()..) {
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
        for ((name, file), meta) in names.into_iter().zip(files).zip(answers) {
            listed.push(Listed { name: name.to_owned(), kind: file.listed(meta)? });
        }
        Ok(listed)
    }
}

impl File {
    /// A size in the manifest is enough to show the file while its origin does not answer.
    fn listed(&self, meta: Result<Meta, OriginError>) -> Result<ListedKind, SourceError> {
        let place = Place::Remote(self.resource.clone());
        let Meta { size, validator, modified_us, .. } = match meta {
            Err(error) if self.size.is_none() => return Err(error.into()),
            meta => meta.unwrap_or_default(),
        };
        Ok(ListedKind::File { size: size.or(self.size), validator, modified_us, place })
    }
}

fn has_below<T>(files: &BTreeMap<String, T>, name: &str) -> bool {
    let below = format!("{name}/");
    files.range(below.clone()..).next().is_some_and(|(next, _)| next.starts_with(&below))
}

fn parse(path: &Path, text: &str) -> Result<Vec<Entry>, String> {
    if path.extension().is_some_and(|end| end == "json") {
        let listed = serde_json::from_str::<Vec<Entry>>(text);
        return listed.or_else(|error| {
            let inner = serde_json::from_str::<Written>(text).map(|written| written.file);
            inner
                .map_err(|other| if text.trim_start().starts_with('[') { error.to_string() } else { other.to_string() })
        });
    }
    // Without the text of the line: it may hold a URL.
    toml::from_str::<Written>(text).map(|written| written.file).map_err(|error| error.message().to_owned())
}

fn check(path: &Path, entry: Entry) -> Result<File, String> {
    if entry.name.split('/').any(|name| index::component(name).is_none()) {
        return Err("not a name for a file".to_owned());
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
            let text = tokio::fs::read_to_string(&self.path).await.ok()?;
            let entry = parse(&self.path, &text).ok()?.into_iter().find(|entry| entry.name == self.name)?;
            check(&self.path, entry).ok().map(|file| file.resource).filter(|fresh| *fresh != self.old)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, text: &str) -> Result<Manifest, SourceError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(Manifest::read(&path))
    }

    #[test]
    fn toml_and_json_say_the_same() {
        let toml = "[[file]]\nname = \"a/b\"\nurl = \"http://h/x\"\nsize = 3\nheader_file = \"secret\"\n";
        let list = r#"[{"name":"a/b","url":"http://h/x","size":3,"header_file":"secret"}]"#;
        for (name, text) in [("m.toml", toml), ("m.json", list), ("n.json", &format!("{{\"file\":{list}}}"))] {
            let manifest = read(name, text).unwrap();
            assert_eq!(manifest.files["a/b"].size, Some(3), "{name}");
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
}
