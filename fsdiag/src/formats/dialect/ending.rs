//! Endings: what shells, init systems and the kernel say when a process dies, and causes in lines of unknown logs.

use std::sync::LazyLock;

use crate::{
    engine::{
        fact::{Fact, HintKind, Victim},
        words::Words,
    },
    formats::{Line, Mark, Parser, Taken, UNKNOWN, hint, scan},
};

pub(crate) fn parser() -> Box<dyn Parser> {
    Box::new(Ending)
}

struct Ending;

/// Before it stands a large or a small letter.
const OF_MEMORY: &str = "ut of memory: ";
const KILLED: &str = "Killed process ";
const TO_KILL: &str = "Kill process ";
const OOM_KILL: &str = "oom-kill:";
const SEGFAULT: &str = ": segfault at ";
const OF_UNIT: &str = ": A process of this unit has been killed by the OOM killer";
/// Before it stands a large or a small letter.
const MAIN_PROCESS: &str = "ain process exited, code=";
const WITH_STATUS: &str = "exited with status ";
const WITH_CODE: &str = "exited with code ";
const EXIT_CODE: &str = "exit code ";

/// What all but shells say of a death.
const SAID: [&str; 8] = [OF_MEMORY, OOM_KILL, SEGFAULT, OF_UNIT, MAIN_PROCESS, WITH_STATUS, WITH_CODE, EXIT_CODE];

/// No line tells of a death without one of these.
static DEATHS: LazyLock<Words> = LazyLock::new(|| Words::new(&[&SAID[..], &STATES[..]].concat()));

static MARKS: LazyLock<Vec<Mark>> = LazyLock::new(|| {
    // The kernel's word for it is a cause as well.
    SAID.iter().skip(1).chain(&STATES).chain(&*hint::ALL).map(|word| Mark::Has(word)).collect()
});

/// Why a shell's job ended.
const STATES: [&str; 5] = ["Killed", "Segmentation fault", "Aborted", "Bus error", "Illegal instruction"];

impl Parser for Ending {
    fn format(&self) -> &'static str {
        UNKNOWN
    }

    fn marks(&self) -> &'static [Mark] {
        &MARKS
    }

    fn line(&mut self, line: &Line<'_>, out: &mut Vec<Fact>) -> Taken {
        let (mut said, mut state) = (false, false);
        DEATHS.each(line.text.as_bytes(), |word| {
            *(if word < SAID.len() { &mut said } else { &mut state }) = true;
            said
        });
        let text = scan::trimmed(line.text);
        if (said || state)
            && let Some(victim) = of_memory(text)
        {
            line.hint(HintKind::KilledForMemory, None, out);
            return line.death(victim, out);
        }
        if said && scan::after(text, OF_MEMORY).is_some_and(|rest| rest.starts_with(TO_KILL)) {
            return line.hint(HintKind::KilledForMemory, None, out);
        }
        let victim = if said { victim(text) } else { Some(text).filter(|_| state).and_then(by_shell) };
        if let Some(victim) = victim {
            return line.death(victim, out);
        }
        match hint::of(line.text) {
            Some(kind) => line.hint(kind, None, out),
            None => Taken::No,
        }
    }
}

/// `Out of memory: Killed process 812 (sshfs) total-vm:...`, `oom-kill:...,task=sshfs,pid=812,uid=0`.
fn of_memory(text: &str) -> Option<Victim> {
    let pid = |(pid, rest)| (u32::try_from(pid).ok(), rest);
    // Older kernels say before, on a line of its own, whom they are about to kill, or a child of it.
    let killed = scan::after(text, OF_MEMORY).unwrap_or(text).strip_prefix(KILLED);
    if let Some((pid, rest)) = killed.and_then(scan::num).map(pid)
        && let Some((name, _)) = rest.strip_prefix(" (").and_then(|rest| scan::split(rest, ")"))
    {
        return Some(Victim { by_kernel: true, pid, name: Some(name.into()), ..Victim::default() });
    }
    let rest = scan::after(text, OOM_KILL)?;
    let name = scan::after(rest, ",task=").and_then(|name| name.split(',').next()).map(Into::into);
    let pid = scan::after(rest, ",pid=").and_then(scan::num).and_then(|found| pid(found).0);
    Some(Victim { by_kernel: true, pid, name, ..Victim::default() })
}

/// Who died, where the line tells of a death.
fn victim(text: &str) -> Option<Victim> {
    // The number is that of a thread.
    let by_kernel = || scan::split(text, SEGFAULT).map(|(name, _)| Victim { by_kernel: true, ..called(name) });
    by_kernel().or_else(|| by_init(text)).or_else(|| by_status(text)).or_else(|| by_shell(text))
}

fn called(name: &str) -> Victim {
    /// What stands for any name.
    const ANY: [&str; 8] = ["the", "main", "process", "daemon", "mount", "container", "exited", "with"];
    let name = name.trim();
    let says = name.split_ascii_whitespace().any(|word| !ANY.contains(&word.to_ascii_lowercase().as_str()));
    Victim { name: says.then(|| name.into()), ..Victim::default() }
}

/// `rclone.service: Main process exited, code=killed, status=9/KILL`.
fn by_init(text: &str) -> Option<Victim> {
    if let Some((unit, _)) = scan::split(text, OF_UNIT) {
        return Some(called(unit));
    }
    let (unit, how) = scan::split(text, MAIN_PROCESS)?;
    let status = scan::num_after(how, "status=")?;
    let died = match how.split(',').next()? {
        "killed" => !is_order(status),
        "dumped" => true,
        _ => is_failure(status),
    };
    let unit = unit.trim_end_matches(['M', 'm']).trim_end_matches([':', ' ']);
    died.then(|| called(unit))
}

