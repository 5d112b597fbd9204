//! Loops: many clients that wait, come and go hold none of the few threads that serve the others.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    process::Command,
    thread,
    time::Duration,
};

use fsd::process::demo::origin::first_difference;
use nix::errno::Errno;

use super::{health::*, support::*};

const MIB: u64 = 1 << 20;

#[test]
fn s01_s73_clients_killed_in_the_middle_of_a_read_are_gone_and_hold_nothing() {
    const CLIENTS: usize = 24;
    let origin = origin();
    origin.file("dead", 64 * MIB).always("dead", Fault::StallAt(0));
    let mounted = mount(Some(&origin.url("")), &["--read-timeout", "60s", "--inactivity-timeout", "60s"]);
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| cat(&mounted.path("dead"))).collect();
    await_true("all of them open", || mounted.status()["open_handles"] == CLIENTS as u64);
    mounted.await_event(|event| event["ev"] == "wait");
    serves(&mounted, &origin);
    for client in &mut clients {
        client.kill().unwrap();
    }
    for mut client in clients {
        // A client that cannot be killed would wait for the deadline of its read.
        await_true("a killed client's end", || client.try_wait().unwrap().is_some());
    }
    nothing_is_left(&mounted, &origin);
    origin.heal().release();
    assert!(read_anew(&mounted.path("dead"), 5 * MIB, 4096).unwrap() == origin.bytes("dead", 5 * MIB, 4096));
    finish_clean(mounted);
}

#[test]
fn s03_s10_with_a_single_loop_a_stalled_read_holds_no_other_operation() {
    let origin = origin();
    origin.file("dead", 64 * MIB).file("d/inside", MIB).always("dead", Fault::Silent);
    let args = ["--threads", "1", "--read-timeout", "20s", "--first-byte-timeout", "20s"];
    let mounted = mount(Some(&origin.url("")), &args);
    let readers: Vec<_> = (0..16).map(|n| reading(mounted.path("dead"), n * 4 * MIB, 4096)).collect();
    mounted.await_event(|event| event["ev"] == "wait");
    assert!(in_time("ls", &["-l"], &mounted.path("d")));
    // S94: what a monitor starts again and again.
    (0..20).for_each(|_| assert!(in_time("df", &[], &mounted.dir())));
    serves(&mounted, &origin);
    origin.heal().release();
    readers.into_iter().for_each(|reader| assert!(reader.join().unwrap().0.is_ok()));
    nothing_is_left(&mounted, &origin);
    finish_clean(mounted);
}

#[test]
fn s05_streams_that_stop_after_their_first_request_go_on_or_end_by_their_deadline() {
    const STREAMS: usize = 8;
    let origin = origin();
    let name = |n: usize| format!("film{n}");
    for n in 0..STREAMS {
        origin.file(&name(n), 8 * MIB).always(&name(n), Fault::StallAt(128 << 10));
    }
    let mounted = mount(Some(&origin.url("")), &["--read-timeout", "3s", "--inactivity-timeout", "60s"]);
    let heads: Vec<_> = (0..STREAMS).map(|n| reading(mounted.path(&name(n)), 0, 4096)).collect();
    heads.into_iter().for_each(|head| assert!(head.join().unwrap().0.is_ok(), "what has come is read"));
    let rest: Vec<_> = (0..STREAMS).map(|n| reading(mounted.path(&name(n)), MIB, 4096)).collect();
    for reader in rest {
        let (got, took) = reader.join().unwrap();
        assert!(got.is_ok() || took < Duration::from_secs(20), "{:?} after {took:?}", got.err());
    }
    serves(&mounted, &origin);
    origin.heal().release();
    for n in 0..STREAMS {
        let bytes = read_anew(&mounted.path(&name(n)), 0, 8 * MIB as usize).unwrap();
        assert_eq!(first_difference(&name(n), 0, &bytes), None);
    }
    nothing_is_left(&mounted, &origin);
    finish_clean(mounted);
}

#[test]
fn s24_s65_s66_s67_a_file_that_changes_under_a_stalled_read_blocks_neither_looks_nor_the_end() {
    let origin = origin();
    origin.file("a", 64 * MIB).always("a", Fault::StallAt(0));
    let args =
        ["--listing-ttl", "100ms", "--read-timeout", "60s", "--inactivity-timeout", "60s", "--drain-timeout", "0s"];
    let mounted = mount(Some(&origin.url("")), &args);
    let stuck = reading(mounted.path("a"), 40 * MIB, 4096);
    mounted.await_event(|event| event["ev"] == "wait");
    // The kernel must not be told of it while it holds a page of that READ: it would wait for the READ.
    origin.file("a", 32 * MIB);
    await_true("the new file", || {
        assert!(in_time("stat", &[], &mounted.path("a")));
        assert!(in_time("ls", &["-l"], &mounted.dir()));
        fs::metadata(mounted.path("a")).is_ok_and(|meta| meta.len() == 32 * MIB)
    });
    serves(&mounted, &origin);
    mounted.signal(nix::sys::signal::Signal::SIGTERM);
    let (status, _) = mounted.gone();
    assert!(matches!(status.code(), Some(0 | 16)), "{status}");
    let (got, took) = stuck.join().unwrap();
    let got = got.map(|bytes| first_difference("a", 40 * MIB, &bytes));
    assert!(got.is_err(), "its version is gone, and so is the mount: {got:?} after {took:?}");
}

