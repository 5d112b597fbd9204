//! Headings: lines that say whose the lines below them are: what tail, head and more put between files, and the shells of
//! clusters between hosts.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::formats::{clock::Days, scan, writer::By};

/// Under which heading the lines stand now.
#[derive(Default)]
pub(super) struct Headings {
    now: Option<Arc<str>>,
    /// Times without a date go on under their own heading.
    days: HashMap<Arc<str>, Days>,
    /// The rule that was drawn by the line before, and what stood behind it.
    ruled: Option<u8>,
    name: Option<(u8, Box<str>)>,
}

/// `-- Boot 0123456789abcdef0123456789abcdef --` and `-- Reboot --` of journalctl: who wrote above it ended with the machine.
pub(super) fn is_boot(text: &str) -> bool {
    let id = text.strip_prefix("-- Boot ").and_then(|rest| rest.strip_suffix(" --"));
    text == "-- Reboot --" || id.is_some_and(|id| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// No name of a file or of a host is longer, bytes.
const LONGEST: usize = 256;
/// So many files and hosts are remembered.
const MOST: usize = 4096;

/// Whether a line may be a heading, or a part of one, by its first and its last bytes.
#[inline(always)]
pub(super) fn may_be(text: &str) -> bool {
    match text.as_bytes() {
        [b'=' | b'-' | b':', ..] | [.., b'>', b'>'] => true,
        [b'[', b'1'..=b'9', ..] => (PSSH..LONGEST).contains(&text.len()) && of_pssh(text).is_some(),
        _ => false,
    }
}

impl Headings {
    /// Whether lines of nobody that is known are somebody's all the same.
    #[inline(always)]
    pub(super) fn are_there(&self) -> bool {
        self.now.is_some()
    }

    /// Whether the next line may be a name between two rules.
    #[inline(always)]
    pub(super) fn are_ruled(&self) -> bool {
        self.ruled.is_some()
    }

    pub(super) fn now(&self) -> Option<Arc<str>> {
        self.now.clone()
    }

    /// Reads a line that may be a heading; `days` are those of the lines above it.
    pub(super) fn read(&mut self, text: &str, days: &mut Days) -> bool {
        let text = text.trim_end();
        let before = self.ruled.take();
        if let Some(rule) = rule(text) {
            let framed = self.name.take().filter(|(above, _)| *above == rule);
            // What draws one line only may be part of a dump.
            self.ruled = framed.is_none().then_some(rule);
            return framed.inspect(|(_, name)| self.begin(name, days)).is_some();
        }
        self.name = before.filter(|_| is_name(text)).map(|rule| (rule, text.into()));
        let named = between(text).or_else(|| of_ansible(text)).or_else(|| of_pssh(text));
        named.inspect(|name| self.begin(name, days)).is_some()
    }

    fn begin(&mut self, name: &str, days: &mut Days) {
        let name: Arc<str> = unrotated(name).into();
        if let Some(above) = self.now.replace(name.clone()).filter(|_| self.days.len() < MOST) {
            self.days.insert(above, std::mem::take(days));
        }
        *days = self.days.remove(&name).unwrap_or_default();
    }
}

/// Who wrote a line under a heading: a process of a host is one in whatever file it stands. `whole`: room for both names.
pub(super) fn under<'a>(heading: &'a str, by: Option<By<'a>>, whole: &'a mut String) -> By<'a> {
    match by {
        None => By { host: heading, ..By::default() },
        Some(by) if by.host.is_empty() => By { host: heading, ..by },
        Some(by) if by.pid.is_some() || by.host == heading => by,
        Some(by) => {
            whole.extend([heading, ":", by.host]);
            By { host: whole, ..by }
        }
    }
}

/// `==> fused.log <==`, `=== node1 ===`: what stands between. Those of a dump go on behind a blank.
fn between(text: &str) -> Option<&str> {
    if let Some(name) = text.strip_prefix("==> ") {
        return name.strip_suffix(" <==").filter(|name| !name.is_empty() && !name.starts_with("/proc/"));
    }
    let name = text.trim_matches('=');
    let width = (text.len() - name.len()) / 2;
    let name = name.strip_prefix(' ')?.strip_suffix(' ')?;
    let looks = name.bytes().any(|b| b.is_ascii_alphabetic()) && name.bytes().any(|b| b.is_ascii_digit() || b == b'/');
    (width >= 2 && text.len() == name.len() + 2 * width + 2 && looks && is_name(name)).then_some(name)
}

