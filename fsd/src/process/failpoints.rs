//! Fail points: bugs on purpose, for tests and the demo; a build for users refuses them.

use super::exit::Failure;

/// What arms fail points from outside; `fail` reads it by itself.
#[cfg(not(feature = "failpoints"))]
const VARIABLE: &str = "FAILPOINTS";

/// Marks a bug that a new worker has too; others are gone with the worker they were given to.
const EVERY: &str = "every:";

/// What a worker is given of `given`: the first everything, a later one what is in every worker.
pub(super) fn of_worker(given: &[String], first: bool) -> Vec<String> {
    given.iter().filter(|setting| first || setting.starts_with(EVERY)).cloned().collect()
}

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
        let setting = setting.strip_prefix(EVERY).unwrap_or(setting);
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

#[cfg(test)]
mod tests {
    use super::of_worker;

    #[test]
    fn a_later_worker_has_only_the_bugs_of_every_worker() {
        let given = ["once=return".to_owned(), "every:always=return".to_owned()];
        assert_eq!(of_worker(&given, true), given);
        assert_eq!(of_worker(&given, false), given[1..]);
    }
}
