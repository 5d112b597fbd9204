//! Names: functions, files and lines for the addresses of a dump. Runs in a helper process or in `fsdiag`.

use std::{
    borrow::Cow,
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use addr2line::Loader;
use fsd_events::stacks::{Frame, Module, Place, StackDump, Symbols};
use object::Object;

/// What one address stands for: the function, and below it those inlined into it, outermost last.
type Names = Vec<(String, Option<(String, u32)>)>;

/// Finds names, each address once.
pub struct Symbolizer {
    /// Files and directories that are searched for each build id first.
    search: Vec<PathBuf>,
    /// Whether a file may be opened.
    may_open: Box<dyn Fn(&Path) -> bool + Send>,
    loaders: HashMap<u32, Option<Loader>>,
    known: HashMap<(u32, u64), Names>,
}

impl std::fmt::Debug for Symbolizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Symbolizer").field("search", &self.search).finish_non_exhaustive()
    }
}

/// Where distributions put debug files, by build id.
const DEBUG_DIR: &str = "/usr/lib/debug/.build-id";

impl Symbolizer {
    /// `search`: unstripped files, or directories with such files, from anywhere; they are matched by build id.
    pub fn new(search: Vec<PathBuf>) -> Self {
        Self::opening(search, |_| true)
    }

    /// Opens only what may be opened: whoever opens a file on a mount that hangs hangs too.
    pub fn opening(search: Vec<PathBuf>, may_open: impl Fn(&Path) -> bool + Send + 'static) -> Self {
        Self { search, may_open: Box::new(may_open), loaders: HashMap::new(), known: HashMap::new() }
    }

    /// Replaces addresses by names where it can and marks the dump as `symbols: full`. Returns how many addresses
    /// got a name, and how many did not.
    pub fn name(&mut self, dump: &mut StackDump<'_>) -> (usize, usize) {
        let (mut named, mut unknown) = (0, 0);
        for thread in &mut dump.threads {
            let frames = std::mem::take(&mut thread.frames);
            for frame in frames {
                let Frame::Call { address, place: Place::Module { module, offset }, .. } = &frame else {
                    thread.frames.push(frame);
                    continue;
                };
                let names = self.names(&dump.modules, *module, *offset);
                if names.is_empty() {
                    unknown += 1;
                    thread.frames.push(frame);
                    continue;
                }
                named += 1;
                expand(names, *address, (*module, *offset), &mut thread.frames);
            }
        }
        dump.header.symbols = Symbols::Full;
        (named, unknown)
    }

