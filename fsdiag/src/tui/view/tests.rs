//! Every screen in every state, as a terminal shows it, at the classic and at a wide size.

use ratatui::{Terminal, backend::TestBackend};

use super::*;
use std::sync::Arc;

use fsd_events::op::Op;

use crate::engine::report::OpSummary;
use crate::tui::{
    keys::Action,
    picture::{
        Act, Choice, EventLine, Lane, LaneSpan, Latency, Lock, LockWaiter, Moved, Operation, Picture, Rank, Source,
        SourceState, Speed, StackGroup, Verdict,
    },
    state::Msg,
    view::theme::{Palette, Theme},
};

/// The smallest, the classic, and a wide one.
const SIZES: [(u16, u16); 3] = [(60, 15), (80, 24), (140, 40)];

fn operation(rank: Rank, op: &str, id: u64, age_us: u64, depth: u16, waits: &str) -> Operation {
    let path = format!("/Staged/a/{}.mkv", op.to_lowercase());
    let thread = format!("fuser-{}", id % 4);
    Operation {
        id: id.to_string(),
        daemon: String::new(),
        op: op.into(),
        rank,
        age_us,
        thread,
        path,
        waits: waits.into(),
        depth,
        place: format!("events.jsonl:{}", 8800 + id),
    }
}

fn event(line: u64, text: &str, loud: bool) -> Arc<EventLine> {
    Arc::new(EventLine { line, text: text.into(), loud })
}

fn waiter(name: &str, us: u64) -> LockWaiter {
    LockWaiter { name: name.into(), us: Some(us) }
}

fn source(state: SourceState) -> Source {
    Source {
        title: "/mnt/films".into(),
        state,
        pid: Some(4711),
        now_us: 90_000_000,
        lag_ms: 12,
        events_per_s: 1_234,
        workers: Some((1, 4)),
        kernel_waiting: Some(0),
        ..Source::default()
    }
}

fn healthy() -> Picture {
    Picture {
        source: source(SourceState::Live),
        operations: vec![operation(Rank::Normal, "Read", 77, 41_000, 0, "")],
        inflight: vec![1, 2, 1, 3, 1],
        completed: vec![900, 1200, 1100, 1300, 1234],
        latency: vec![Latency {
            op: "Read".into(),
            summary: OpSummary {
                count: 40_122,
                errors: 2,
                p50_us: Some(45),
                p90_us: Some(210),
                p99_us: Some(2_100),
                max_us: Some(8_000_000),
                resolution_us: 1,
            },
            buckets: vec![0, 0, 0, 9, 50, 200, 90, 40, 20, 10, 5, 1],
            heat: vec![
                [0, 9, 1, 0, 0, 0, 0],
                [0; 7],
                [3, 120, 12, 0, 0, 0, 0],
                [0, 4, 0, 1, 0, 0, 0],
                [0, 0, 0, 0, 0, 1, 0],
            ],
        }],
        lanes: vec![Lane {
            worker: "fuser-0".into(),
            spans: vec![LaneSpan { start_us: 82_000_000, end_us: Some(88_000_000), op: Op::Read }],
        }],
        events: vec![event(12, "enter Read id=77 /films/a.mkv", false)],
        ..Picture::default()
    }
}

