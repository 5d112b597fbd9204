//! `fsdiag tui`: the interactive screens on a running mount, a log, or a recording.

use std::{
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::mpsc,
    thread,
};

use crate::{
    commands::analyze::{NO_INPUT, complain, print},
    engine::model::Limits,
    sources::rings,
    tui::{
        self, Options,
        feed::{Feed, Subject},
        keys::Keymap,
        state::{Msg, State},
        turn::Turn,
        view::theme::Theme,
    },
};

/// Look at a mount or a log in a terminal: the verdict first, then everything it rests on.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Args {
    /// A mount point of fsd or a file; without it the running fsd of this user.
    #[arg(value_name = "MOUNT|FILE")]
    pub target: Option<PathBuf>,
    /// Play the file from its start, as it happened.
    #[arg(long)]
    pub replay: bool,
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

/// Columns of the plain text.
const PLAIN_WIDTH: usize = 120;

/// Shows the screens until the user leaves; the verdict stays on the terminal.
///
/// # Errors
/// When the terminal cannot be taken.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let subject = match subject(args) {
        Ok(subject) => subject,
        Err(problem) => {
            complain(&[problem])?;
            return Ok(ExitCode::from(NO_INPUT));
        }
    };
    if args.plain || !io::stdout().is_terminal() {
        print(&plain(subject, args.read_only))?;
        return Ok(ExitCode::SUCCESS);
    }
    let (keys, wrong) = keymap(args.keys.as_deref())?;
    complain(&wrong)?;
    let theme = Theme::from_env(|name| std::env::var(name).ok());
    let options = Options { read_only: args.read_only, mouse: !args.no_mouse, keys, theme };
    let state = tui::run(options, |turns| {
        let (wishes, wanted) = mpsc::channel();
        let work = move || Feed::new(subject).run(&turns, &wanted);
        // Without it the screens stay empty and say so.
        drop(thread::Builder::new().name("tui-feed".to_owned()).spawn(work));
        wishes
    })?;
    print(&format!("{}\n", tui::farewell(&state)))?;
    Ok(ExitCode::SUCCESS)
}

fn subject(args: &Args) -> Result<Subject, String> {
    let limits = Limits { stalled_us: (args.stalled_after.clamp(0.1, 1e9) * 1e6) as i64 };
    let of = |mount: rings::Mount| Subject {
        title: mount.mount.clone(),
        file: mount.events.clone(),
        mount: Some(mount.mount),
        is_fsd: true,
        replay: args.replay,
        limits,
    };
    let Some(path) = &args.target else {
        let mut running: Vec<_> = rings::mounts().into_iter().filter(|m| m.alive).collect();
        return match running.len() {
            0 => Err("no fsd is running for this user; name a mount point or a file".to_owned()),
            1 => Ok(of(running.remove(0))),
            _ => {
                let names: Vec<_> = running.iter().map(|m| format!("  fsdiag tui {}", m.mount)).collect();
                Err(format!("several fsd are running, choose one:\n{}", names.join("\n")))
            }
        };
    };
    if let Some(mount) = rings::of_mount(path) {
        return Ok(of(mount));
    }
    let title = path.display().to_string();
    Ok(Subject { title, file: path.clone(), mount: None, is_fsd: false, replay: args.replay, limits })
}

fn plain(subject: Subject, read_only: bool) -> String {
    let (turns, pictures) = mpsc::channel();
    let (wishes, wanted) = mpsc::channel();
    drop(wishes);
    // A feed that nobody wishes anything of ends after its first picture.
    Feed::new(Subject { replay: false, ..subject }).run(&turns, &wanted);
    let mut state = State::new(read_only);
    if let Ok(Turn::Picture(picture)) = pictures.recv() {
        state.update(Msg::Data(picture));
    }
    tui::plain::text(&state, PLAIN_WIDTH)
}

fn keymap(file: Option<&Path>) -> anyhow::Result<(Keymap, Vec<String>)> {
    let Some(file) = file else { return Ok((Keymap::default(), Vec::new())) };
    let text = std::fs::read_to_string(file)?;
    Ok(Keymap::remapped(&toml::from_str(&text)?))
}