    fn names(&mut self, modules: &[Module<'_>], module: u32, offset: u64) -> &Names {
        let (search, may_open) = (&self.search, &*self.may_open);
        let loader = self.loaders.entry(module).or_insert_with(|| {
            let module = modules.iter().find(|m| m.number == module)?;
            load(module, search, may_open)
        });
        self.known
            .entry((module, offset))
            .or_insert_with(|| loader.as_ref().map_or_else(Names::new, |l| find(l, offset)))
    }
}

/// One frame for the function, and one marked `inline` for each call inlined into it.
fn expand(names: &Names, address: Option<u64>, (module, offset): (u32, u64), frames: &mut Vec<Frame<'_>>) {
    let last = names.len() - 1;
    for (i, (function, source)) in names.iter().enumerate() {
        let place = match source {
            Some((file, line)) => Place::Source { file: Cow::Owned(file.clone()), line: *line },
            None => Place::Module { module, offset },
        };
        let function = Some(Cow::Owned(function.clone()));
        frames.push(Frame::Call { address: address.filter(|_| i == last), function, place });
    }
}

/// The file with names for a module: one that was named, the module's own, or the distribution's.
fn load(module: &Module<'_>, search: &[PathBuf], may_open: impl Fn(&Path) -> bool) -> Option<Loader> {
    let path = Path::new(module.path.strip_suffix(" (deleted)").unwrap_or(&module.path));
    let name = path.file_name();
    let mut candidates: Vec<PathBuf> = Vec::new();
    // Without a build id nothing else can be matched.
    for place in search.iter().filter(|place| !module.build_id.is_empty() && may_open(place)) {
        match place.is_dir() {
            true => candidates.extend(name.map(|name| place.join(name))),
            false => candidates.push(place.clone()),
        }
    }
    if let Some((start, rest)) = module.build_id.split_at_checked(2) {
        candidates.push(Path::new(DEBUG_DIR).join(start).join(format!("{rest}.debug")));
    }
    candidates.push(path.to_path_buf());
    let fits = |file: &PathBuf| may_open(file) && same_build(file, &module.build_id);
    candidates.into_iter().filter(fits).find_map(|file| Loader::new(file).ok())
}

/// Whether the file was built as the module was; without a build id the module's own path must do.
fn same_build(file: &Path, build_id: &str) -> bool {
    let Ok(file) = fs::File::open(file) else { return false };
    let cache = object::ReadCache::new(file);
    let Ok(object) = object::File::parse(&cache) else { return false };
    let id = object.build_id().ok().flatten().unwrap_or_default();
    let id: String = id.iter().map(|b| format!("{b:02x}")).collect();
    id == build_id
}

fn find(loader: &Loader, offset: u64) -> Names {
    let mut names = Names::new();
    if let Ok(mut frames) = loader.find_frames(offset) {
        while let Ok(Some(frame)) = frames.next() {
            let Some(function) = frame.function.as_ref().and_then(|f| f.raw_name().ok()) else { continue };
            let source = frame.location.and_then(|l| Some((short_path(l.file?), l.line?)));
            names.push((demangle(&function), source));
        }
    }
    // The symbol table knows the full path of the outermost function, also without debug information.
    if let Some(symbol) = loader.find_symbol(offset) {
        match names.last_mut() {
            Some(outermost) => outermost.0 = demangle(symbol),
            None => names.push((demangle(symbol), location(loader, offset))),
        }
    }
    names
}

fn location(loader: &Loader, offset: u64) -> Option<(String, u32)> {
    let location = loader.find_location(offset).ok()??;
    Some((short_path(location.file?), location.line?))
}

fn demangle(name: &str) -> String {
    match rustc_demangle::try_demangle(name) {
        Ok(demangled) => format!("{demangled:#}"),
        // The C++ demangler takes a C function `t` for the type that `t` stands for.
        Err(_) if name.starts_with("_Z") => addr2line::demangle_auto(Cow::Borrowed(name), None).into_owned(),
        Err(_) => name.to_owned(),
    }
}

/// Crates without the registry's path, the standard library as `rust/library/...`.
fn short_path(path: &str) -> String {
    if let Some((_, rest)) = path.split_once("/registry/src/") {
        return rest.split_once('/').map_or(rest, |(_, tail)| tail).to_owned();
    }
    match path.split_once("/rustc/").and_then(|(_, rest)| rest.split_once('/')) {
        Some((_, tail)) => format!("rust/{tail}"),
        None => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_every_language_are_read() {
        assert_eq!(demangle("t"), "t");
        assert_eq!(demangle("_ZN4ceph4ReadEv"), "ceph::Read()");
        assert_eq!(demangle("_ZN3fsd6stacks4dump17h0123456789abcdefE"), "fsd::stacks::dump");
    }

    #[test]
    fn paths_lose_what_nobody_needs() {
        let mio = "/home/me/.cargo/registry/src/index-1949cf8c6b5b557f/mio-1.2.4/src/poll.rs";
        assert_eq!(short_path(mio), "mio-1.2.4/src/poll.rs");
        assert_eq!(short_path("/rustc/0a1b/library/std/src/thread.rs"), "rust/library/std/src/thread.rs");
        assert_eq!(short_path("fsd/src/main.rs"), "fsd/src/main.rs");
    }
}