fn stalled() -> Picture {
    let mut picture = healthy();
    picture.source.workers = Some((4, 4));
    picture.source.kernel_waiting = Some(21);
    picture.verdict = Some(Verdict {
        cause: "lock_pileup".into(),
        confidence: "certain".into(),
        sentence: "Release #456 has held lock `handles` (write) for 34.2 s while closing a store; 3 operations wait \
                   behind it (2 Getattr, 1 Readdir), and 17 requests that the daemon has not read."
            .into(),
        culprit: "Release(id=456, fuser-3)".into(),
        age_s: Some(34.2),
        waiters: 3,
        evidence: vec!["events.jsonl:8801 lock hold handles by 456".into()],
        advice: vec!["restart with debug_skip_eviction: if the hang stops, the close path is guilty".into()],
        recovered: false,
    });
    picture.operations = vec![
        operation(Rank::Culprit, "Release", 456, 34_200_000, 0, "close task 12"),
        operation(Rank::Victim, "Getattr", 457, 33_000_000, 1, "lock handles, held by Release 456"),
        operation(Rank::Victim, "Getattr", 458, 31_500_000, 1, "lock handles, held by Release 456"),
        operation(Rank::Victim, "Readdir", 459, 30_100_000, 1, "lock handles, held by Release 456"),
    ];
    picture.locks = vec![Lock {
        name: "handles".into(),
        kind: "rwlock".into(),
        holder: "Release 456 (write)".into(),
        held_us: Some(34_200_000),
        then: "bytes 0..4096 of download 12".into(),
        waiters: vec![
            waiter("Getattr 457", 33_000_000),
            waiter("Getattr 458", 31_500_000),
            waiter("Readdir 459", 30_100_000),
        ],
    }];
    picture.stacks = vec![StackGroup {
        threads: vec!["fuser-3".into()],
        state: "futex".into(),
        moved: Moved::Same,
        frames: vec!["wait_for_downloader".into(), "Store::close".into(), "Handles::detach".into()],
        waits: "download 12".into(),
    }];
    picture.lanes.push(Lane {
        worker: "fuser-3".into(),
        spans: vec![LaneSpan { start_us: 55_800_000, end_us: None, op: Op::Release }],
    });
    picture.stalls = vec![(65_800_000, None)];
    picture.events.push(event(8_990, "stall ops=[456 Release 34.2s]", true));
    picture.acts = vec![
        Act {
            title: "dump all stacks now".into(),
            command: vec!["dump".into(), "/mnt/films".into()],
            ..Act::default()
        },
        Act {
            title: "abort the connection and unmount".into(),
            command: vec!["rescue".into(), "/mnt/films".into()],
            preview: vec!["abort the connection: every waiting client gets ENOTCONN".into(), "unmount".into()],
            hurts: true,
            ..Act::default()
        },
    ];
    picture
}

fn with_source(state: SourceState) -> Picture {
    Picture { source: source(state), ..Picture::default() }
}

fn screen(picture: Picture, keys: &[Action], size: (u16, u16)) -> String {
    drawn(&shown(picture, keys, size), size)
}

fn shown(picture: Picture, keys: &[Action], size: (u16, u16)) -> State {
    let mut state = State::new(false);
    state.update(Msg::Resized { width: size.0, height: size.1 });
    state.update(Msg::Data(Box::new(picture)));
    for key in keys {
        state.update(Msg::Key(*key));
    }
    state
}

fn drawn(state: &State, size: (u16, u16)) -> String {
    let theme = Theme { palette: Palette::None, ascii: false };
    let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
    terminal.draw(|frame| draw(state, &Keymap::default(), &theme, frame)).unwrap();
    terminal.backend().to_string()
}

fn check(name: &str, picture: &Picture, keys: &[Action]) {
    for size in SIZES {
        insta::assert_snapshot!(format!("{name}_{}x{}", size.0, size.1), screen(picture.clone(), keys, size));
    }
}

#[test]
fn every_screen_of_a_stalled_mount() {
    for screen in Screen::ALL {
        let key = Action::Screen(screen.index() as u8 + 1);
        check(&format!("stalled_{}", screen.title().to_lowercase()), &stalled(), &[key]);
    }
}

#[test]
fn every_screen_of_a_healthy_mount() {
    for screen in Screen::ALL {
        let key = Action::Screen(screen.index() as u8 + 1);
        check(&format!("healthy_{}", screen.title().to_lowercase()), &healthy(), &[key]);
    }
}

