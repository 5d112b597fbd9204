//! Inputs of every kind: whatever can be read is read whole, once, and the exit code says how it went.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{Duration, SystemTime},
};

use fsdiag::{
    commands::analyze::{
        quote::Kept,
        read::{self, How},
    },
    engine::{
        fact::Thread,
        model::{Limits, Model},
        report::Report,
    },
    sources::file,
};

/// A log with a verdict.
fn log() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../testdata/formats/seed-log/pile-up.log")
}

fn run(args: &[&str], file: &Path) -> (Report, Output) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fsdiag"));
    let output = command.args(["analyze", "--format", "json"]).args(args).arg(file).output().unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"));
    (report, output)
}

fn lines(path: &Path) -> u64 {
    run(&[], path).0.inputs[0].lines
}

/// A frame that holds its bytes as they are: magic, no checksum, one raw block.
fn frame(bytes: &[u8]) -> Vec<u8> {
    let size = u32::try_from(bytes.len()).unwrap();
    let block = (size << 3 | 1).to_le_bytes();
    [&[0x28, 0xb5, 0x2f, 0xfd, 0xa0][..], &size.to_le_bytes(), &block[..3], bytes].concat()
}

#[test]
fn a_pipe_with_a_name_is_read_once_from_its_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let bytes = fs::read(log()).unwrap();
    let mut reader = Command::new(env!("CARGO_BIN_EXE_fsdiag"));
    let reader = reader.args(["analyze", "--format", "json"]).arg(&pipe).stdout(std::process::Stdio::piped()).spawn();
    let writer = fs::OpenOptions::new().write(true).open(&pipe);
    writer.and_then(|mut pipe| pipe.write_all(&bytes)).expect("the pipe is read to its end");
    let output = reader.unwrap().wait_with_output().unwrap();
    let report: Report = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report.inputs[0].lines, lines(&log()));
    assert!(report.verdicts[0].evidence.iter().all(|evidence| !evidence.text.is_empty()), "{:?}", report.verdicts[0]);
}

#[test]
fn every_frame_of_a_compressed_file_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = fs::read(log()).unwrap();
    let (first, second) = bytes.split_at(bytes.len() / 2);
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
    let path = dir.path().join("log.zst");
    fs::write(&path, [frame(first), skippable.clone(), frame(b""), frame(second), skippable].concat()).unwrap();
    assert_eq!(lines(&path), lines(&log()));
}

#[test]
fn a_frame_that_is_cut_is_said_and_what_stands_before_it_counts() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.zst");
    let bytes = fs::read(log()).unwrap();
    let whole = [frame(&bytes), frame(&bytes)].concat();
    fs::write(&path, &whole[..whole.len() - 9]).unwrap();
    let (report, output) = run(&[], &path);
    assert!(!report.healthy && output.status.code() == Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("log.zst: "), "{output:?}");
}

#[test]
fn a_verdict_from_the_first_half_of_a_damaged_file_is_a_verdict() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.gz");
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    packer.write_all(&fs::read(log()).unwrap()).unwrap();
    let packed = packer.finish().unwrap();
    // The check at the end is missing, and nothing else.
    fs::write(&path, &packed[..packed.len() - 4]).unwrap();
    let (report, output) = run(&[], &path);
    assert!(!report.healthy, "{:?}", report.inputs);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(!output.stderr.is_empty());
}

#[test]
fn a_moment_is_understood_as_logs_spell_it() {
    let code = |since: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fsdiag"));
        command.args(["analyze", "--since", since]).arg(log()).output().unwrap().status.code()
    };
    for since in [
        "1970-01-02",
        "1970-01-02T10:00:00",
        "1970-01-02 10:00",
        "1970/01/02 10:00:00.5",
        "1970-01-02 10:00:00,250",
        "1970-01-02T10:00:00.5+01:00",
        "1970-01-02T10:00:00+0100",
        "1970-01-02 10:00-08",
        "1970-01-02 10:00:00Z",
        "86400.5",
    ] {
        assert_eq!(code(since), Some(1), "{since}");
    }
    for since in
        ["nan", "inf", "-5", "", "now", "2026-13-01", "2026-02-30", "2026-11-20 25:00:00", "2026-11-20 10:00 x"]
    {
        assert_eq!(code(since), Some(2), "{since}");
    }
}

#[test]
fn runs_of_one_mount_are_in_the_order_of_their_first_records_whatever_they_are_called() {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../testdata/inputs/runs-of-one-mount");
    let (report, _) = run(&[], &dir);
    assert!(report.healthy && report.orphans.is_empty(), "{:?}", report.verdicts);
}

