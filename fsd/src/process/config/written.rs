//! Written: what the user said, where, and what nobody said; not yet what it means.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use super::{
    keys::{self, KEYS, Key, Kind},
    value::{self, Value},
};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Flag,
    Variable(String),
    File { path: PathBuf, line: usize },
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("command line"),
            Self::Variable(name) => write!(f, "environment {name}"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// Every value that somebody set, strongest origin only, and every default.
#[derive(Debug, Default)]
pub struct Written {
    found: BTreeMap<&'static str, (Value, Origin)>,
    /// Files that were read, strongest first.
    pub files: Vec<PathBuf>,
    /// What the user should know: unknown keys and the like.
    pub warnings: Vec<String>,
}

impl Written {
    /// Takes `text` for `key`, unless a stronger origin has set it.
    ///
    /// # Errors
    /// A sentence with the origin, the text and what is allowed.
    pub fn offer(&mut self, key: &'static Key, text: &str, origin: Origin) -> Result<(), String> {
        let value =
            value::parse(key.kind, text).map_err(|allowed| format!("{}: {allowed}", place(&origin, key.name, text)))?;
        self.found.entry(key.name).or_insert((value, origin));
        Ok(())
    }

    /// Every `FSD_*` variable, then the seed's `FSMVP_*`.
    ///
    /// # Errors
    /// As [`Written::offer`].
    pub fn environment(&mut self, variables: &BTreeMap<String, String>) -> Result<(), String> {
        for key in KEYS {
            for name in key.variables() {
                // An empty variable is how a service file unsets one.
                if let Some(text) = variables.get(&name).filter(|text| !text.is_empty()) {
                    match self.offer(key, text, Origin::Variable(name.clone())) {
                        // It is meant for every program, and not for us alone.
                        Err(wrong) if name == "RUST_LOG" => self.warnings.push(format!("{wrong}; it is not used")),
                        offered => offered?,
                    }
                }
            }
        }
        for name in variables.keys() {
            let key = name.strip_prefix("FSD_").or_else(|| name.strip_prefix("FSMVP_")).map(str::to_lowercase);
            if let Some(key) = key.filter(|key| keys::find(key).is_none()) {
                self.warnings.push(unknown(&format!("environment {name}"), &key));
            }
        }
        Ok(())
    }

    /// One configuration file; a missing one says nothing.
    ///
    /// # Errors
    /// The file cannot be read or is not TOML, or as [`Written::offer`].
    pub fn file(&mut self, path: &Path) -> Result<(), String> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(format!("cannot read {}: {error}", path.display())),
        };
        self.files.push(path.to_owned());
        self.toml(path, &text)
    }

    fn toml(&mut self, path: &Path, text: &str) -> Result<(), String> {
        let line = |at: usize| text.as_bytes()[..at.min(text.len())].iter().filter(|b| **b == b'\n').count() + 1;
        let table = toml::de::DeTable::parse(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            format!("{}:{}: not TOML: {}", path.display(), line(at), error.message())
        })?;
        for (name, value) in table.get_ref() {
            let origin = Origin::File { path: path.to_owned(), line: line(name.span().start) };
            let Some(key) = keys::find(name.get_ref()) else {
                self.warnings.push(unknown(&origin.to_string(), name.get_ref()));
                continue;
            };
            match text_of(key.kind, value.get_ref()) {
                Some(text) => self.offer(key, &text, origin)?,
                None => {
                    let (allowed, found) = (value::allowed(key.kind), value.get_ref().type_str());
                    return Err(format!("{origin}: {} is of type {found}; allowed: {allowed}", key.name));
                }
            }
        }
        Ok(())
    }

    /// What somebody said, as text that reads back as the same.
    pub fn said(&self) -> impl Iterator<Item = (&'static str, String)> + '_ {
        self.found.iter().map(|(name, (value, _))| (*name, value.to_string()))
    }

    /// The value in force and where it came from; None where there is none and no default.
    pub fn get(&self, key: &'static Key) -> Option<(Value, Origin)> {
        self.found.get(key.name).cloned().or_else(|| {
            let value = value::parse(key.kind, key.default).ok()?;
            (!key.default.is_empty()).then_some((value, Origin::Default))
        })
    }
}

fn place(origin: &Origin, key: &str, text: &str) -> String {
    let text = shown(text);
    match origin {
        Origin::Flag => format!("--{} {text}", key.replace('_', "-")),
        Origin::Variable(name) => format!("environment {name}={text}"),
        Origin::File { .. } | Origin::Default => format!("{origin}: {key} = {text}"),
    }
}

fn unknown(place: &str, name: &str) -> String {
    let hint = keys::nearest(name).map_or(String::new(), |near| format!("; did you mean `{near}`?"));
    format!("{place}: unknown setting `{}`{hint}", shown(name))
}

/// A wrong text as it may be shown: a URL in the wrong place has its secrets.
fn shown(text: &str) -> &str {
    if text.contains(['@', '?']) || text.contains("://") { "(not shown: it looks like a URL)" } else { text }
}

