//! Walk: what a person does at three in the morning, in a real terminal on a real mount: the seed's bug is found on the
//! screens, traced by `isolate`, and the daemon restarted under eight running uploads, which all complete.
//!
//! `FSD_WRITE_WALK=1 cargo test -p fsd --features failpoints --test mount walk` writes docs/TRIAGE-WALK.md from what
//! it sees, with five runs of `isolate` under each setting instead of one.

mod page;
mod terminal;

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
};

use self::{page::Page, terminal::Terminal};
use super::support::*;

const MIB: u64 = 1 << 20;
const UPLOADS: usize = 8;
const SIZE: u64 = 24 * MIB;
/// Bytes a second of each connection to the origin, so that uploads are still running when something happens.
const BANDWIDTH: u64 = 2 * MIB;
/// The seed's bug, in each worker that takes over.
const BUG: &str = "--failpoint=every:release::close_under_lock=return";
/// The origin may be silent for longer than a person looks at the screens.
const QUICK: [&str; 3] = ["--stalled-after=2s", "--watchdog-interval=500ms", "--inactivity-timeout=10m"];
/// Reads the last block before the stall of the origin, past the kernel's cache, so that the download stands still when
/// the file is closed; then reads another.
const REPRODUCE: &str = "\
dd if=\"$FSD_MOUNT/slow.bin\" iflag=direct bs=4096 skip=255 count=1 of=/dev/null 2>/dev/null
head -c 4096 \"$FSD_MOUNT/next.bin\" >/dev/null
";

#[test]
fn a_stall_is_found_proven_and_healed_under_eight_uploads() {
    if !have("tmux") || !have("curl") {
        return;
    }
    if !program().with_file_name("fsdiag").exists() {
        return skip("fsdiag", "only fsd was built", "cargo test --workspace");
    }
    let origin = Origin::start().unwrap();
    origin.file("slow.bin", 64 * MIB).always("slow.bin", Fault::StallAt(MIB)).bandwidth(BANDWIDTH);
    origin.file("next.bin", MIB);
    for at in 0..UPLOADS {
        origin.file(&format!("up{at}.bin"), SIZE);
    }
    let mounted = mount(Some(&origin.url("")), &[&QUICK[..], &[BUG]].concat());
    let script = mounted.dirs().root().join("reproduce.sh");
    fs::write(&script, REPRODUCE).unwrap();
    let mut walk = Walk {
        terminal: Terminal::start(mounted.home(), program().parent().unwrap(), mounted.dirs().root()),
        page: Page::new(mounted.dirs().root()),
        mount: mounted.dir().display().to_string(),
    };
    let mut clients = vec![walk.found(&mounted, &script)];
    walk.proven(&script);
    let mut uploads: Vec<Child> = (0..UPLOADS).map(|at| upload(&mounted, &origin, at)).collect();
    await_true("eight uploads that run", || origin.uploads().len() == UPLOADS || sent(&mounted) >= UPLOADS);
    clients.push(walk.restarted(&mounted, &script));
    for (at, child) in uploads.iter_mut().enumerate() {
        assert!(child.wait().unwrap().success(), "upload {at} failed");
    }
    let checked = checked(&origin);
    walk.healed(&checked);
    origin.heal().release();
    clients.iter_mut().for_each(|client| drop(client.wait()));
    walk.page.write();
    drop(walk);
    finish(mounted);
}

/// The terminal, and the page that it makes.
struct Walk {
    terminal: Terminal,
    page: Page,
    mount: String,
}

impl Walk {
    /// Waits until the screen shows all of that, and keeps it.
    fn shot(&mut self, what: &[&str]) {
        let screen = self.terminal.until(what);
        self.page.screen(&screen);
    }

    fn keys(&mut self, keys: &[&str]) {
        self.terminal.press(keys);
    }

    fn open(&mut self) {
        self.terminal.line(&format!("clear; fsdiag tui {} --stalled-after 2", self.mount));
    }

    /// From a healthy screen to the culprit.
    fn found(&mut self, mounted: &Mounted, script: &Path) -> Child {
        self.page.text(
            "Three in the morning: \"the films hang\". One command, `fsdiag`, shows the mount (here it is named, because \
             other mounts are there too). A moment ago all was well:",
        );
        self.open();
        self.shot(&["healthy", "kernel waits"]);
        self.page.text(
            "Then somebody closes a file whose download the origin has stopped sending, and whoever opens the next one \
             does not come back. The second line names what hangs, who holds it up, since when, how many wait, and how sure that is:",
        );
        let client = reproduce(mounted, script);
        self.shot(&["! STALL", "lock_pileup", "└ Open"]);
        self.page.text("Enter shows what the verdict rests on, and what to do next:");
        self.keys(&["Enter"]);
        self.shot(&["what next"]);
        self.keys(&["Escape", "2"]);
        self.page.text("`2`, the operations as a tree: who waits below whom it waits for.");
        self.shot(&["operation", "lock handles"]);
        self.keys(&["3"]);
        self.page.text("`3`, the lock: who holds it, what the holder itself waits for, who waits.");
        self.shot(&["who waits for whom at handles"]);
        self.keys(&["4"]);
        self.page.text("`4`, the stacks that the watchdog dumped when the stall began, equal ones together:");
        let named = |screen: &str| screen.contains("innermost frames") && !screen.contains("??");
        let screen = self.terminal.until_it("stacks with names", named);
        self.page.screen(&screen);
        self.keys(&["6"]);
        self.page.text("`6`, the workers over the last seconds, the stall marked below:");
        self.shot(&["newest right", "!!!"]);
        self.keys(&["q", "q"]);
        self.page.text("`q` leaves; the verdict stays on the normal screen.");
        let normal = |screen: &str| screen.contains("! STALL") && !screen.contains("1 Overview 2 Operations");
        let screen = self.terminal.until_it("the normal screen", normal);
        self.page.screen(&screen);
        client
    }