#[test]
fn s107_a_file_that_changed_between_two_opens_is_never_a_mixture() {
    let origin = origin();
    for mode in ["temp-file", "range-lru"] {
        for size in [100_000, 3 * MIB] {
            let name = format!("{mode}-{size}");
            origin.file(&name, size);
            let mounted = mount(Some(&origin.url("")), &["--fetch-mode", mode, "--listing-ttl", "10m"]);
            // Listed in its first version, and read in its second.
            assert!(fs::read_dir(mounted.dir()).unwrap().count() > 0);
            origin.file(&name, size);
            File::open(mounted.path(&name)).unwrap().read_exact_at(&mut [0; 4096], 0).unwrap();
            await_true("its close", || mounted.status()["stores"] == 0);
            origin.file(&name, size);
            // What the kernel has of the second version must not be followed by bytes of the third.
            if let Ok(bytes) = fs::read(mounted.path(&name)) {
                let is = |version| bytes == origin.bytes_of(&name, version, 0, size as usize);
                assert!(is(2) || is(3), "{name}: a mixture");
            }
            await_true("the new version", || {
                fs::read(mounted.path(&name)).is_ok_and(|bytes| bytes == origin.bytes(&name, 0, size as usize))
            });
            mounted.finish();
        }
    }
}

#[test]
fn s25_a_long_listing_holds_nobody_who_asks_for_something_else() {
    let origin = origin();
    for n in 0..20_000 {
        origin.file(&format!("many/{n:05}"), 10);
    }
    let mounted = mount(Some(&origin.url("")), &["--listing-ttl", "100ms"]);
    let many = mounted.path("many");
    let lister = thread::Builder::new().spawn(move || (0..3).map(|_| fs::read_dir(&many).unwrap().count()).max());
    for _ in 0..20 {
        let start = now();
        fs::metadata(mounted.path("well.bin")).unwrap();
        rustix::fs::statvfs(mounted.dir()).unwrap();
        assert!(start.elapsed() < AT_ONCE, "{:?}", start.elapsed());
    }
    assert_eq!(lister.unwrap().join().unwrap(), Some(20_000));
    nothing_is_left(&mounted, &origin);
    finish_clean(mounted);
}

#[test]
fn s26_s27_readers_of_one_file_do_not_queue_behind_each_other() {
    let origin = origin();
    origin.file("a", 64 * MIB).always("a", Fault::StallAt(4 * MIB));
    let args = ["--read-timeout", "3s", "--inactivity-timeout", "60s", "--first-byte-timeout", "60s"];
    let mounted = mount(Some(&origin.url("")), &args);
    let open = File::open(mounted.path("a")).unwrap();
    mounted.await_event(|event| event["ev"] == "progress" && event["have"] == 4 * MIB);
    // Beyond every answer: their requests stall too.
    origin.always("a", Fault::StallAt(0));
    let stuck: Vec<_> = (0..16).map(|n| reading(mounted.path("a"), (32 + n) * MIB, 4096)).collect();
    mounted.await_event(|event| event["ev"] == "wait");
    for n in 0..16 {
        let (mut bytes, start) = ([0; 4096], now());
        open.read_exact_at(&mut bytes, n * 256 * 1024).unwrap();
        assert!(bytes[..] == origin.bytes("a", n * 256 * 1024, 4096) && start.elapsed() < AT_ONCE, "{n}");
    }
    drop(open);
    for reader in stuck {
        let (got, took) = reader.join().unwrap();
        assert_eq!(got.err(), Some(Errno::ETIMEDOUT as i32), "after {took:?}");
        assert!(took < Duration::from_secs(20), "{took:?}: one after another");
    }
    origin.heal().release();
    nothing_is_left(&mounted, &origin);
    finish_clean(mounted);
}

#[test]
fn s37_s49_a_file_opened_read_and_closed_again_and_again_never_waits_for_its_own_end() {
    let origin = origin();
    origin.file("a", MIB).file("b", 3 * MIB);
    for mode in ["temp-file", "range-lru"] {
        let mounted = mount(Some(&origin.url("")), &["--fetch-mode", mode]);
        for round in 0..60_u64 {
            let (name, at) = if round % 2 == 0 { ("a", 0) } else { ("b", 2 * MIB) };
            assert!(read_anew(&mounted.path(name), at, 64 << 10).unwrap() == origin.bytes(name, at, 64 << 10));
        }
        nothing_is_left(&mounted, &origin);
        finish_clean(mounted);
    }
}

#[test]
fn s38_a_file_opened_again_while_its_close_hangs_is_read() {
    let origin = origin();
    origin.file("a", 3 * MIB);
    let slow_close = |command: &mut Command| {
        command.env("FAILPOINTS", "store::close=return(a)");
    };
    let args = ["--close-timeout", "500ms", "--drain-timeout", "5s"];
    let mounted = try_mount(Dirs::new(), Some(&origin.url("")), &args, slow_close).ok().unwrap();
    for round in 1..4_u64 {
        let bytes = read_anew(&mounted.path("a"), 0, 3 * MIB as usize).unwrap();
        assert_eq!(first_difference("a", 0, &bytes), None);
        let hanging = || mounted.status()["closing"].as_u64().unwrap() + mounted.status()["reaping"].as_u64().unwrap();
        await_true("the close that hangs", || hanging() >= round);
        serves(&mounted, &origin);
    }
    drop(mounted);
}
