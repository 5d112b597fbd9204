//! Files that have nothing of a file system: nothing is said of them, least of all that something is healthy.

use std::{fs, process::Command};

const FSDIAG: &str = env!("CARGO_BIN_EXE_fsdiag");

fn repeated(times: usize, line: impl Fn(usize) -> String) -> Vec<u8> {
    (0..times).map(line).collect::<String>().into_bytes()
}

fn clock(n: usize) -> String {
    format!("09:{:02}:{:02}", n / 60 % 60, n % 60)
}

/// Bytes without a sense, and lines that are none, by name.
fn noise() -> Vec<(&'static str, Vec<u8>)> {
    let bytes = |count: usize| (0..count).map(|n| (n * n * 31 % 251) as u8).collect::<Vec<u8>>();
    vec![
        ("empty", Vec::new()),
        ("a line feed", b"\n".to_vec()),
        ("blanks", b"   \n\t\n\n".to_vec()),
        ("zeros", vec![0; 100_000]),
        ("bytes", bytes(300_000)),
        ("one line", vec![b'x'; 3_000_000]),
        ("brackets", vec![b'['; 500_000]),
        ("braces", b"{\"a\":".repeat(30_000)),
        ("braces in lines", b"{\n".repeat(30_000)),
        ("quotes", vec![b'"'; 300_000]),
        ("a picture", [b"\x89PNG\r\n\x1a\n".to_vec(), bytes(50_000)].concat()),
        ("a program", [b"\x7fELF\x02\x01\x01".to_vec(), vec![0; 9], b"\x03\0".to_vec(), bytes(50_000)].concat()),
    ]
}

/// Logs of other programs.
fn logs() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        (
            "requests of a server",
            repeated(3000, |n| {
                format!("10.0.0.{} - - [22/Nov/2026:{} +0000] \"GET /a/{n} HTTP/1.1\" 200 {n}\n", n % 200, clock(n))
            }),
        ),
        (
            "errors of a server",
            repeated(3000, |n| {
                format!(
                    "2026/11/22 {} [error] 12#12: *{n} open() \"/x{n}\" failed (2: No such file or directory)\n",
                    clock(n)
                )
            }),
        ),
        (
            "objects of a server",
            repeated(3000, |n| {
                format!("{{\"time\":\"2026-11-22T{}Z\",\"request\":\"GET /read/{n}\",\"status\":200}}\n", clock(n))
            }),
        ),
        (
            "objects of a logger",
            repeated(3000, |n| {
                format!(
                    "{{\"level\":\"info\",\"time\":\"2026-11-22T{}Z\",\"msg\":\"request {n}: open file\"}}\n",
                    clock(n)
                )
            }),
        ),
        (
            "fields of a logger",
            repeated(3000, |n| format!("time=\"2026-11-22T{}Z\" level=info msg=\"read {n}\"\n", clock(n))),
        ),
        (
            "a log of Java",
            repeated(3000, |n| format!("2026-11-22 {},123 INFO  [main] a.B - read {n} records\n", clock(n))),
        ),
        (
            "a log of a database",
            repeated(3000, |n| format!("2026-11-22 {}.123 UTC [{n}] LOG:  statement: SELECT\n", clock(n))),
        ),
        ("a log, the latest first", repeated(3000, |n| format!("2026-11-22T{}Z handled {n}\n", clock(3599 - n)))),
        (
            "jobs of a machine",
            repeated(3000, |n| format!("Nov 22 {} nas CRON[{n}]: (root) CMD (test -x /x)\n", clock(n))),
        ),
        (
            "a kernel's log",
            repeated(3000, |n| format!("[{n:5}.{n:06}] usb 1-1: new high-speed USB device number {n}\n")),
        ),
        (
            "packets",
            repeated(3000, |n| format!("{}.123456 IP 10.0.0.1.443 > 10.0.0.2.{n}: Flags [P.], length {n}\n", clock(n))),
        ),
    ]
}

/// Tables, sources, pages and the like.
fn texts() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        (
            "a table",
            repeated(
                3000,
                |n| if n == 0 { "id,message,time\n".into() } else { format!("{n},hello {n},{}\n", clock(n)) },
            ),
        ),
        (
            "a table, the latest first",
            repeated(3000, |n| {
                if n == 0 {
                    "timestamp,message,host\n".into()
                } else {
                    format!("2026-11-22T{}Z,\"hi, {n}\",h\n", clock(3599 - n))
                }
            }),
        ),
        ("source", repeated(300, |_| "static int do_getattr(const char *path) { return lstat(path); }\n".into())),
        (
            "a patch",
            repeated(300, |n| format!("--- a/x{n}\n+++ b/x{n}\n@@ -1,2 +1,2 @@\n-old\n+new read(fd)\n same\n")),
        ),
        (
            "a history",
            repeated(300, |n| {
                format!("commit {n:040x}\nDate:   Sun Nov 22 {} 2026 +0000\n\n    fix read\n\n", clock(3599 - n))
            }),
        ),
        ("a page", repeated(300, |_| "<p>text &quot;x&quot;</p>\n".into())),
        ("a manifest", repeated(300, |_| "---\nkind: Pod\nmetadata:\n  name: fuse\n  message: hello\n".into())),
        (
            "a mail",
            repeated(300, |n| if n == 0 { "From: a@b\nSubject: hi\n\n".into() } else { "aGVsbG8gd29ybGQK\n".into() }),
        ),
    ]
}

/// What tools and applications keep.
fn objects() -> Vec<(&'static str, Vec<u8>)> {
    let object = |n: usize| serde_json::json!({"Id": n, "Path": "x", "State": {"Pid": 12}, "log": {"a": 1}});
    let objects: Vec<serde_json::Value> = (0..200).map(object).collect();
    let cell = serde_json::json!({"cells": [{"source": ["import os\n", "print(1)"], "outputs": [{"text": ["a\n"]}]}]});
    let chat = serde_json::json!({"messages": [{"date": "2026-11-22T09:00:00", "message": "open file ENTER"}]});
    vec![
        ("objects of a tool", serde_json::to_vec_pretty(&objects).unwrap()),
        ("a notebook", serde_json::to_vec_pretty(&cell).unwrap()),
        ("a chat", serde_json::to_vec_pretty(&chat).unwrap()),
        ("a list of names", serde_json::to_vec(&(0..9000).map(|n| format!("a{n}")).collect::<Vec<_>>()).unwrap()),
        ("numbers", serde_json::to_vec(&(0..90_000).collect::<Vec<u32>>()).unwrap()),
    ]
}

#[test]
fn nothing_is_said_of_what_has_nothing_of_a_file_system() {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in [noise(), logs(), texts(), objects()].concat() {
        let path = dir.path().join("file");
        fs::write(&path, bytes).unwrap();
        let output = Command::new(FSDIAG).arg("analyze").arg(&path).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(3), "{name}: {text}{}", String::from_utf8_lossy(&output.stderr));
        assert!(text.contains("nothing to judge") && !text.contains("healthy"), "{name}: {text}");
    }
}
