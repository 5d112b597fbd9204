//! Origins that fail: right bytes or an error in time, whatever comes, and nobody else notices.

use std::{fs, time::Duration};

use fsd::process::demo::origin::first_difference;
use nix::errno::Errno;

use super::{health::*, support::*};

const MIB: u64 = 1 << 20;
const SIZE: u64 = 2 * MIB;
const LIMITS: [&str; 6] = ["--read-timeout", "2s", "--first-byte-timeout", "1s", "--inactivity-timeout", "1s"];

/// What a reader may get while the fault lasts.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Gives {
    Bytes,
    Error,
    Either,
}

fn lasting() -> Vec<(Fault, Gives)> {
    let later = |code| Fault::Status { code, retry_after: Some("1".to_owned()) };
    let mut faults = vec![
        (Fault::Silent, Gives::Error),
        (Fault::StallAt(MIB), Gives::Either),
        (Fault::Trickle(Duration::from_millis(200)), Gives::Error),
        (Fault::ResetAt(100_000), Gives::Either),
        (Fault::ResetAt(0), Gives::Error),
        (Fault::ShortAt(MIB), Gives::Either),
        (Fault::ShortAt(0), Gives::Error),
        (Fault::WrongLength(7), Gives::Error),
        (Fault::WrongLength(-7), Gives::Error),
        (Fault::Chunked, Gives::Bytes),
        (Fault::ChunkedShort(MIB), Gives::Either),
        (Fault::WholeForRange, Gives::Bytes),
        // A whole file is asked for without a range.
        (Fault::WrongRange, Gives::Either),
        (Fault::WrongTotal, Gives::Either),
        // The listing tells no tag: the first answer settles it.
        (Fault::OtherTag, Gives::Either),
        (Fault::RedirectLoop, Gives::Error),
        (Fault::Redirect("ftp://elsewhere/".to_owned()), Gives::Error),
        (Fault::Delay(Duration::from_millis(300)), Gives::Bytes),
        (Fault::Encoded, Gives::Error),
        (Fault::Garbage, Gives::Error),
        (later(429), Gives::Error),
        (later(503), Gives::Error),
    ];
    faults.extend([401, 403, 404, 410, 500, 502, 504].map(|code| (Fault::status(code), Gives::Error)));
    faults
}

/// In bytes or in words what one reader got; wrong bytes and a late answer fail the test.
fn judge(name: &str, fault: &Fault, gives: Gives, got: Result<Vec<u8>, i32>, took: Duration) {
    let told = format!("{fault:?}: {:?} after {took:?}", got.as_ref().map(Vec::len));
    assert!(took < Duration::from_secs(30), "{told}");
    match got {
        Ok(bytes) => {
            assert!(gives != Gives::Error, "{told}");
            assert_eq!((bytes.len() as u64, first_difference(name, 0, &bytes)), (SIZE, None), "{told}");
        }
        Err(errno) => {
            assert!(gives != Gives::Bytes, "{told}");
            assert!([Errno::EIO, Errno::ETIMEDOUT, Errno::ESTALE].contains(&Errno::from_raw(errno)), "{told}");
        }
    }
}

/// S01, S04, S06, S07, S09, S11, S35, S47, S48, S51, S52, S55, S105, S106, S107, S108: every lasting fault at once,
/// through two permits.
fn every_lasting_fault(mode: &str) {
    let (origin, faults) = (origin(), lasting());
    let name = |n: usize| format!("{mode}-{n}.bin");
    for n in 0..faults.len() {
        origin.file(&name(n), SIZE);
    }
    let mut args = LIMITS.to_vec();
    args.extend(["--fetch-mode", mode, "--max-concurrent-requests", "2", "--listing-ttl", "500ms"]);
    let mounted = mount(Some(&origin.url("")), &args);
    for (n, (fault, _)) in faults.iter().enumerate() {
        origin.always(&name(n), fault.clone());
    }
    let readers: Vec<_> = (0..faults.len()).map(|n| reading(mounted.path(&name(n)), 0, SIZE as usize)).collect();
    serves(&mounted, &origin);
    for (n, (reader, (fault, gives))) in readers.into_iter().zip(&faults).enumerate() {
        let (got, took) = reader.join().unwrap();
        judge(&name(n), fault, *gives, got, took);
        let asked = origin.requests_of(&name(n)).len();
        assert!(asked < 200, "{asked} requests for {fault:?}: it asks again without a pause");
    }
    origin.heal().release();
    for (n, (fault, _)) in faults.iter().enumerate() {
        await_true(&format!("right bytes after {fault:?}"), || {
            let got = read_anew(&mounted.path(&name(n)), 0, SIZE as usize);
            got.is_ok_and(|bytes| first_difference(&name(n), 0, &bytes).is_none())
        });
    }
    nothing_is_left(&mounted, &origin);
    finish_clean(mounted);
}

