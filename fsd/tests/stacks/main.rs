//! Stack dumps of a real process in trouble: 64 threads, malloc locked, a thread in state D, as any user.
//!
//! Each scenario is a process of its own, started from here: its allocator is gated and its threads are signalled.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![expect(clippy::print_stdout, reason = "there is no harness, so the results are printed here")]

mod crowd;
mod figures;
mod gate;
mod late;
mod load;
mod scenarios;

use std::{env, panic, process::ExitCode};

#[global_allocator]
static GATE: gate::Gate = gate::Gate;

/// Name, what the process started for it does, and what its dump must show.
const SCENARIOS: &[(&str, fn())] = &[
    ("malloc_is_locked_and_one_thread_is_in_state_d", scenarios::malloc_locked),
    ("procfs_alone_sees_the_same_stacks", scenarios::procfs_alone),
    ("a_plain_user_sees_the_same", scenarios::plain_user),
    ("a_stripped_binary_is_named_afterwards_by_its_build_id", scenarios::stripped),
    ("a_signal_that_comes_late_changes_nothing", scenarios::late_signal),
    ("a_deep_stack_keeps_both_ends", scenarios::deep),
    ("a_library_that_was_loaded_late_is_known", scenarios::library),
    ("a_second_dump_at_once_is_refused_and_old_files_go", scenarios::limits),
];

/// Measures so many times, and prints what it found.
type Measure = fn(Option<usize>);

const MEASURES: &[(&str, Measure)] = &[("--figures", figures::print), ("--load", load::print)];

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    if args.first().is_some_and(|arg| arg == "crowd") {
        crowd::run(&args[1..]);
        return ExitCode::SUCCESS;
    }
    for (word, print) in MEASURES {
        if let Some(at) = args.iter().position(|arg| arg == word) {
            print(args.get(at + 1).and_then(|count| count.parse().ok()));
            return ExitCode::SUCCESS;
        }
    }
    if args.iter().any(|arg| arg == "--list") {
        SCENARIOS.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let wanted: Vec<&String> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
    let chosen = SCENARIOS.iter().filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|w| name.contains(*w)));
    let mut failed = 0;
    for (name, scenario) in chosen {
        let ok = panic::catch_unwind(scenario).is_ok();
        println!("test {name} ... {}", if ok { "ok" } else { "FAILED" });
        failed += usize::from(!ok);
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
