//! Reads: files of a real web server, compared byte by byte.

use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    path::Path,
    process::Command,
};

use fsd_events::{
    layout,
    names::{OpenAs, read_opens},
};

use super::{servers::Server, support::*};

pub(crate) const SMALL_FILES: usize = 10_000;

/// A sparse file with marks all over, so that a misplaced byte shows.
pub(crate) fn sparse(path: &Path, size: u64) {
    let file = File::create(path).unwrap();
    file.set_len(size).unwrap();
    for at in (0..size).step_by(1 << 20) {
        file.write_all_at(&at.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes(), at).unwrap();
    }
}

pub(crate) fn same(a: &Path, b: &Path) -> bool {
    Command::new("cmp").arg("-s").arg(a).arg(b).status().unwrap().success()
}

#[test]
fn a_local_file_is_read_by_the_kernel_alone_from_its_first_open_on() {
    if !nix::unistd::geteuid().is_root() {
        return skip("passthrough", "a plain user", "root");
    }
    let www = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
    fs::write(www.path().join("local"), &bytes).unwrap();
    let mounted = mount(Some(&www.path().display().to_string()), &[]);
    let held = File::open(mounted.path("local")).unwrap();
    let runtime = mounted.runtime();
    let opens = read_opens(&fs::read(runtime.join(layout::OPENS)).unwrap()).unwrap();
    assert!(fs::read(mounted.path("local")).unwrap() == bytes);
    drop(held);
    let record = mounted.finish();
    if opens[0].how == OpenAs::Cached {
        return skip("passthrough", "a kernel that refuses it", "Linux 6.9 and a file system that it takes");
    }
    let reads = record.iter().filter(|event| event["ev"] == "enter" && event["op"] == "Read").count();
    assert_eq!(reads, 0, "the kernel asked for bytes");
    assert_eq!(orphans(&record), Vec::<String>::new());
}

#[test]
fn a_local_file_that_is_written_over_is_stale_to_who_has_it_open_and_new_to_who_opens_it() {
    const SIZE: usize = 8 << 20;
    // Where the kernel does not read it by itself, and where it does if it can.
    for args in [&["--debug-all-callbacks"][..], &[]] {
        let www = tempfile::tempdir().unwrap();
        let source = www.path().join("local");
        fs::write(&source, vec![b'A'; SIZE]).unwrap();
        let mounted = mount(Some(&www.path().display().to_string()), args);
        let (path, runtime) = (mounted.path("local"), mounted.runtime());
        let open = || {
            let held = File::open(&path).unwrap();
            held.read_exact_at(&mut [0; 4096], 0).unwrap();
            held
        };
        let held = open();
        let before = held.metadata().unwrap().ino();
        let cached = read_opens(&fs::read(runtime.join(layout::OPENS)).unwrap()).unwrap()[0].how == OpenAs::Cached;
        assert!(cached || args.is_empty());
        let is_stale = |held: &File, at| {
            // What the kernel has is of the right version.
            rustix::fs::fadvise(held, 0, None, rustix::fs::Advice::DontNeed).unwrap();
            match held.read_at(&mut [0; 4096], at) {
                Err(error) => error.raw_os_error() == Some(libc::ESTALE),
                Ok(_) => !cached,
            }
        };
        // In place: the same file there.
        let over = OpenOptions::new().write(true).open(&source).unwrap();
        over.write_all_at(&vec![b'B'; SIZE], 0).unwrap();
        assert!(fs::read(&path).unwrap() == vec![b'B'; SIZE], "the old content under its name");
        assert_ne!(before, fs::metadata(&path).unwrap().ino(), "new content in an old file");
        assert!(is_stale(&held, 4 << 20), "bytes of another version");
        // And shorter.
        drop(held);
        let held = open();
        over.set_len(1 << 20).unwrap();
        assert!(is_stale(&held, 2 << 20), "a short read");
        assert!(fs::read(&path).unwrap() == vec![b'B'; 1 << 20]);
        // While nobody has it open.
        drop(held);
        await_true("the close", || mounted.status()["stores"] == 0);
        over.write_all_at(b"C", 0).unwrap();
        assert_eq!(fs::read(&path).unwrap()[0], b'C');
        assert_eq!(orphans(&mounted.finish()), Vec::<String>::new());
    }
}

