//! The build that serves users: it has no bugs on purpose, and says so when it is asked for one.

#![cfg(not(feature = "failpoints"))]
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::process::Command;

fn refused(command: &mut Command, word: &str) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains(word) && said.contains("failpoints"), "{said}");
}

fn fsd() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fsd"));
    command.env("HOME", "/nonexistent").env_remove("XDG_CONFIG_HOME").env_remove("FAILPOINTS");
    command
}

#[test]
fn fail_points_are_refused() {
    refused(fsd().args(["mount", "--failpoint", "release::close_under_lock=return", "/a", "/b"]), "refused");
    refused(fsd().args(["mount", "/a", "/b"]).env("FAILPOINTS", "release::close_under_lock=return"), "refused");
    refused(fsd().arg("demo"), "demo");
}