/// HUP, INT and TERM: who is told to end, and ends, does not die.
fn is_order(signal: u64) -> bool {
    matches!(signal, 1 | 2 | 15)
}

fn is_failure(status: u64) -> bool {
    status > 0 && !status.checked_sub(128).is_some_and(is_order)
}

/// `rclone exited with status 137`, docker's `rclone-1 exited with code 2`.
fn by_status(text: &str) -> Option<Victim> {
    let with_code = scan::split(text, WITH_CODE);
    let (name, rest) = with_code.or_else(|| scan::split(text, WITH_STATUS)).or_else(|| scan::split(text, EXIT_CODE))?;
    let (status, _) = scan::num(rest)?;
    // Nothing else is told of a container; other programs fail at what they were to do.
    let container = with_code.is_some() && !name.trim().is_empty() && !name.trim().contains(' ');
    let died = is_failure(status) && (container || (129..=159).contains(&status));
    died.then(|| called(name))
}

/// `bash: line 1: 30305 Killed  'rclone' ...`, `Segmentation fault (core dumped)`.
fn by_shell(text: &str) -> Option<Victim> {
    if let Some(rest) = after_state(text) {
        return (rest.is_empty() || rest.starts_with(" (core dumped)")).then(Victim::default);
    }
    let (pid, state) = job(text)?;
    let command = after_state(state)?.trim_start();
    let name = program(command.strip_prefix("(core dumped)").unwrap_or(command));
    Some(Victim { pid, name, ..Victim::default() })
}

fn after_state(text: &str) -> Option<&str> {
    STATES.iter().find_map(|state| text.strip_prefix(state))
}

/// The process in a shell's report of a job, and what follows its number.
fn job(text: &str) -> Option<(Option<u32>, &str)> {
    let rest = scan::after(text, ": line ").and_then(|rest| scan::split(rest, ": ")).map_or(text, |(_, rest)| rest);
    let (pid, state) = scan::num(rest.trim_start())?;
    Some((u32::try_from(pid).ok(), state.strip_prefix(' ')?.trim_start()))
}

/// What a command runs, without its folder.
fn program(command: &str) -> Option<Box<str>> {
    const RUNNERS: [&str; 5] = ["sudo", "nohup", "exec", "env", "setsid"];
    let mut words = command.split_ascii_whitespace().map(|word| word.trim_matches(['\'', '"', '(']));
    let word = words.find(|word| !word.starts_with('-') && !word.contains('=') && !RUNNERS.contains(word))?;
    word.rsplit('/').next().filter(|name| !name.is_empty()).map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Number and name of the victim, where the line tells of a death.
    fn told(text: &str) -> Option<(Option<u32>, String)> {
        let victim = of_memory(text).or_else(|| victim(text))?;
        Some((victim.pid, victim.name.map(String::from).unwrap_or_default()))
    }

    #[test]
    fn whoever_died_is_told_by_number_and_name() {
        for (line, pid, name) in [
            ("bash: line 1: 30305 Killed                  'rclone' 'mount' ':http:'", Some(30305), "rclone"),
            ("./play.sh: line 12:  4242 Killed                  cat /mnt/gd/b.mkv > /dev/null", Some(4242), "cat"),
            ("812 Segmentation fault      (core dumped) sudo -E A=b /usr/bin/sshfs h: /m", Some(812), "sshfs"),
            ("Killed", None, ""),
            ("Segmentation fault (core dumped)", None, ""),
            ("Out of memory: Killed process 812 (sshfs) total-vm:8kB", Some(812), "sshfs"),
            ("Memory cgroup out of memory: Killed process 7 (rclone) total-vm:8kB", Some(7), "rclone"),
            ("Killed process 7 (rclone) total-vm:8kB, anon-rss:4kB", Some(7), "rclone"),
            ("oom-kill:constraint=CONSTRAINT_NONE,task_memcg=/x,task=rclone,pid=811,uid=0", Some(811), "rclone"),
            ("rclone[811]: segfault at 0 ip 0000 sp 0000 error 4 in rclone[400000+1000]", None, "rclone[811]"),
            ("rclone exited with status 137", None, "rclone"),
            ("the process exited with exit code 139", None, ""),
            ("rclone-1 exited with code 2", None, "rclone-1"),
            ("rclone.service: Main process exited, code=exited, status=2/INVALIDARGUMENT", None, "rclone.service"),
            ("rclone.service: main process exited, code=killed, status=9/KILL", None, "rclone.service"),
            ("rclone.service: Main process exited, code=dumped, status=11/SEGV", None, "rclone.service"),
            ("rclone.service: A process of this unit has been killed by the OOM killer.", None, "rclone.service"),
        ] {
            assert_eq!(told(line), Some((pid, name.to_owned())), "{line}");
        }
    }

    #[test]
    fn who_was_told_to_end_or_failed_at_something_else_is_not_dead() {
        for line in [
            "rclone.service: Main process exited, code=killed, status=15/TERM",
            "rclone.service: Main process exited, code=exited, status=0/SUCCESS",
            "rclone.service: Main process exited, code=exited, status=143/n/a",
            "rclone.service: Control process exited, code=killed, status=9/KILL",
            "rclone-1 exited with code 0",
            "rclone-1 exited with code 143",
            "rsync of 3 files exited with code 23",
            "make: exit code 2",
            "Killed process list",
            "Out of memory: Kill process 7 (rclone) score 900 or sacrifice child",
        ] {
            assert_eq!(told(line), None, "{line}");
        }
    }
}
