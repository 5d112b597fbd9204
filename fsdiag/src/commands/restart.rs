//! `fsdiag restart`: a new worker for a running fsd, with other debug flags; no client sees an error.

use std::{
    path::PathBuf,
    process::{Command, ExitCode},
};

use anyhow::Context as _;

use super::analyze::print;

/// Replace the worker of a running fsd: it is dumped, the next one takes its mount over, waiting clients get their
/// bytes. Needs an fsd with a supervisor.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Mount point of fsd.
    pub mount: PathBuf,
    /// Release closes and evicts nothing: if the hang stops, the close path is guilty.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub debug_skip_eviction: Option<bool>,
    /// One request at a time: if the hang disappears, it is a concurrency issue.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub debug_fskit_single_thread: Option<bool>,
    /// The fsd that the new worker runs.
    #[arg(long, value_name = "PATH")]
    pub binary: Option<PathBuf>,
    /// Show what would be done, do nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Accepted for scripts; a restart that hurts nobody is not asked about.
    #[arg(long, short)]
    pub yes: bool,
}

/// Exit codes are those of `fsd restart`: 0 done, 1 refused, 3 no such fsd runs.
///
/// # Errors
/// When `fsd` does not lie beside this program.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let words = words(args);
    if args.dry_run {
        print(&format!(
            "fsd {}\n  - the worker is dumped and replaced\n  - waiting clients are served by the next\n",
            words.join(" ")
        ))?;
        return Ok(ExitCode::SUCCESS);
    }
    let fsd = std::env::current_exe()?.with_file_name("fsd");
    let status = Command::new(&fsd).args(&words).status();
    let status = status.with_context(|| format!("cannot run {}: install both programs together", fsd.display()))?;
    Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}

fn words(args: &Args) -> Vec<String> {
    let mut words = vec!["restart".to_owned(), args.mount.display().to_string()];
    for (name, value) in [
        ("--debug-skip-eviction", args.debug_skip_eviction),
        ("--debug-fskit-single-thread", args.debug_fskit_single_thread),
    ] {
        words.extend(value.map(|value| format!("{name}={value}")));
    }
    words.extend(args.binary.iter().map(|path| format!("--binary={}", path.display())));
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_said_is_passed_on() {
        let args = Args {
            mount: "/m".into(),
            debug_skip_eviction: Some(false),
            debug_fskit_single_thread: None,
            binary: None,
            dry_run: false,
            yes: true,
        };
        assert_eq!(words(&args), ["restart", "/m", "--debug-skip-eviction=false"]);
    }
}
