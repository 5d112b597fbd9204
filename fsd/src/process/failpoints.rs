//! Fail points: bugs on purpose, for tests and the demo; a build for users refuses them.

use super::exit::Failure;

/// What arms fail points from outside; `fail` reads it by itself.
#[cfg(not(feature = "failpoints"))]
const VARIABLE: &str = "FAILPOINTS";

/// Keeps the fail points armed while it lives.
#[cfg(feature = "failpoints")]
pub(super) struct Armed(#[expect(dead_code, reason = "disarms when dropped")] fail::FailScenario<'static>);

#[cfg(not(feature = "failpoints"))]
pub(super) struct Armed;

/// Arms what `FAILPOINTS` and `--failpoint` name.
///
/// # Errors
/// Something that is no fail point setting.
#[cfg(feature = "failpoints")]
pub(super) fn arm(given: &[String]) -> Result<Armed, Failure> {
    use super::exit::Exit;
    let armed = Armed(fail::FailScenario::setup());
    for setting in given {
        let (name, actions) = setting
            .split_once('=')
            .ok_or_else(|| Exit::Usage.because(format!("--failpoint {setting}: write NAME=ACTIONS")))?;
        fail::cfg(name, actions).map_err(|why| Exit::Usage.because(format!("--failpoint {setting}: {why}")))?;
    }
    Ok(armed)
}

/// Refuses every fail point: this build has none.
///
/// # Errors
/// When any is asked for.
#[cfg(not(feature = "failpoints"))]
pub(super) fn arm(given: &[String]) -> Result<Armed, Failure> {
    use super::exit::Exit;
    let named = given.first().cloned().or_else(|| std::env::var(VARIABLE).ok().filter(|text| !text.is_empty()));
    match named {
        None => Ok(Armed),
        Some(setting) => Err(Exit::Usage.because(format!(
            "fail point `{setting}` refused: this fsd serves users and has no bugs on purpose; \
             build one with --features failpoints, or unset {VARIABLE}"
        ))),
    }
}
