//! Staging: the commands that show a URL as a file of a running mount.

use std::{io::Read, path::Path};

use fsd_events::control::{Answer, Request, Staged};

use crate::{
    observe::log::one_line,
    platform::process::set_title,
    process::{
        cli::{Query, Stage, Target, Unstage},
        commands::connect,
        exit::{Exit, Failure},
        terminal,
    },
};

/// Longest URL or header file that is read.
const INPUT_LIMIT: u64 = 256 << 10;

pub(in crate::process) fn stage(args: Stage) -> Result<Exit, Failure> {
    set_title("fsd\0stage");
    let (url, target) = places(args.url, args.target, args.url_file.is_some())?;
    let url = match (url.as_deref(), &args.url_file) {
        (Some("-"), _) => read("stdin", std::io::stdin())?,
        (Some(url), _) => url.to_owned(),
        (None, Some(file)) => open(file)?,
        (None, None) => return Err(Exit::Usage.because("no URL: give one, `-`, or --url-file FILE")),
    };
    let headers = match &args.header_file {
        Some(file) => headers(file, &open(file)?)?,
        None => Vec::new(),
    };
    let mut client = connect(&target)?;
    let mount = client.presence.mount.clone();
    let url = url.trim().to_owned();
    if let Answer::Staged { id, path } = client.ask(&Request::Stage { url, name: args.name, headers })? {
        terminal::say(one_line(&format!("{id} {mount}/{path}")));
    }
    Ok(Exit::Done)
}

/// What was typed as URL and MOUNT: where the URL comes from a file, the first place is the mount.
fn places(url: Option<String>, target: Target, from_file: bool) -> Result<(Option<String>, Target), Failure> {
    match (url, target.mount.is_some()) {
        (Some(url), false) if from_file && url != "-" && !url.contains("://") => {
            Ok((None, Target { mount: Some(url.into()), ..target }))
        }
        (Some(_), _) if from_file => Err(Exit::Usage.because("a URL and --url-file: give one of the two")),
        (url, _) => Ok((url, target)),
    }
}

pub(in crate::process) fn unstage(args: Unstage) -> Result<Exit, Failure> {
    connect(&args.target)?.ask(&Request::Unstage { id: args.id })?;
    Ok(Exit::Done)
}

pub(in crate::process) fn list(args: &Query) -> Result<Exit, Failure> {
    let answer = connect(&args.target)?.ask(&Request::List)?;
    let Answer::List { staged } = answer else { return Ok(Exit::Done) };
    if args.json {
        terminal::say(serde_json::json!({ "staged": staged }).to_string());
    } else if staged.is_empty() {
        terminal::say("nothing is staged");
    } else {
        staged.iter().for_each(|one| terminal::say(line(one)));
    }
    Ok(Exit::Done)
}

fn line(staged: &Staged) -> String {
    let size = staged.size.map_or_else(|| "?".to_owned(), |size| size.to_string());
    let state = if staged.staged { "" } else { " (unstaged, still open)" };
    let Staged { id, url, have, open, .. } = staged;
    let name = one_line(&staged.name);
    format!("{id}  {name}  {have} of {size} bytes  {open} open  {url}{state}")
}

fn open(file: &Path) -> Result<String, Failure> {
    let name = file.display().to_string();
    let opened = std::fs::File::open(file);
    read(&name, opened.map_err(|error| Exit::Usage.because(format!("cannot read {name}: {error}")))?)
}

fn read(name: &str, from: impl Read) -> Result<String, Failure> {
    let mut text = String::new();
    match from.take(INPUT_LIMIT).read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => Ok(text),
        Ok(_) => Err(Exit::Usage.because(format!("{name} is empty"))),
        Err(error) => Err(Exit::Usage.because(format!("cannot read {name}: {error}"))),
    }
}

/// `Name: value` lines; empty ones and `#` lines do not count. The message never quotes a value.
fn headers(file: &Path, text: &str) -> Result<Vec<(String, String)>, Failure> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    lines
        .map(|(at, line)| match line.split_once(':') {
            Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.trim().to_owned())),
            _ => Err(Exit::Usage.because(format!("{}:{}: write `Name: value`", file.display(), at + 1))),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_place_is_the_mount_when_the_url_comes_from_a_file() {
        let read = |url: &str, mount: Option<&str>, from_file| {
            let target = Target { mount: mount.map(Into::into), runtime_dir: None };
            let (url, target) = places(Some(url.to_owned()), target, from_file).ok()?;
            Some((url, target.mount.map(|mount| mount.display().to_string())))
        };
        assert_eq!(read("http://h/x", Some("/m"), false), Some((Some("http://h/x".into()), Some("/m".into()))));
        assert_eq!(read("/m", None, true), Some((None, Some("/m".into()))));
        for (url, mount) in [("http://h/x", None), ("http://h/x", Some("/m")), ("-", None)] {
            assert_eq!(read(url, mount, true), None, "{url}");
        }
    }

    #[test]
    fn headers_are_lines_and_a_wrong_one_is_named_without_its_value() {
        let read = |text| headers(Path::new("h"), text);
        let good = read("# token\n\nAuthorization: Bearer a:b\n").unwrap();
        assert_eq!(good, [("Authorization".to_owned(), "Bearer a:b".to_owned())]);
        assert_eq!(read("A: b\nCANARY\n").unwrap_err().text, "h:2: write `Name: value`");
    }
}