/// `node1 | CHANGED | rc=0 >>` of ansible.
fn of_ansible(text: &str) -> Option<&str> {
    let (host, rest) = text.strip_suffix(" >>")?.split_once(" | ")?;
    (rest.contains(" | rc=") && is_name(host)).then_some(host)
}

/// No heading of pssh is shorter.
const PSSH: usize = "[1] 09:26:51 [SUCCESS] a".len();

/// `[1] 09:26:51 [SUCCESS] node1` of pssh.
fn of_pssh(text: &str) -> Option<&str> {
    let (_, rest) = scan::num(text.strip_prefix('[')?)?;
    let rest = rest.strip_prefix("] ")?;
    let (time, rest) = (rest.get(..9)?, rest.get(9..)?);
    let name = rest.strip_prefix("[SUCCESS] ").or_else(|| rest.strip_prefix("[FAILURE] "))?;
    let is_time = time.bytes().all(|b| b.is_ascii_digit() || matches!(b, b':' | b' '));
    let name = name.split(' ').next()?;
    (is_time && is_name(name)).then_some(name)
}

/// What more (`::::::::::::::`) and dshbak (`----------------`) put above and below a name.
fn rule(text: &str) -> Option<u8> {
    const SHORTEST: usize = 12;
    let first = *text.as_bytes().first()?;
    (matches!(first, b':' | b'-') && text.len() >= SHORTEST && text.bytes().all(|b| b == first)).then_some(first)
}

fn is_name(text: &str) -> bool {
    let of_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'/' | b'@' | b':' | b'~');
    !text.is_empty() && text.len() <= LONGEST && text.bytes().all(of_name)
}

/// A log without what rotation adds: it is the same daemon's.
fn unrotated(name: &str) -> &str {
    let plain = ["", ".gz", ".zst"].iter().rev().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
    let digits = plain.trim_end_matches(|c: char| c.is_ascii_digit());
    match digits.strip_suffix('.') {
        Some(log) if digits.len() < plain.len() && plain.len() - digits.len() <= 3 && log.contains('.') => log,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headings(lines: &[&str]) -> Vec<Option<String>> {
        let (mut headings, mut days) = (Headings::default(), Days::default());
        let mut after = |line: &&str| {
            if may_be(line) || headings.are_ruled() {
                headings.read(line, &mut days);
            }
            headings.now().map(|name| name.to_string())
        };
        lines.iter().map(&mut after).collect()
    }

    fn last(lines: &[&str]) -> Option<String> {
        headings(lines).pop().flatten()
    }

    #[test]
    fn headings_of_files_and_hosts_are_read() {
        assert_eq!(last(&["==> a.log <=="]).as_deref(), Some("a.log"));
        assert_eq!(last(&["==> /var/log/fuse a.log.2.gz <=="]).as_deref(), Some("/var/log/fuse a.log"));
        assert_eq!(last(&["::::::::::::::", "logs/b.log", "::::::::::::::"]).as_deref(), Some("logs/b.log"));
        assert_eq!(last(&["----------------", "node17", "----------------"]).as_deref(), Some("node17"));
        assert_eq!(last(&["=== node1 ==="]).as_deref(), Some("node1"));
        assert_eq!(last(&["node1.lan | CHANGED | rc=0 >>"]).as_deref(), Some("node1.lan"));
        assert_eq!(last(&["[12] 09:26:51 [SUCCESS] node3", "[00012] LSTAT"]).as_deref(), Some("node3"));
    }

    #[test]
    fn what_only_looks_like_a_heading_is_none() {
        for lines in [
            &["==> /proc/21603/task/21604 comm=x state=S wchan=y"][..],
            &["==> /proc/21603/stack <=="],
            &["----------------", "a line of words", "----------------"],
            &["----------------", "node17", "unique: 2"],
            &["== stats =="],
            &["== 2026 =="],
            &["[1] 09:26:51 [WARNING] node3"],
            &["x >>"],
        ] {
            assert_eq!(last(lines), None, "{lines:?}");
        }
    }

    #[test]
    fn a_process_of_a_host_is_one_in_whatever_file_it_stands() {
        let of = |by: Option<By<'_>>| under("a.log", by, &mut String::new()).host.to_owned();
        assert_eq!(of(None), "a.log");
        assert_eq!(of(Some(By { name: "sshfs", pid: Some(8), ..By::default() })), "a.log");
        assert_eq!(of(Some(By { host: "nas", name: "sshfs", pid: Some(8) })), "nas");
        assert_eq!(of(Some(By { host: "nas", name: "sshfs", pid: None })), "a.log:nas");
    }
}
