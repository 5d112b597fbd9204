//! Acts on a frozen mount: whoever does not read what they say does not stop them half-way.

use std::{
    io::{self, Read as _, Write as _},
    process::{Child, Command, Stdio},
};

use super::victims::{Victim, eventually, is_mounted, program};

/// `fsdiag rescue` on a mount that hangs.
fn rescue(victim: &mut Victim, stdout: impl Into<Stdio>) -> Child {
    let file = victim.mount.join("film.mkv").display().to_string();
    victim.client("stat", &[&file]);
    let mount = victim.mount.to_str().unwrap();
    let mut command = Command::new(program());
    command.args(["rescue", mount, "--yes"]).stdin(Stdio::null()).stdout(stdout).spawn().unwrap()
}

#[test]
fn a_rescue_whose_reader_has_gone_is_done_all_the_same() {
    let Some(mut victim) = Victim::spinning() else { return };
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let code = rescue(&mut victim, writer).wait().unwrap().code();
    assert_eq!((code, is_mounted(&victim.mount)), (Some(0), false));
}

#[test]
fn a_rescue_whose_reader_does_not_read_is_done_before_it_is_said() {
    let Some(mut victim) = Victim::spinning() else { return };
    let (mut reader, mut writer) = io::pipe().unwrap();
    let full = vec![b' '; 64 << 10];
    writer.write_all(&full).unwrap();
    let mut rescue = rescue(&mut victim, writer);
    eventually("the unmount", || !is_mounted(&victim.mount));
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert!(text.trim_end().ends_with("is unmounted"), "{}", text.trim());
    assert!(rescue.wait().unwrap().success());
}
