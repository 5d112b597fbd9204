//! Alone, of `testdata/alone`: a single request that has no answer while the daemon serves all others.

use std::{path::PathBuf, process::Command};

use fsdiag::engine::report::{Cause, Confidence, Report};

fn analyze(file: &str) -> Report {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../testdata/alone").join(file);
    let output = Command::new(env!("CARGO_BIN_EXE_fsdiag")).args(["analyze", "--format", "json"]).arg(path).output();
    let output = output.unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"))
}

/// The only verdict, and the number that it blames.
fn blamed(file: &str) -> (Cause, Confidence, String) {
    let report = analyze(file);
    let [verdict] = &report.verdicts[..] else { panic!("{file}: {:?} {:?}", report.verdicts, report.notes) };
    (verdict.cause, verdict.confidence, verdict.culprit.clone().and_then(|one| one.id).unwrap_or_default())
}

#[test]
fn a_write_that_stands_still_while_all_else_goes_on_is_suspected() {
    for file in ["write.log", "create.log", "fsync.log"] {
        assert_eq!(blamed(file), (Cause::UpstreamStall, Confidence::Low, "1200".into()), "{file}");
    }
}

#[test]
fn a_client_that_gave_up_on_a_write_swears_that_it_hangs() {
    assert_eq!(blamed("write-given-up.log"), (Cause::UpstreamStall, Confidence::Medium, "1200".into()));
}

#[test]
fn the_only_getattr_without_an_answer_in_a_log_without_a_gap_is_suspected() {
    assert_eq!(blamed("getattr.log"), (Cause::LostReply, Confidence::Low, "4".into()));
    let report = analyze("getattr-of-a-log-with-gaps.log");
    assert!(report.healthy, "{:?}", report.verdicts);
}

#[test]
fn a_client_that_gave_up_stands_for_the_clock_where_there_is_none() {
    assert_eq!(blamed("lookup-given-up-without-times.log"), (Cause::LostReply, Confidence::Medium, "104".into()));
    let report = analyze("lookup-just-interrupted-without-times.log");
    assert!(report.healthy, "it may be answered in a moment: {:?}", report.verdicts);
}

/// Whoever writes a file under another name first, as most downloaders do, renames it while rclone still closes it.
#[test]
fn a_release_that_ends_under_the_new_name_of_its_file_has_ended() {
    let report = analyze("renamed-while-it-closes.log");
    assert!(report.healthy && report.orphans.is_empty(), "{:?} {:?}", report.verdicts, report.orphans);
    assert_eq!((report.ops["Release"].count, report.loss.lone_exits), (2, 0));
    let report = analyze("renamed-above-while-it-closes.log");
    let open: Vec<_> = report.orphans.iter().map(|open| open.path.as_deref().unwrap_or("?")).collect();
    assert_eq!(open, ["day/1/b.mov"], "{:?}", report.verdicts);
    assert_eq!(report.loss.lone_exits, 0);
}

#[test]
fn an_error_of_rclone_that_looks_like_a_request_is_none() {
    let report = analyze("error-in-the-form-of-a-request.log");
    assert!(report.healthy && report.orphans.is_empty(), "{:?} {:?}", report.verdicts, report.orphans);
}
