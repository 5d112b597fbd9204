//! Errand: an act that runs. It is the same as its command, in a process of its own.

use std::{
    io::{self, BufRead, BufReader, Read, Write as _},
    process::{Command, ExitStatus, Stdio},
    sync::mpsc::Sender,
    thread,
};

use super::{
    state::{Msg, Order},
    turn::Turn,
};

/// Asks `fsdiag` what it would do.
pub fn preview(args: Vec<String>, sender: Sender<Turn>) -> io::Result<()> {
    let mut command = command(&args, Some("--dry-run"))?;
    spawn("tui-preview", move || {
        let output = command.stdin(Stdio::null()).output();
        let lines: Vec<String> = match output {
            Ok(output) => lines(&output.stdout).into_iter().chain(lines(&output.stderr)).collect(),
            Err(error) => vec![format!("cannot run fsdiag {}: {error}", args.join(" "))],
        };
        let lines: Vec<String> = if lines.is_empty() { vec!["it says nothing about it".to_owned()] } else { lines };
        // A loop that has ended has no use for it.
        let _ = sender.send(Turn::Told(Msg::Previewed { args, lines }));
    })
}

/// Runs `fsdiag` itself, and says each of its lines as it comes.
///
/// A secret goes through its standard input, because a command line is for everybody to read. What was not asked about
/// twice is not told to go on without asking: if it hurts by now, it asks, gets no answer, and does nothing.
pub fn act(order: Order, sender: Sender<Turn>) -> io::Result<()> {
    let Order { act, args, input, sure } = order;
    let mut command = command(&args, sure.then_some("--yes"))?;
    spawn("tui-act", move || {
        let (text, ok) = match run(&mut command, input.as_deref(), act, &sender) {
            Ok((status, last)) if last.is_empty() => (format!("ended with {status}"), status.success()),
            Ok((status, last)) => (last, status.success()),
            Err(error) => (format!("cannot run fsdiag {}: {error}", args.join(" ")), false),
        };
        let _ = sender.send(Turn::Told(Msg::Acted { act, text, ok }));
    })
}

/// This program with these arguments and a switch, before a `--`, behind which all is the workload's.
fn command(args: &[String], switch: Option<&str>) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    let (first, rest) = args.split_at(1.min(args.len()));
    command.args(first).args(switch).args(rest);
    // What it says is shown here, without colours.
    command.env("NO_COLOR", "1").env_remove("CLICOLOR_FORCE");
    Ok(command)
}

/// Runs to the end; gives the last line that it said.
fn run(
    command: &mut Command,
    input: Option<&str>,
    act: u64,
    sender: &Sender<Turn>,
) -> io::Result<(ExitStatus, String)> {
    let stdin = if input.is_some() { Stdio::piped() } else { Stdio::null() };
    let mut child = command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    if let (Some(mut pipe), Some(text)) = (child.stdin.take(), input) {
        pipe.write_all(text.as_bytes())?;
    }
    let errors = child.stderr.take();
    let other = sender.clone();
    let reader = thread::Builder::new().name("tui-act-errors".to_owned()).spawn(move || say(errors, act, &other))?;
    let said = say(child.stdout.take(), act, sender);
    let complained = reader.join().unwrap_or_default();
    let status = child.wait()?;
    let last = if status.success() { [said, complained] } else { [complained, said] };
    Ok((status, last.into_iter().find(|line| !line.is_empty()).unwrap_or_default()))
}

fn say(stream: Option<impl Read>, act: u64, sender: &Sender<Turn>) -> String {
    let mut last = String::new();
    let Some(stream) = stream else { return last };
    for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).into_owned();
        if !line.trim().is_empty() {
            last.clone_from(&line);
        }
        let _ = sender.send(Turn::Told(Msg::Said { act, line }));
    }
    last
}

fn lines(bytes: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect()
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.into()).spawn(work).map(drop)
}