#[test]
fn what_enter_and_help_open() {
    check("evidence", &stalled(), &[Action::Details]);
    check("help", &stalled(), &[Action::Help]);
    check("operation", &stalled(), &[Action::Screen(2), Action::Details]);
    check("confirm", &stalled(), &[Action::Screen(8), Action::Down, Action::Details]);
    for size in SIZES {
        let mut state = shown(stalled(), &[Action::Screen(8), Action::Down, Action::Details], size);
        let lines = vec!["/mnt/films (fuse.fsd): fsd (pid 4711), 21 requests waiting".to_owned()];
        state.update(Msg::Previewed { args: stalled().acts[1].command.clone(), lines });
        state.update(Msg::Key(Action::Details));
        insta::assert_snapshot!(format!("confirm_twice_{}x{}", size.0, size.1), drawn(&state, size));
    }
}

#[test]
fn every_state_of_the_source() {
    check("empty", &with_source(SourceState::Empty), &[]);
    check("loading", &with_source(SourceState::Loading { done: 2_500_000_000, total: 10_000_000_000 }), &[]);
    let failed = SourceState::Failed { what: "events.jsonl: permission denied".into(), next: "Run it as root.".into() };
    check("error", &with_source(failed), &[]);
    let why = "the daemon (pid 4711) does not answer".to_owned();
    check("reconnecting", &with_source(SourceState::Reconnecting { in_s: 2, why: why.clone() }), &[]);
    check("gone", &with_source(SourceState::Gone { why }), &[]);
    check("paused", &stalled(), &[Action::Pause]);
    let mut recovered = stalled();
    recovered.verdict.iter_mut().for_each(|v| v.recovered = true);
    check("recovered", &recovered, &[]);
    let mut partial = healthy();
    (partial.source.lost, partial.source.bad_lines) = (1_500, 3);
    check("partial", &partial, &[]);
    let mut replay = stalled();
    replay.source.state =
        SourceState::Replay { speed: Speed(5), paused: true, at_us: 90_000_000, length_us: 120_000_000 };
    check("replay", &replay, &[]);
}

#[test]
fn who_may_see_nothing_of_a_mount_is_not_told_that_it_is_well() {
    let mut blind = with_source(SourceState::Live);
    blind.source.untold = Some("run as root");
    let shown = screen(blind, &[], (80, 24));
    assert!(shown.contains("~ cannot tell whether anything hangs: run as root"), "{shown}");
}

#[test]
fn the_list_of_mounts() {
    let row = |mount: &str, kind: &str, daemon: &str, waiting, sick| Choice {
        mount: mount.into(),
        kind: kind.into(),
        daemon: daemon.into(),
        waiting,
        oldest: if sick { "Release".into() } else { String::new() },
        oldest_us: sick.then_some(34_200_000),
        health: if sick { "STALLED".into() } else { "ok".into() },
        sick,
        unknown: false,
    };
    let mounts = vec![
        row("/mnt/films", "fuse.fsd", "fsd-worker 4711", Some(21), true),
        row("/mnt/archive", "fuse.rclone", "rclone 99", Some(0), false),
        row("/run/user/1000/doc", "fuse.portal", "", None, false),
    ];
    check("mounts", &Picture { mounts, ..with_source(SourceState::Choosing) }, &[Action::Down]);
    let unknown =
        Choice { health: "unknown".into(), unknown: true, ..row("/mnt/films", "fuse.sshfs", "", None, false) };
    let mounts = vec![row("/mnt/archive", "fuse.rclone", "rclone 99", Some(0), false), unknown];
    check("mounts_untold", &Picture { mounts, ..with_source(SourceState::Choosing) }, &[]);
    check("mounts_none", &with_source(SourceState::Choosing), &[]);
}