#[test]
fn s06_s07_s105_every_lasting_fault_is_bytes_or_an_error_in_time_and_leaves_nothing() {
    every_lasting_fault("temp-file");
}

#[test]
fn s52_s55_s106_every_lasting_fault_is_the_same_in_memory_and_leaks_no_permit() {
    every_lasting_fault("range-lru");
}

#[test]
fn s04_s09_a_passing_fault_is_never_seen() {
    every_passing_fault("temp-file", &[]);
    every_passing_fault("range-lru", &[]);
}

#[test]
fn s104_with_everything_traced_a_passing_fault_is_not_seen_either() {
    let all = ["--log-level", "trace", "--log-format", "seed", "--debug-lock-events", "--debug-all-callbacks"];
    every_passing_fault("temp-file", &all);
}

fn every_passing_fault(mode: &str, traced: &[&str]) {
    let origin = origin();
    let later = |code| Fault::Status { code, retry_after: Some("1".to_owned()) };
    let faults = [
        later(429),
        later(503),
        Fault::status(500),
        Fault::Silent,
        Fault::StallAt(MIB),
        Fault::ResetAt(MIB),
        Fault::ShortAt(5),
        Fault::Redirect("/REDIRECTED?again".to_owned()),
    ];
    let name = |n: usize| format!("{mode}-{n}.bin");
    for n in 0..faults.len() {
        origin.file(&name(n), SIZE);
    }
    let mut args = vec!["--fetch-mode", mode, "--first-byte-timeout", "1s", "--inactivity-timeout", "1s"];
    args.extend(traced);
    let mounted = mount(Some(&origin.url("")), &args);
    for (n, fault) in faults.iter().enumerate() {
        let to_itself = Fault::Redirect(format!("/{}?again", name(n)));
        origin.fault(&name(n), if matches!(fault, Fault::Redirect(_)) { to_itself } else { fault.clone() });
    }
    let readers: Vec<_> = (0..faults.len()).map(|n| reading(mounted.path(&name(n)), 0, SIZE as usize)).collect();
    serves(&mounted, &origin);
    for (n, reader) in readers.into_iter().enumerate() {
        let (got, took) = reader.join().unwrap();
        judge(&name(n), &faults[n], Gives::Bytes, got, took);
    }
    origin.release();
    nothing_is_left(&mounted, &origin);
    finish_clean(mounted);
}

#[test]
fn s36_a_listed_size_that_is_wrong_ends_the_read_and_the_name_gets_the_right_one() {
    let origin = origin();
    let listing = |size: u64| {
        format!("[{{\"name\":\"a\",\"type\":\"file\",\"mtime\":\"Tue, 14 Nov 2023 23:13:20 GMT\",\"size\":{size}}}]")
    };
    origin.file("d/a", SIZE).page("d/", "application/json", &listing(SIZE + MIB));
    let mounted = mount(Some(&origin.url("")), &["--listing-ttl", "200ms", "--read-timeout", "5s"]);
    let path = mounted.path("d/a");
    assert_eq!(fs::metadata(&path).unwrap().len(), SIZE + MIB);
    // Between the two sizes nobody would ever fetch anything.
    let (got, took) = reading(path.clone(), SIZE + 100, 4096).join().unwrap();
    assert_eq!(got.err(), Some(Errno::ESTALE as i32), "after {took:?}");
    origin.page("d/", "application/json", &listing(SIZE));
    await_true("the right size", || fs::metadata(&path).is_ok_and(|meta| meta.len() == SIZE));
    let bytes = read_anew(&path, 0, SIZE as usize).unwrap();
    assert_eq!(first_difference("d/a", 0, &bytes), None);
    nothing_is_left(&mounted, &origin);
    finish_clean(mounted);
}

