//! Daemons with a log or a library of their own: unions, archives, object stores, clusters.

use std::{path::PathBuf, process::Command};

use fsdiag::engine::report::{Cause, Confidence, Report};

use super::field::{analyze, case, first, told};

fn sample(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../testdata/formats").join(name)
}

#[test]
fn a_request_of_a_glusterfs_client_waits_for_the_brick_that_it_was_wound_to() {
    let report = analyze(&[sample("glusterfs/brick-stopped.log")]);
    let (cause, confidence, _) = first(&report);
    assert_eq!((cause, confidence), (Cause::UpstreamStall, Confidence::High), "{}", told(&report));
    assert!(told(&report).contains("has waited for the origin for 12.0 s (tv-client-0)"), "{}", told(&report));
    let report = analyze(&[sample("glusterfs/work.log")]);
    assert!(report.healthy, "{}", told(&report));
}

#[test]
fn requests_of_a_library_that_names_no_callers_end_with_error_0() {
    let report = analyze(&[sample("libfuse-debug/ntfs-3g.log")]);
    assert!(report.healthy && report.loss.bad_lines == 0, "{} {:?}", told(&report), report.loss);
    assert_eq!((report.ops["Getattr"].errors, report.ops["Getxattr"].errors), (0, 1));
}

/// What the notes say that a verdict cannot.
fn unsure(report: &Report) -> String {
    report.notes.iter().filter(|note| note.kind == "cannot_tell").map(|note| format!("{}\n", note.text)).collect()
}

#[test]
fn callbacks_without_names_that_are_in_network_code_wait_for_it() {
    for file in ["gdb.txt", "eu-stack.txt"] {
        let report = case("s3fs-silent-store", &[file]);
        assert_eq!(first(&report), (Cause::UpstreamStall, Confidence::Low, String::new()), "{}", told(&report));
        assert_eq!(report.verdicts.len(), 2, "{}", told(&report));
        assert!(told(&report).contains("A callback (thread 15018) is waiting for the network"), "{}", told(&report));
    }
}

#[test]
fn a_log_of_s3fs_tells_of_requests_and_not_of_answers() {
    for name in ["work", "store-silent"] {
        let report = analyze(&[sample(&format!("s3fs/{name}.log"))]);
        assert!(report.healthy && unsure(&report).contains("never of answers"), "{name}: {}", told(&report));
    }
}

#[test]
fn one_request_whose_end_is_told_makes_no_log_healthy_that_tells_no_other_s() {
    for file in ["mountpoint-s3/stalled-read.log", "s3fs/work.log"] {
        let output = Command::new(env!("CARGO_BIN_EXE_fsdiag")).arg("analyze").arg(sample(file)).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.starts_with("cannot tell whether anything hangs") && !text.contains("healthy"), "{file}: {text}");
    }
}

#[test]
fn a_dump_of_a_daemon_that_answers_by_events_shows_no_request() {
    let report = case("glusterfs-brick-stopped", &[]);
    assert!(report.healthy && unsure(&report).contains("an event loop at rest"), "{:?}", report.notes);
}

#[test]
fn a_log_that_ends_as_a_request_begins_may_be_that_of_a_hang() {
    let report = case("fuse-overlayfs-on-a-stalled-mount", &[]);
    assert!(report.healthy, "{}", told(&report));
    let text = "the log ends 0.0 s after Readdirplus #3794 began, without its answer:";
    assert!(unsure(&report).contains(text), "{:?}", report.notes);
}

#[test]
fn a_callback_that_waits_for_a_process_it_has_started_is_told_so() {
    let told_in = |files: &[&str]| told(&case("afuse-mount-command", files));
    let sits = "The only FUSE thread sits in Opendir";
    for file in ["gdb.txt", "eu-stack.txt"] {
        let told = told_in(&[file]);
        assert!(told.contains(sits) && told.contains("waiting for a process that it has started"), "{file}: {told}");
    }
    let report = case("afuse-mount-command", &["afuse.log", "gdb.txt"]);
    assert_eq!(first(&report), (Cause::WorkerStarvation, Confidence::Low, "Opendir /hang".into()), "{}", told(&report));
    assert!(unsure(&case("afuse-mount-command", &["afuse.log"])).contains("after Opendir #16 began"));
}

#[test]
fn the_first_of_its_kind_that_stands_while_others_go_on_may_wait_for_its_storage() {
    // The kernel's stacks beside the log do not make it less.
    for files in [&["bindfs.log"][..], &["bindfs.log", "proc-stacks.txt"]] {
        let report = case("bindfs-on-a-frozen-disk", files);
        assert_eq!(
            first(&report),
            (Cause::UpstreamStall, Confidence::Low, "Setattr /new2".into()),
            "{}",
            told(&report)
        );
    }
}

#[test]
fn a_callback_that_polls_in_the_only_dump_is_not_said_to_be_well() {
    let report = case("ruby-fusefs-nobody-pushes", &[]);
    let text = "a callback stands waiting for a descriptor in the only dump";
    assert!(report.healthy && unsure(&report).contains(text), "{} {:?}", told(&report), report.notes);
}