#[test]
fn an_act_that_runs_and_one_that_has_ended() {
    for size in SIZES {
        let mut state = shown(stalled(), &[Action::Screen(8), Action::Details], size);
        let lines = vec!["process 4711 (fsd-worker) has 12 threads".to_owned()];
        state.update(Msg::Previewed { args: stalled().acts[0].command.clone(), lines });
        insta::assert_snapshot!(format!("act_previewed_{}x{}", size.0, size.1), drawn(&state, size));
        state.update(Msg::Key(Action::Details));
        state.update(Msg::Said { act: 1, line: "12 threads paused".into() });
        insta::assert_snapshot!(format!("act_runs_{}x{}", size.0, size.1), drawn(&state, size));
        state.update(Msg::Acted { act: 1, text: "no right to trace it".into(), ok: false });
        insta::assert_snapshot!(format!("act_failed_{}x{}", size.0, size.1), drawn(&state, size));
    }
}

#[test]
fn search_and_filter_say_what_they_show() {
    for size in SIZES {
        let mut state = shown(stalled(), &[Action::Screen(7), Action::Search], size);
        "getattr".chars().for_each(|c| drop(state.update(Msg::Typed(c))));
        insta::assert_snapshot!(format!("search_{}x{}", size.0, size.1), drawn(&state, size));
        state.update(Msg::Entered);
        state.update(Msg::Key(Action::Filter));
        insta::assert_snapshot!(format!("filter_{}x{}", size.0, size.1), drawn(&state, size));
    }
}

#[test]
fn nothing_outside_ascii_is_drawn_where_the_locale_has_no_more() {
    let theme = Theme { palette: Palette::None, ascii: true };
    for number in 1..=8 {
        for keys in [&[Action::Screen(number)][..], &[Action::Screen(number), Action::Details]] {
            let state = shown(stalled(), keys, (80, 24));
            let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
            terminal.draw(|frame| draw(&state, &Keymap::default(), &theme, frame)).unwrap();
            let text = terminal.backend().to_string();
            assert!(text.is_ascii(), "{text}");
        }
    }
}

#[test]
fn colours_are_as_many_as_there_are_and_letters_say_the_same() {
    let colours = |palette| {
        let state = shown(stalled(), &[], (80, 24));
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
        let theme = Theme { palette, ascii: false };
        terminal.draw(|frame| draw(&state, &Keymap::default(), &theme, frame)).unwrap();
        let colours: std::collections::HashSet<_> =
            terminal.backend().buffer().content().iter().map(|cell| format!("{:?}", cell.fg)).collect();
        (terminal.backend().to_string(), colours)
    };
    let (none, sixteen, many) = (colours(Palette::None), colours(Palette::Sixteen), colours(Palette::Many));
    assert_eq!(none.1.len(), 1, "{:?}", none.1);
    assert!(sixteen.1.len() > 3 && sixteen.1.iter().all(|c| !c.contains("Indexed")), "{:?}", sixteen.1);
    assert!(many.1.len() > 3 && many.1.iter().any(|c| c.contains("Indexed")), "{:?}", many.1);
    assert!(none.0 == sixteen.0 && none.0 == many.0, "the text does not depend on colours");
}

#[test]
fn a_terminal_that_is_too_small_still_says_the_verdict() {
    for size in [(40, 10), (59, 15), (60, 14)] {
        let shown = screen(stalled(), &[], size);
        assert!(shown.contains("Release #456") && shown.contains("need 60x15"), "{shown}");
        insta::assert_snapshot!(format!("too_small_{}x{}", size.0, size.1), shown);
    }
}

#[test]
fn any_size_can_be_drawn() {
    for (width, height) in [(1, 1), (60, 15), (61, 16), (300, 100), (60, 14)] {
        for screen_no in 1..=8 {
            screen(stalled(), &[Action::Screen(screen_no)], (width, height));
        }
    }
}

#[test]
fn plain_text_holds_what_the_screens_hold() {
    let mut state = State::new(false);
    state.update(Msg::Data(Box::new(stalled())));
    let text = crate::tui::plain::text(&state, 100);
    for word in ["Release #456", "handles", "NOT MOVED", "== Timeline ==", "stall ops", "debug_skip_eviction"] {
        assert!(text.contains(word), "{word} is missing in\n{text}");
    }
    assert!(text.is_ascii(), "plain text stays within ASCII");
}
