//! Daemons with a log or a library of their own: unions, archives, object stores, clusters.

use std::path::PathBuf;

use fsdiag::engine::report::{Cause, Confidence};

use super::field::{analyze, first, told};

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
