//! The others, asked the same question; those that are not installed are left out and named.

use std::{
    fs, io,
    path::Path,
    process::{Command, Stdio},
};

use super::measure::Task;

const JQ: &str = r#"reduce inputs as $e ({}; if $e.ev == "enter" then .[$e.id | tostring] = $e.op
    elif $e.ev == "exit" then del(.[$e.id | tostring]) else . end)"#;
const SQL: &str = ";SELECT id, op FROM fsd_log GROUP BY id HAVING sum(ev = 'enter') > sum(ev = 'exit')";
const FORMAT: &str = r#"{"$schema": "https://lnav.org/schemas/format-v1.schema.json", "fsd_log": {
    "title": "fsd", "description": "events of fsd", "json": true, "hide-extra": true,
    "timestamp-field": "ts", "body-field": "mount_run", "line-format": [{"field": "ts"}, " ", {"field": "ev"}],
    "value": {"ev": {"kind": "string"}, "id": {"kind": "integer"}, "op": {"kind": "string"}}}}"#;

/// jq and lnav read a part of the file: their speed does not grow with it.
pub(crate) fn tasks(dir: &Path, whole: &Path, size: u64, part: &Path, part_size: u64) -> io::Result<Vec<Task>> {
    fs::create_dir_all(dir.join("lnav/formats/fsd"))?;
    fs::write(dir.join("lnav/formats/fsd/fsd.json"), FORMAT)?;
    let text = |path: &Path| path.display().to_string();
    let (settings, whole, part) = (text(&dir.join("lnav")), text(whole), text(part));
    let all = [
        ("jq", Task::new("jq", &["jq", "-n", JQ, &part], part_size)),
        ("lnav", Task::new("lnav, SQL", &["lnav", "-I", &settings, "-n", "-c", SQL, &part], part_size)),
        ("rg", Task::new("rg -c, a literal", &["rg", "-c", "\"ev\":\"enter\"", &whole], size)),
    ];
    let there = |name: &str| {
        let found = Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
        if !found {
            println!("SKIP {name} (not installed)");
        }
        found
    };
    Ok(all.into_iter().filter(|(name, _)| there(name)).map(|(_, task)| task).collect())
}
