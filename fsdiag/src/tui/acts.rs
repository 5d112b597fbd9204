//! Acts: what can be done to the daemon from the screens, each the same as a command that is shown first.

use super::{keep, picture::Act};

/// In the order of the ladder: look, switch, hand over, abort.
pub fn of(mount: &str, is_fsd: bool) -> Vec<Act> {
    let stacks = keep::file(keep::STACKS).display().to_string();
    let mut acts = vec![act(
        "dump the stacks of the daemon now",
        &["dump", mount, "-o", &stacks],
        &["the dump is shown on the Stacks screen; a second one tells what has moved"],
    )];
    if is_fsd {
        acts.extend(staging(mount));
        acts.extend(flags(mount));
        acts.extend(restarts(mount));
        acts.push(isolate(mount));
    }
    let steps = ["for a mount that is lost: whoever waits gets an error, and can go on or be killed"];
    let abort = act("abort the connection, leave it mounted", &["rescue", mount, "--keep-mounted"], &steps);
    acts.push(Act { hurts: true, ..abort });
    acts.push(Act { hurts: true, ..act("abort the connection and unmount", &["rescue", mount], &steps) });
    acts
}

fn act(title: &str, command: &[&str], preview: &[&str]) -> Act {
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    Act { title: title.to_owned(), command: owned(command), preview: owned(preview), ..Act::default() }
}

fn staging(mount: &str) -> [Act; 2] {
    let staged = act("stage a URL", &["stage", mount, "-"], &["the URL is shown as a file below Staged"]);
    let unstaged = act("unstage a file", &["unstage", mount], &["it is evicted when its last reader has closed it"]);
    [
        // A URL may hold a secret: it goes through a pipe, not into the process list.
        Act { prompt: "URL to stage".to_owned(), secret: true, ..staged },
        Act { prompt: "id, as `fsd list` shows it".to_owned(), ..unstaged },
    ]
}

fn flags(mount: &str) -> [Act; 2] {
    let skip = ["flag", mount, "debug_skip_eviction"];
    let on = ["from now on Release closes and evicts nothing"];
    let off = ["stores that were kept are closed"];
    [
        act("switch debug_skip_eviction on, live", &[&skip[..], &["true"]].concat(), &on),
        act("switch debug_skip_eviction off, live", &[&skip[..], &["false"]].concat(), &off),
    ]
}

fn restarts(mount: &str) -> impl Iterator<Item = Act> {
    let settings = [
        ("restart with debug_skip_eviction", true, false),
        ("restart with debug_fskit_single_thread", false, true),
        ("restart with both flags", true, true),
        ("restart without debug flags", false, false),
    ];
    let mount = mount.to_owned();
    settings.into_iter().map(move |(title, skip, single)| {
        let (skip, single) = (format!("--debug-skip-eviction={skip}"), format!("--debug-fskit-single-thread={single}"));
        act(title, &["restart", &mount, &skip, &single], &["a new worker with these flags"])
    })
}

fn isolate(mount: &str) -> Act {
    let steps = [
        "a command that hangs runs under no flag, each flag and both, and the verdicts are compared",
        "the report is kept, and the flags are as before at the end",
    ];
    let report = keep::file(keep::ISOLATE).display().to_string();
    // It hurts nobody, but asks where nobody is there to answer.
    let command = ["isolate", mount, "-o", &report, "--yes", "--"];
    Act { prompt: "command that hangs, words without a shell".to_owned(), ..act("isolate a hang", &command, &steps) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_hurt_is_asked_twice_and_a_url_never_stands_in_a_command() {
        let acts = of("/m", true);
        let hurting: Vec<_> = acts.iter().filter(|act| act.hurts).map(|act| act.command[0].as_str()).collect();
        assert_eq!(hurting, ["rescue", "rescue"]);
        assert!(acts.iter().filter(|act| act.command[0] == "stage").all(|act| act.secret));
        assert!(acts.iter().all(|act| !act.preview.is_empty()));
    }

    #[test]
    fn of_a_daemon_that_is_not_ours_only_stacks_and_the_mount_can_be_taken() {
        let words: Vec<_> = of("/m", false).into_iter().map(|act| act.command[0].clone()).collect();
        assert_eq!(words, ["dump", "rescue", "rescue"]);
    }
}