/// A value as the user would write it on the command line.
fn text_of(kind: Kind, value: &toml::de::DeValue<'_>) -> Option<String> {
    use toml::de::DeValue;
    match value {
        DeValue::Array(all) if kind == Kind::Hosts => {
            let words: Option<Vec<_>> = all.iter().map(|one| plain(one.get_ref())).collect();
            words.map(|words| words.join(","))
        }
        DeValue::String(text) => Some(text.to_string()),
        // A number is not meant as the name of a directory.
        _ if matches!(kind, Kind::Path | Kind::Text) => None,
        one => plain(one),
    }
}

/// The same of a scalar.
fn plain(value: &toml::de::DeValue<'_>) -> Option<String> {
    use toml::de::DeValue;
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.to_string()),
        DeValue::Float(number) => Some(number.to_string()),
        DeValue::Boolean(value) => Some(value.to_string()),
        DeValue::Datetime(value) => Some(value.to_string()),
        DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Written, String> {
        let mut written = Written::default();
        written.toml(Path::new("config.toml"), text).map(|()| written)
    }

    fn get(written: &Written, name: &str) -> (String, String) {
        let (value, origin) = written.get(keys::find(name).unwrap()).unwrap();
        (value.to_string(), origin.to_string())
    }

    #[test]
    fn flag_beats_environment_beats_file_beats_default() {
        let mut written = Written::default();
        let threads = keys::find("threads").unwrap();
        let variables = [("FSD_THREADS", "7"), ("FSMVP_THREADS", "6"), ("FSMVP_CHUNK_SIZE", "2MiB")];
        let variables = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        written.offer(threads, "8", Origin::Flag).unwrap();
        written.environment(&variables).unwrap();
        written.toml(Path::new("c"), "threads = 5\nchunk_size = 65536\nallow_other = true").unwrap();
        assert_eq!(get(&written, "threads"), ("8".into(), "command line".into()));
        assert_eq!(get(&written, "chunk_size"), ("2MiB".into(), "environment FSMVP_CHUNK_SIZE".into()));
        assert_eq!(get(&written, "allow_other"), ("true".into(), "c:3".into()));
        assert_eq!(get(&written, "fetch_mode"), ("temp-file".into(), "default".into()));
    }

    #[test]
    fn a_variable_for_every_program_stops_nothing() {
        let set = |text: &str| {
            let mut written = Written::default();
            written.environment(&[("RUST_LOG".to_owned(), text.to_owned())].into()).unwrap();
            (get(&written, "log_level"), written.warnings.len())
        };
        assert_eq!(set("mycrate"), (("info".into(), "default".into()), 1));
        assert_eq!(set("debug"), (("debug".into(), "environment RUST_LOG".into()), 0));
    }

    #[test]
    fn a_wrong_value_names_file_line_and_what_is_allowed() {
        let error = read("threads = 4\n\nfetch_mode = \"both\"\n").unwrap_err();
        assert_eq!(error, "config.toml:3: fetch_mode = both: allowed: temp-file, range-lru");
        let error = read("threads = [1]").unwrap_err();
        assert!(error.starts_with("config.toml:1: threads is of type array; allowed: a whole number"), "{error}");
        let error = read("temp_dir = 7").unwrap_err();
        assert_eq!(error, "config.toml:1: temp_dir is of type integer; allowed: a path");
        let error = read("threads = 4\nthreads 5").unwrap_err();
        assert!(error.starts_with("config.toml:2: not TOML"), "{error}");
    }

    #[test]
    fn a_url_where_none_belongs_is_not_quoted() {
        let url = "https://u:CANARY@h/?token=CANARY";
        for text in [format!("allow_hosts = \"{url}\""), format!("threads = \"{url}\""), format!("threads {url}")] {
            let error = read(&text).unwrap_err();
            assert!(error.starts_with("config.toml:1: ") && !error.contains("CANARY"), "{error}");
        }
        let warnings = read(&format!("\"{url}\" = 1")).unwrap().warnings;
        assert!(warnings[0].starts_with("config.toml:1: ") && !warnings[0].contains("CANARY"), "{warnings:?}");
        let (key, mut written) = (keys::find("allow_hosts").unwrap(), Written::default());
        for origin in [Origin::Flag, Origin::Variable("FSD_ALLOW_HOSTS".into())] {
            let error = written.offer(key, url, origin).unwrap_err();
            assert!(error.contains("allow") && !error.contains("CANARY"), "{error}");
        }
    }

    #[test]
    fn an_unknown_key_warns_and_suggests() {
        let written = read("debug_skip_evicton = true\ncolour = 1").unwrap();
        assert_eq!(
            written.warnings,
            [
                "config.toml:2: unknown setting `colour`",
                "config.toml:1: unknown setting `debug_skip_evicton`; did you mean `debug_skip_eviction`?"
            ]
        );
    }
}
