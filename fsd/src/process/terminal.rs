//! Terminal: where a command's own words go; a closed or full one never fails the command.

use std::io::{IsTerminal as _, Write};

use crate::observe::log::one_line;

/// The result of a command, on stdout.
pub(super) fn say(text: impl AsRef<str>) {
    write_line(&mut std::io::stdout().lock(), text.as_ref());
}

/// As [`say`], by a process that has more to do: whoever fills its pipe and does not read must not hold it.
pub(super) fn announce(text: String) {
    let started = std::thread::Builder::new().name("fsd-greeting".to_owned()).spawn(move || say(text));
    if let Err(error) = started {
        tracing::warn!("nobody was told that it is mounted: {error}");
    }
}

/// Words on stdout and messages on stderr meet in one person's terminal: what both would tell is told once.
pub(super) fn shows_messages() -> bool {
    std::io::stdout().is_terminal() && std::io::stderr().is_terminal()
}

/// What went wrong or should be known, on stderr.
pub(super) fn complain(text: impl AsRef<str>) {
    write_line(&mut std::io::stderr().lock(), &format!("fsd: {}", text.as_ref()));
}

/// Lines stay lines; nothing else in them is an order to the terminal, whatever a URL or a log holds.
fn write_line(to: &mut dyn Write, text: &str) {
    let mut lines: String = text.split('\n').map(one_line).collect::<Vec<_>>().join("\n");
    lines.push('\n');
    // In one piece: others write to the same place. A reader that went away (`fsd list | head`) is no error of ours.
    drop(to.write_all(lines.as_bytes()).and_then(|()| to.flush()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stay_lines_and_give_the_terminal_no_orders() {
        let mut out = Vec::new();
        write_line(&mut out, "http://h/\u{1b}[2Jfilms is mounted\n  at /m\r");
        assert_eq!(String::from_utf8(out).unwrap(), "http://h/\\u{1b}[2Jfilms is mounted\n  at /m\\r\n");
    }
}