#[test]
fn a_log_that_begins_with_a_byte_order_mark_is_read_in_its_encoding() {
    let dir = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(log()).unwrap().replace("films", "films \u{1f512}");
    let marked = format!("\u{feff}{text}");
    let units = || marked.encode_utf16();
    let whole = run(&[], &log()).0;
    for (name, bytes) in [
        ("utf-8", marked.clone().into_bytes()),
        ("utf-16le", units().flat_map(u16::to_le_bytes).collect()),
        ("utf-16be", units().flat_map(u16::to_be_bytes).collect()),
        ("utf-16le without its mark", text.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("utf-16be without its mark", text.encode_utf16().flat_map(u16::to_be_bytes).collect()),
    ] {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        let (report, _) = run(&[], &path);
        assert_eq!(
            (report.inputs[0].lines, report.inputs[0].bad_lines),
            (whole.inputs[0].lines, whole.inputs[0].bad_lines),
            "{name}"
        );
        let sentence = |report: &Report| report.verdicts.first().map(|verdict| verdict.sentence.clone());
        assert_eq!(sentence(&report), sentence(&whole), "{name}");
        assert!(report.verdicts[0].evidence[0].text.contains("ENTER"), "{:?}", report.verdicts[0].evidence);
    }
}

/// What each thread does at the end, of all dumps that the files amount to.
fn threads(files: &[PathBuf]) -> Vec<Vec<(u64, String, Option<u64>)>> {
    let (inputs, _) = file::collect(files);
    let mut model = Model::new(Limits::default());
    read::all(&inputs, &mut model, How::default(), &mut Kept::default(), &mut Vec::new());
    let thread = |t: &Thread| (t.number, t.state.as_deref().unwrap_or_default().to_owned(), t.since_us);
    model.dumps.iter().map(|(_, dump, _)| dump.threads.iter().map(thread).collect()).collect()
}

#[test]
fn threads_that_strace_gives_files_of_their_own_are_one_trace() {
    let dir = tempfile::tempdir().unwrap();
    // In a container process numbers are as small as those of a rotated log.
    let files = [
        ("x.1", "10:00:01.000000 read(3</dev/fuse>, "),
        ("x.102", "10:00:00.900000 brk(NULL) = 0x5586c8\n10:00:01.100000 recvfrom(7<TCP:[10.0.0.2:4->10.0.0.7:80]>, "),
        (
            "x.31988",
            "10:00:02.100000 futex(0x7fc5, FUTEX_WAIT_PRIVATE, 0, NULL) = 0\n10:00:41.000000 read(3</dev/fuse>, ",
        ),
        // A thread that had no time for anything.
        ("x.104", ""),
    ];
    let files = files.map(|(name, text)| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        path
    });
    let read = |us| (String::from("in read"), Some(us));
    let expected = [(1, read(40_000_000)), (102, (String::from("in recvfrom"), Some(39_900_000))), (31_988, read(0))];
    let expected = expected.map(|(number, (state, since))| (number, state, since));
    assert_eq!(threads(&files), [expected]);
}

#[test]
fn what_is_no_text_is_named_with_what_to_do_and_never_healthy() {
    let dir = tempfile::tempdir().unwrap();
    let mut tar = vec![0; 1024];
    tar[257..262].copy_from_slice(b"ustar");
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(&tar).unwrap();
    for (name, bytes, says) in [
        ("logs.zip", &b"PK\x03\x04\x14\0"[..], "unpack it"),
        ("log.xz", b"\xfd7zXZ\0\0", "unxz"),
        ("log.bz2", b"BZh91AY&SY\0", "bunzip2"),
        ("logs.tar", &tar, "unpack it"),
        ("logs.tgz", &packer.finish().unwrap(), "unpack it"),
        ("system.journal", b"LPKSHHRH\0\0", "journalctl --file"),
        ("core", b"\x7fELF\x02\x01", "gdb"),
        ("screen.png", b"\x89PNG\r\n", "a picture"),
    ] {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_fsdiag")).arg("analyze").arg(&path).output().unwrap();
        let (said, told) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
        assert!(said.contains(name) && said.contains(says) && !told.contains("healthy"), "{said}{told}");
        assert_eq!(output.status.code(), Some(3), "{name}");
    }
    // Beside them, a log is read all the same.
    fs::copy(log(), dir.path().join("fuse.log")).unwrap();
    let (report, output) = run(&[], dir.path());
    assert!(!report.healthy && output.status.code() == Some(1), "{output:?}");
}