#[test]
fn past_the_cache_a_complete_file_is_read_at_any_place_into_any_buffer() {
    let www = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
    fs::write(www.path().join("complete"), &bytes).unwrap();
    let mounted = mount(Some(&www.path().display().to_string()), &[]);
    let path = mounted.path("complete");
    let direct = OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(&path).unwrap();
    let mut block = vec![0; 70_001];
    direct.read_exact_at(&mut block[1..], 4097).unwrap();
    assert!(block[1..] == bytes[4097..][..70_000], "other bytes past the cache");
    // Beside it, and after it, when the kernel may read the file by itself.
    assert!(fs::read(&path).unwrap() == bytes, "other bytes beside it");
    drop(direct);
    assert!(fs::read(&path).unwrap() == bytes, "other bytes after it");
    // Beside one that the kernel reads by itself.
    let plain = File::open(&path).unwrap();
    let direct = OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(&path).unwrap();
    direct.read_exact_at(&mut block[1..], 4097).unwrap();
    assert!(block[1..] == bytes[4097..][..70_000], "other bytes past the cache beside it");
    drop((plain, direct));
    assert_eq!(orphans(&mounted.finish()), Vec::<String>::new());
}

#[test]
fn one_gibibyte_and_ten_thousand_small_files_from_nginx() {
    let www = tempfile::tempdir().unwrap();
    sparse(&www.path().join("big.bin"), 1 << 30);
    fs::create_dir(www.path().join("small")).unwrap();
    let content = |at: usize| format!("file {at}\n").repeat(at % 7 + 1);
    for at in 0..SMALL_FILES {
        fs::write(www.path().join(format!("small/{at:05}.txt")), content(at)).unwrap();
    }
    let Some(nginx) = Server::nginx(www.path(), "") else { return };
    let mounted = mount(Some(&nginx.url("")), &[]);
    assert!(same(&www.path().join("big.bin"), &mounted.path("big.bin")), "big.bin differs");
    let listed = Command::new("ls").arg("-l").arg(mounted.path("small")).output().unwrap();
    assert_eq!(text(&listed.stdout).lines().filter(|line| line.contains(".txt")).count(), SMALL_FILES);
    for at in 0..SMALL_FILES {
        let read = fs::read(mounted.path(&format!("small/{at:05}.txt"))).unwrap();
        assert!(read == content(at).as_bytes(), "file {at} differs");
    }
    let record = mounted.finish();
    assert_eq!(orphans(&record), Vec::<String>::new());
    assert_eq!(count(&record, "stall"), 0);
}

#[test]
fn range_lru_reads_the_same() {
    let www = tempfile::tempdir().unwrap();
    sparse(&www.path().join("big.bin"), (64 << 20) + 1);
    let Some(nginx) = Server::nginx(www.path(), "") else { return };
    let args = ["--fetch-mode", "range-lru", "--chunk-size", "1MiB", "--cache-size", "16MiB"];
    let mounted = mount(Some(&nginx.url("")), &args);
    assert!(same(&www.path().join("big.bin"), &mounted.path("big.bin")));
    // Backwards: every read far from the last.
    let (ours, theirs) =
        (File::open(mounted.path("big.bin")).unwrap(), File::open(www.path().join("big.bin")).unwrap());
    for at in (0..21).rev().map(|n| n * (3 << 20)) {
        let (mut a, mut b) = ([0; 4096], [0; 4096]);
        ours.read_exact_at(&mut a, at).unwrap();
        theirs.read_exact_at(&mut b, at).unwrap();
        assert!(a == b, "differs at {at}");
    }
    drop((ours, theirs));
    mounted.finish();
}
