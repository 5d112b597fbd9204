//! Salvage: what a cut or garbled event of fsd still tells (rule R7).

use fsd_events::ids::RunId;

use super::scan;
use crate::engine::fact::Remains;

/// None: not even run and number are left.
pub(super) fn event(text: &str) -> Option<Remains> {
    let run = RunId::parse(scan::between(text, "\"run\":\"", '"')?)?;
    let seq = whole(text, "\"seq\":")?;
    let exit = scan::has(text, "\"ev\":\"exit\"").then(|| whole(text, "\"id\":")).flatten();
    Some(Remains { run, seq, exit })
}

/// A number that is not cut: something follows it.
fn whole(text: &str, key: &str) -> Option<u64> {
    let (number, rest) = scan::num(scan::after(text, key)?)?;
    rest.starts_with([',', '}']).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXIT: &str = r#"{"run":"c5fdbc52ea72c919","mount_run":"23f7cf73e24282e5","seq":49,"ts":"2026-11-24T01:53:20.997232Z","mono_us":16479527674,"ev":"exit","id":24,"op":"Read","us":404"#;

    #[test]
    fn an_exit_is_known_by_its_run_number_and_id() {
        let run = RunId(0xc5fd_bc52_ea72_c919);
        assert_eq!(event(EXIT), Some(Remains { run, seq: 49, exit: Some(24) }));
        let cut = &EXIT[..EXIT.find("24,\"op\"").unwrap() + 2];
        assert_eq!(event(cut), Some(Remains { run, seq: 49, exit: None }), "2 may be the beginning of 24");
    }

    #[test]
    fn no_other_event_ends_anything() {
        let enter = EXIT.replace("exit", "enter");
        assert_eq!(event(&enter).and_then(|remains| remains.exit), None);
        assert_eq!(event("{\"run\":\"c5fdbc52ea72c919\",\"mount"), None);
    }
}
