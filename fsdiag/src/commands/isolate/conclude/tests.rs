//! The table of what runs can say.

use super::*;

const NONE: Tally = Tally { hung: 0, clean: 0, unclear: 0 };

fn hung(hung: u32) -> Tally {
    Tally { hung, ..NONE }
}

fn clean(clean: u32) -> Tally {
    Tally { clean, ..NONE }
}

fn mixed(hung: u32, clean: u32) -> Tally {
    Tally { hung, clean, unclear: 0 }
}

#[test]
fn each_pattern_of_runs_has_its_finding() {
    let rows = [
        ([hung(5), clean(5), hung(5), clean(5)], Finding::ClosePath, Some(Confidence::High)),
        ([hung(5), clean(5), mixed(3, 2), clean(5)], Finding::ClosePath, Some(Confidence::High)),
        ([hung(5), clean(5), NONE, NONE], Finding::ClosePath, Some(Confidence::High)),
        ([hung(2), clean(2), hung(2), clean(2)], Finding::ClosePath, Some(Confidence::Medium)),
        ([hung(1), clean(1), hung(1), clean(1)], Finding::ClosePath, Some(Confidence::Low)),
        ([mixed(1, 4), clean(5), hung(5), clean(5)], Finding::ClosePath, Some(Confidence::Low)),
        ([hung(5), clean(5), clean(5), clean(5)], Finding::ClosePathConcurrency, Some(Confidence::High)),
        ([hung(5), hung(5), clean(5), clean(5)], Finding::Concurrency, Some(Confidence::High)),
        ([hung(5), hung(5), hung(5), hung(5)], Finding::Elsewhere, Some(Confidence::High)),
        ([hung(5), hung(5), hung(5), NONE], Finding::Elsewhere, Some(Confidence::High)),
        ([hung(5), hung(5), hung(5), clean(5)], Finding::OnlyWithBoth, Some(Confidence::High)),
        ([clean(5), NONE, NONE, NONE], Finding::NotReproduced, None),
        ([hung(5), mixed(2, 3), hung(5), clean(5)], Finding::Disagree, None),
        ([hung(5), hung(5), mixed(2, 3), clean(5)], Finding::Disagree, None),
        // Gone with one flag and there with both: one of the two is chance.
        ([hung(5), clean(5), hung(5), hung(5)], Finding::Disagree, None),
        ([hung(5), hung(5), clean(5), mixed(1, 4)], Finding::Disagree, None),
        ([hung(5), NONE, hung(5), NONE], Finding::Incomplete, None),
        ([hung(5), hung(5), NONE, NONE], Finding::Incomplete, None),
        ([NONE, NONE, NONE, NONE], Finding::Incomplete, None),
    ];
    for (tallies, finding, confidence) in rows {
        let concluded = conclude(tallies);
        assert_eq!((concluded.finding, concluded.confidence), (finding, confidence), "{tallies:?}: {concluded:?}");
    }
}

#[test]
fn the_sentence_says_where_and_in_how_many_runs() {
    let said = |tallies| conclude(tallies).sentence;
    assert_eq!(
        said([hung(5), clean(5), hung(5), clean(5)]),
        "The hang is in the close path: it disappears with debug_skip_eviction in 5 of 5 runs and stays with \
         debug_fskit_single_thread (5 of 5 runs)."
    );
    assert!(said([clean(3), NONE, NONE, NONE]).contains("did not hang in 3 of 3 runs"));
    assert!(said([hung(5), NONE, hung(5), NONE]).contains("debug_skip_eviction could not be tried"));
    let unclear = Tally { clean: 4, unclear: 1, ..NONE };
    assert!(said([hung(5), unclear, hung(5), clean(5)]).contains("4 of 4 runs, 1 unclear"));
}