    /// The debugging guide by itself.
    fn proven(&mut self, script: &Path) {
        let runs = if Page::is_wanted() { 5 } else { 1 };
        self.page.text(&format!(
            "Is it the close path, or a race? `isolate` runs the reproduction under no flag, each flag and both, {runs} \
             times each, and compares the verdicts. Before each run a new worker takes the mount over, so whoever hung is \
             freed. The script reads a file up to where its download stands still, closes it, and reads another."
        ));
        let command = format!(
            "clear; fsdiag isolate {} --yes --runs {runs} --limit 30 --stalled-after 2 -- sh {} 2>/dev/null",
            self.mount,
            script.display()
        );
        self.terminal.line(&command);
        let proof = format!("it disappears with debug_skip_eviction in {runs} of {runs} run");
        let concluded = |screen: &str| screen.contains("Conclusion") && screen.replace('\n', "").contains(&proof);
        let screen = self.terminal.until_it(&proof, concluded);
        // From the first run that is on the screen as a whole.
        let whole = screen.find("debug_skip_eviction 1,").map_or(&*screen, |at| &screen[at..]);
        self.page.screen(&format!("...\n{whole}"));
    }

    /// The bug again, eight uploads beside it, and a restart that none of them notices.
    fn restarted(&mut self, mounted: &Mounted, script: &Path) -> Child {
        self.page.text("Eight uploads run from the mount (`curl -T`) when the bug strikes again:");
        let client = reproduce(mounted, script);
        self.open();
        self.shot(&["! STALL", "Release"]);
        self.page.text("`8`, what can be done, from harmless to hurting, each the same as the command beside it:");
        self.keys(&["8"]);
        self.shot(&["restart with debug_skip_eviction"]);
        self.page.text("The act is shown before it is done, in the words of its own `--dry-run`:");
        self.keys(&["/"]);
        self.terminal.type_text("restart with debug_skip");
        self.keys(&["Enter", "Enter"]);
        self.shot(&["Enter does it", "fsd answers"]);
        self.keys(&["Enter"]);
        self.page.text("The worker is dumped, replaced, and everybody who waited is served by the next one:");
        self.shot(&["worker replaced", "done"]);
        self.keys(&["Escape", "Escape", "1"]);
        client
    }

    fn healed(&mut self, checked: &str) {
        self.page.text("The flag stands in the first line, and the verdict of before stays for the post-mortem:");
        self.shot(&["RECOVERED", "skip_eviction"]);
        self.page.text(&format!("All eight uploads completed, and what arrived is what the origin has:\n\n{checked}"));
        self.keys(&["q", "q"]);
    }
}

/// The bug strikes, and somebody else waits behind it.
fn reproduce(mounted: &Mounted, script: &Path) -> Child {
    let mut sh = Command::new("sh");
    sh.arg(script).env("FSD_MOUNT", mounted.dir()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn upload(mounted: &Mounted, origin: &Origin, at: usize) -> Child {
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--fail", "-T"])
        .arg(mounted.path(&format!("up{at}.bin")))
        .arg(origin.url(&format!("put/up{at}.bin")));
    curl.stdout(Stdio::null()).spawn().unwrap()
}

/// Uploads whose first bytes have been read.
fn sent(mounted: &Mounted) -> usize {
    let record = mounted.recorded();
    let reads = record.iter().filter(|event| event["ev"] == "enter" && event["op"] == "Read");
    let paths: std::collections::HashSet<&str> = reads.filter_map(|event| event["path"].as_str()).collect();
    paths.iter().filter(|path| path.starts_with("up")).count()
}

/// A line for each upload: it is whole, and its bytes are right.
fn checked(origin: &Origin) -> String {
    let mut received = origin.uploads();
    received.sort_by(|a, b| a.path.cmp(&b.path));
    assert_eq!(received.len(), UPLOADS);
    let mut lines = String::from("| upload | bytes | complete | checksum |\n|---|---|---|---|\n");
    for upload in received {
        let name = upload.path.rsplit('/').next().unwrap();
        assert!(upload.complete && upload.bytes == SIZE, "{upload:?}");
        assert_eq!(upload.checksum, checksum(name, SIZE), "{name}");
        lines.push_str(&format!("| {name} | {} | yes | as at the origin |\n", upload.bytes));
    }
    lines
}

/// Ends the mount once its former workers are drained.
fn finish(mounted: Mounted) {
    let runtime = mounted.runtime();
    let is_run = |path: &Path| path.join(fsd_events::layout::INFLIGHT).exists();
    let runs = || fs::read_dir(&runtime).unwrap().filter(|entry| is_run(&entry.as_ref().unwrap().path())).count();
    await_true("the drain of the former runs", || runs() == 1);
    mounted.finish();
}
