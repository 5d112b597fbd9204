//! `fsdiag tui`: the interactive screens on a running mount, a log, or a recording.

use std::{
    collections::BTreeMap,
    env,
    io::{self, IsTerminal as _},
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::mpsc,
    thread,
    time::Duration,
};

use crate::{
    commands::analyze::{complain, print, select},
    engine::model::Limits,
    sources::{kernel::mountinfo, rings},
    tui::{
        self, Options,
        feed::{self, Subject},
        keys::Keymap,
        state::{Msg, State},
        turn::Turn,
        view::theme::Theme,
    },
};

/// Look at a mount or a log in a terminal: the verdict first, then everything it rests on.
///
/// Without a name the only FUSE mount is shown, or a list to choose from. Keys can be changed in
/// ~/.config/fsdiag/keys.toml.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Args {
    /// A mount point of any FUSE daemon, or files: event files, logs, stack dumps.
    #[arg(value_name = "MOUNT|FILE")]
    pub targets: Vec<PathBuf>,
    /// Play files from their start, as it happened.
    #[arg(long)]
    pub replay: bool,
    /// With --plain: the screens as they were at that moment of the recording.
    #[arg(long, value_name = "TIME", value_parser = select::moment, requires = "plain")]
    pub at: Option<u64>,
    /// Offer nothing that changes the daemon.
    #[arg(long)]
    pub read_only: bool,
    /// Leave the mouse to the terminal.
    #[arg(long)]
    pub no_mouse: bool,
    /// Print every screen once as text, and end.
    #[arg(long)]
    pub plain: bool,
    /// Keys by action, in TOML: `down = ["j", "ctrl-n"]`.
    #[arg(long, value_name = "FILE")]
    pub keys: Option<PathBuf>,
    /// Age from which an open operation counts as stalled.
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0)]
    pub stalled_after: f64,
}

impl Args {
    /// What `fsdiag` without a word means.
    pub fn found() -> Self {
        Self { stalled_after: 10.0, ..Self::default() }
    }
}

/// Columns of the plain text.
const PLAIN_WIDTH: usize = 120;
/// A look that is under way, of half a second or on a busy machine more, ends within that time, and with it the feed.
const LAST_LOOK: Duration = Duration::from_secs(5);
/// Exit code: wrong usage.
const USAGE: u8 = 2;

/// Shows the screens until the user leaves; the verdict stays on the terminal.
///
/// # Errors
/// When the terminal cannot be taken.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let limits = Limits { stalled_us: (args.stalled_after.clamp(0.1, 1e9) * 1e6) as i64, ..Limits::default() };
    let subject = match subject(args) {
        Ok(subject) => subject,
        Err(problem) => {
            complain(&[problem])?;
            return Ok(ExitCode::from(USAGE));
        }
    };
    if args.plain || !io::stdout().is_terminal() {
        print(&plain(subject, limits, args))?;
        return Ok(ExitCode::SUCCESS);
    }
    let (keys, wrong) = match keymap(args.keys.as_deref()) {
        Ok(keys) => keys,
        Err(problem) => {
            complain(&[problem])?;
            return Ok(ExitCode::from(USAGE));
        }
    };
    let theme = Theme::from_env(|name| env::var(name).ok());
    let options = Options { read_only: args.read_only, mouse: !args.no_mouse, keys, theme, said: wrong };
    let (feeds, fed) = mpsc::channel::<()>();
    let left = tui::run(options, |turns| {
        let (wishes, wanted) = mpsc::channel();
        let work = move || {
            let _feeds = feeds;
            let fed = panic::catch_unwind(AssertUnwindSafe(|| feed::run(subject, limits, &turns, &wanted)));
            // The hook has given the terminal back and said why: the loop must end too.
            if fed.is_err() {
                let _ = turns.send(Turn::Signal);
            }
        };
        // Without it the screens stay empty and say so.
        drop(thread::Builder::new().name("tui-feed".to_owned()).spawn(work));
        wishes
    });
    // What watches the kernel removes its trace instance; nobody ever answers here.
    let _ = fed.recv_timeout(LAST_LOOK);
    print(&format!("{}\n", tui::farewell(&left?)))?;
    Ok(ExitCode::SUCCESS)
}

fn subject(args: &Args) -> Result<Subject, String> {
    match args.targets.as_slice() {
        [] if args.replay => Err("name what to replay: an event file, a log, or a mount of fsd".to_owned()),
        [] => Ok(Subject::Found),
        [one] if is_mount(one) => match rings::of_mount(&absolute(one)) {
            Some(own) if args.replay || args.at.is_some() => Ok(Subject::Replay(vec![own.events])),
            None if args.replay => Err(format!("{} keeps no record that could be replayed", one.display())),
            _ => Ok(Subject::Mount(absolute(one))),
        },
        files => match files.iter().find(|file| is_mount(file)) {
            Some(mount) => Err(format!("{} is a mount: name it alone", mount.display())),
            None if args.replay || args.at.is_some() => Ok(Subject::Replay(files.to_vec())),
            None => Ok(Subject::Files(files.to_vec())),
        },
    }
}

fn absolute(path: &Path) -> PathBuf {
    mountinfo::lexical(&env::current_dir().unwrap_or_default(), path)
}

/// From the mount table and what daemons left, because the path itself may never answer.
fn is_mount(path: &Path) -> bool {
    let path = absolute(path);
    let mounts = mountinfo::read().unwrap_or_default();
    mountinfo::at(&mounts, &path).is_some_and(|mount| mount.is_fuse()) || rings::of_mount(&path).is_some()
}

fn plain(subject: Subject, limits: Limits, args: &Args) -> String {
    let mut state = State::new(args.read_only);
    state.update(Msg::Data(Box::new(feed::once(subject, limits, args.at))));
    tui::plain::text(&state, PLAIN_WIDTH)
}

/// The keys in force, and what is wrong with what the user wrote.
fn keymap(named: Option<&Path>) -> Result<(Keymap, Vec<String>), String> {
    let config = env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute());
    let config = config.or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".config")));
    let usual = config.map(|dir| dir.join("fsdiag/keys.toml")).filter(|file| file.exists());
    let Some(file) = named.map(Path::to_owned).or(usual) else { return Ok((Keymap::default(), Vec::new())) };
    let text = std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let line = |error: &toml::de::Error| text[..error.span().map_or(0, |span| span.start)].matches('\n').count() + 1;
    let cannot = |error: toml::de::Error| format!("{} line {}: {}", file.display(), line(&error), error.message());
    let wanted: BTreeMap<String, Vec<String>> = toml::from_str(&text).map_err(cannot)?;
    let (keys, wrong) = Keymap::remapped(&wanted);
    Ok((keys, wrong.into_iter().map(|what| format!("{}: {what}", file.display())).collect()))
}