#[test]
fn a_copy_is_no_second_witness() {
    let dump = "../testdata/corpus/c58/gdb-bt.txt";
    let dump = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(dump);
    let dir = tempfile::tempdir().unwrap();
    let as_then = |name: &str| {
        let path = dir.path().join(name);
        fs::copy(&dump, &path).unwrap();
        let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        fs::OpenOptions::new().write(true).open(path).and_then(|file| file.set_modified(changed)).unwrap();
    };
    as_then("gdb.txt");
    let once = run(&[], dir.path()).0;
    ["gdb (1).txt", "Copy of gdb.txt"].into_iter().for_each(as_then);
    let (copied, output) = run(&[], dir.path());
    assert_eq!((copied.inputs.len(), copied.verdicts[0].confidence), (1, once.verdicts[0].confidence));
    assert!(String::from_utf8_lossy(&output.stderr).contains("the same as"), "{output:?}");
    // A process that stands still gives the same dump twice, and whoever takes two calls them so.
    as_then("gdb-2.txt");
    assert_eq!(run(&[], dir.path()).0.inputs.len(), 2);
    // What tells of times would tell of others the next time.
    let logs = tempfile::tempdir().unwrap();
    for name in ["fuse.log", "fuse (1).log", "fuse.log.bak"] {
        fs::copy(log(), logs.path().join(name)).unwrap();
    }
    assert_eq!(run(&[], logs.path()).0.inputs.len(), 1);
}

#[test]
fn two_dumps_that_are_the_same_are_both_read_and_prove_no_more_than_one() {
    let dump = "PID 6800 - process\nTID 6800:\n#0  0x00007f3f65c06d90 __new_sem_wait_slow64\n\
        #1  0x00007f3f65d6d818 fuse_session_loop_mt_312\n#2  0x000055b2e369b3c0 main\nTID 6805:\n\
        #0  0x00007f3f65bfc12b __GI___lll_lock_wait\n#1  0x00007f3f65c02482 __pthread_mutex_lock@GLIBC_2.2.5\n\
        #2  0x000055b2e369b2a6 hang_lookup\n#3  0x00007f3f65d72123\n#4  0x00007f3f65bff1f5 start_thread\n";
    for names in [["stack.txt", "stack (1).txt"], ["stack.txt", "Copy of stack.txt"]] {
        let dir = tempfile::tempdir().unwrap();
        for (name, second) in names.into_iter().zip(1..) {
            let path = dir.path().join(name);
            fs::write(&path, dump).unwrap();
            let taken = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + 10 * second);
            fs::OpenOptions::new().write(true).open(path).and_then(|file| file.set_modified(taken)).unwrap();
        }
        let report = run(&[], dir.path()).0;
        assert_eq!(report.inputs.len(), 2, "{names:?}");
        assert!(report.healthy, "{names:?}: {:?}", report.verdicts);
        assert!(report.notes.iter().any(|note| note.kind == "dumps"), "{names:?}: {:?}", report.notes);
    }
}

#[test]
fn links_to_files_of_other_directories_are_followed() {
    let (pods, containers) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::copy(log(), pods.path().join("0.log")).unwrap();
    std::os::unix::fs::symlink(pods.path().join("0.log"), containers.path().join("fuse.log")).unwrap();
    let whole = run(&[], &log()).0;
    assert_eq!(run(&[], containers.path()).0.inputs[0].lines, whole.inputs[0].lines);
    // Those of the same directory would count twice.
    std::os::unix::fs::symlink(pods.path().join("0.log"), pods.path().join("current.log")).unwrap();
    assert_eq!(run(&[], pods.path()).0.inputs.len(), 1);
}

#[test]
fn pieces_of_a_log_are_in_order_however_rotation_names_them() {
    let text = fs::read_to_string(log()).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let (first, second) = lines.split_at(lines.len() / 2);
    let whole = run(&[], &log()).0;
    for (earlier, later) in [
        ("fuse.log.1", "fuse.log"),
        ("fuse.log.old", "fuse.log"),
        ("fuse.log-20261120", "fuse.log"),
        ("fuse.log.2026-11-20", "fuse.log"),
        ("fuse-2026-11-20T10-00-00.000.log", "fuse.log"),
        ("0.log.20261120-130500", "0.log"),
        ("fuse.log.2026-11-19", "fuse.log.2026-11-20"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(earlier), first.concat()).unwrap();
        fs::write(dir.path().join(later), second.concat()).unwrap();
        let report = run(&[], dir.path()).0;
        let told = |report: &Report| (report.verdicts[0].cause, report.verdicts[0].confidence, report.orphans.len());
        assert_eq!(told(&report), told(&whole), "{earlier} {later}");
    }
}