/// A cache keeps the page, say.
#[test]
fn s36_a_file_whose_page_stays_wrong_is_read_all_the_same_once_its_answers_agree() {
    let origin = origin();
    let listing = |size: u64| {
        format!("[{{\"name\":\"a\",\"type\":\"file\",\"mtime\":\"Tue, 14 Nov 2023 23:13:20 GMT\",\"size\":{size}}}]")
    };
    origin.file("d/a", SIZE);
    for wrong in [SIZE + MIB, SIZE - MIB] {
        origin.page("d/", "application/json", &listing(wrong));
        let mounted = mount(Some(&origin.url("")), &["--listing-ttl", "200ms", "--read-timeout", "5s"]);
        let path = mounted.path("d/a");
        assert_eq!(fs::metadata(&path).unwrap().len(), wrong);
        await_true("all of it", || fs::read(&path).is_ok_and(|bytes| first_difference("d/a", 0, &bytes).is_none()));
        assert_eq!(fs::metadata(&path).unwrap().len(), SIZE);
        origin.page("d/", "application/json", &listing(SIZE));
        await_true("the page's word", || fs::read(&path).is_ok_and(|bytes| bytes.len() as u64 == SIZE));
        nothing_is_left(&mounted, &origin);
        finish_clean(mounted);
    }
}

#[test]
fn an_expired_url_is_an_error_until_its_credentials_are_fresh() {
    let origin = origin();
    origin.file("a", SIZE).require("a", "X-Key", "one");
    let dirs = Dirs::new();
    let headers = dirs.root().join("headers");
    fs::write(&headers, "X-Key: one\n").unwrap();
    let args = ["--header-file", &headers.display().to_string(), "--read-timeout", "5s"];
    let mounted = try_mount(dirs, Some(&origin.url("")), &args, |_| ()).unwrap_or_else(|failed| panic!("{failed:?}"));
    assert!(read_anew(&mounted.path("a"), 0, SIZE as usize).is_ok());
    await_true("the close", || mounted.status()["stores"] == 0);
    origin.require("a", "X-Key", "two");
    let refused = read_anew(&mounted.path("a"), 0, SIZE as usize).unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(Errno::EIO as i32));
    serves(&mounted, &origin);
    fs::write(&headers, "X-Key: two\n").unwrap();
    let bytes = read_anew(&mounted.path("a"), 0, SIZE as usize).unwrap();
    assert_eq!(first_difference("a", 0, &bytes), None);
    nothing_is_left(&mounted, &origin);
    finish_clean(mounted);
}

#[test]
fn r24_each_limit_counts_its_own_phase_only() {
    let origin = origin();
    origin.file("slow-head", SIZE).always("slow-head", Fault::Delay(Duration::from_millis(1500)));
    origin.file("slow-body", SIZE).bandwidth(MIB);
    // The head takes longer than a body may pause; the body takes longer than a head may; a read in time for both.
    let args = ["--first-byte-timeout", "4s", "--inactivity-timeout", "1s", "--meta-timeout", "500ms"];
    let mounted = mount(Some(&origin.url("")), &args);
    let readers = ["slow-head", "slow-body"].map(|name| (name, reading(mounted.path(name), 0, SIZE as usize)));
    for (name, reader) in readers {
        let (got, took) = reader.join().unwrap();
        assert_eq!(first_difference(name, 0, &got.unwrap()), None, "{name} after {took:?}");
    }
    nothing_is_left(&mounted, &origin);
    finish_clean(mounted);
}
