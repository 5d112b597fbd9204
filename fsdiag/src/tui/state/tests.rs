//! The interface as a user drives it, without a terminal.

use super::*;
use crate::tui::picture::{Choice, Operation, Source, Speed, Verdict};

fn picture(operations: usize) -> Box<Picture> {
    let row =
        |n: usize| Operation { id: n.to_string(), op: "Read".into(), path: format!("/f{n}"), ..Default::default() };
    Box::new(Picture {
        source: Source { state: SourceState::Live, ..Source::default() },
        verdict: Some(Verdict { sentence: "Release holds it".into(), ..Verdict::default() }),
        operations: (0..operations).map(row).collect(),
        acts: vec![
            Act { title: "dump".into(), command: vec!["dump".into()], ..Act::default() },
            Act { title: "abort".into(), command: vec!["rescue".into()], hurts: true, ..Act::default() },
        ],
        ..Picture::default()
    })
}

fn state(operations: usize) -> State {
    let mut state = State::new(false);
    state.update(Msg::Resized { width: 80, height: 24 });
    state.update(Msg::Data(picture(operations)));
    state
}

fn keys(state: &mut State, actions: &[Action]) -> Vec<Effect> {
    actions.iter().flat_map(|a| state.update(Msg::Key(*a))).collect()
}

fn run_of(word: &str, sure: bool) -> Effect {
    Effect::Act(Order { act: 1, args: vec![word.into()], input: None, sure })
}

fn preview_of(word: &str) -> Effect {
    Effect::Preview { args: vec![word.into()] }
}

/// The command has said what it would do.
fn previewed(state: &mut State, word: &str, line: &str) {
    state.update(Msg::Previewed { args: vec![word.into()], lines: vec![line.into()] });
}

fn type_text(state: &mut State, text: &str) {
    for c in text.chars() {
        state.update(Msg::Typed(c));
    }
}

#[test]
fn back_closes_the_dialog_then_leaves_the_screen_then_quits() {
    let mut state = state(3);
    assert_eq!(keys(&mut state, &[Action::Screen(2), Action::Help, Action::Back]), []);
    assert_eq!((state.screen, state.dialog.is_none()), (Screen::Operations, true));
    assert_eq!(keys(&mut state, &[Action::Back, Action::Back]), [Effect::Quit]);
}

#[test]
fn a_paused_screen_stands_still_and_shows_the_newest_when_it_goes_on() {
    let mut state = state(1);
    keys(&mut state, &[Action::Pause]);
    state.update(Msg::Data(picture(2)));
    state.update(Msg::Data(picture(5)));
    assert_eq!((state.picture.operations.len(), state.buffered), (1, 2));
    keys(&mut state, &[Action::Pause]);
    assert_eq!((state.picture.operations.len(), state.buffered), (5, 0));
}

#[test]
fn a_paused_recording_still_shows_the_steps_that_are_asked_for() {
    let mut state = state(1);
    let replay = |operations, paused| {
        let mut picture = picture(operations);
        picture.source.state = SourceState::Replay { speed: Speed(10), paused, at_us: 0, length_us: 0 };
        Msg::Data(picture)
    };
    state.update(replay(1, false));
    assert_eq!(keys(&mut state, &[Action::Pause]), [Effect::Pause(true)]);
    state.update(replay(2, true));
    assert_eq!((state.picture.operations.len(), state.paused), (2, true));
    // Looking for a stall pauses by itself, and the same key goes on from there.
    assert_eq!(keys(&mut state, &[Action::NextStall, Action::Pause]), [Effect::NextStall, Effect::Pause(false)]);
}

#[test]
fn what_can_hurt_is_asked_twice_and_needs_the_word() {
    let mut state = state(1);
    let asked = keys(&mut state, &[Action::Screen(8), Action::Down, Action::Details, Action::Details]);
    assert_eq!(asked, [preview_of("rescue")], "nothing is done before it is seen what would be");
    previewed(&mut state, "rescue", "the mount goes");
    assert_eq!(keys(&mut state, &[Action::Details]), [], "nothing is done at the first question");
    type_text(&mut state, "no");
    assert_eq!(state.update(Msg::Entered), []);
    keys(&mut state, &[Action::Details]);
    previewed(&mut state, "rescue", "the mount goes");
    keys(&mut state, &[Action::Details]);
    type_text(&mut state, "yes");
    assert_eq!(state.update(Msg::Entered), [run_of("rescue", true)]);
}

#[test]
fn what_is_harmless_is_shown_once_before_it_is_done_and_says_how_it_went() {
    let mut state = state(1);
    assert_eq!(keys(&mut state, &[Action::Screen(8), Action::Details]), [preview_of("dump")]);
    let lines = vec!["12 threads pause".to_owned()];
    state.update(Msg::Previewed { args: vec!["rescue".into()], lines: vec!["of another act".into()] });
    state.update(Msg::Previewed { args: vec!["dump".into()], lines: lines.clone() });
    assert!(matches!(&state.dialog, Some(Dialog::Confirm { shown, .. }) if *shown == lines));
    assert_eq!(keys(&mut state, &[Action::Details]), [run_of("dump", false)]);
    state.update(Msg::Said { act: 1, line: "thread 1".into() });
    state.update(Msg::Acted { act: 1, text: "written".into(), ok: true });
    assert!(matches!(&state.dialog, Some(Dialog::Running { lines, ok: Some(true), .. }) if lines == &["thread 1"]));
}

#[test]
fn an_act_that_runs_is_not_done_because_one_before_it_is() {
    let mut state = state(1);
    let dump = |state: &mut State| {
        keys(state, &[Action::Screen(8), Action::Details]);
        previewed(state, "dump", "12 threads pause");
        keys(state, &[Action::Details])
    };
    dump(&mut state);
    keys(&mut state, &[Action::Back]);
    let Some(Effect::Act(second)) = dump(&mut state).pop() else { panic!("{:?}", state.dialog) };
    state.update(Msg::Said { act: 1, line: "of the first".into() });
    state.update(Msg::Acted { act: 1, text: "the first is done".into(), ok: true });
    assert!(matches!(&state.dialog, Some(Dialog::Running { lines, ok: None, .. }) if lines.is_empty()));
    assert_eq!(state.message, Some(("the first is done".into(), true)));
    state.update(Msg::Acted { act: second.act, text: "no right".into(), ok: false });
    assert!(matches!(&state.dialog, Some(Dialog::Running { ok: Some(false), .. })));
}

#[test]
fn what_turns_out_to_hurt_is_asked_twice_too() {
    let mut state = state(1);
    keys(&mut state, &[Action::Screen(8), Action::Details]);
    previewed(&mut state, "dump", "! clients get errors");
    assert_eq!(keys(&mut state, &[Action::Details]), []);
    assert!(matches!(&state.dialog, Some(Dialog::Sure { .. })), "{:?}", state.dialog);
}

#[test]
fn read_only_offers_no_acts() {
    let mut state = State::new(true);
    state.update(Msg::Data(picture(1)));
    assert_eq!(keys(&mut state, &[Action::Screen(8), Action::Details]), []);
    assert!(state.dialog.is_none() && state.acts().is_empty());
}

#[test]
fn search_walks_over_the_matches_and_says_when_there_are_none() {
    let mut state = state(12);
    keys(&mut state, &[Action::Screen(2), Action::Search]);
    type_text(&mut state, "/f1");
    state.update(Msg::Entered);
    assert_eq!(state.list().selected, 1);
    keys(&mut state, &[Action::NextMatch]);
    assert_eq!(state.list().selected, 10);
    keys(&mut state, &[Action::PreviousMatch, Action::Search]);
    assert_eq!(state.list().selected, 1);
    type_text(&mut state, "zzz");
    state.update(Msg::Entered);
    assert!(state.message.is_some());
}

#[test]
fn with_a_filter_the_selected_row_is_the_one_that_is_seen() {
    let mut state = state(12);
    keys(&mut state, &[Action::Screen(2), Action::Search]);
    type_text(&mut state, "/f1");
    state.update(Msg::Entered);
    keys(&mut state, &[Action::Filter, Action::Down]);
    assert_eq!(state.visible(), [1, 10, 11]);
    assert_eq!(state.selected(), Some(10), "not the second of all");
    keys(&mut state, &[Action::Filter]);
    assert_eq!(state.selected(), Some(10), "it stays selected without the filter");
}

#[test]
fn the_selection_stays_inside_when_rows_go_away_and_with_its_row_when_rows_move() {
    let mut state = state(10);
    keys(&mut state, &[Action::Screen(2), Action::Bottom]);
    assert_eq!(state.list().selected, 9);
    let mut turned = picture(10);
    turned.operations.reverse();
    state.update(Msg::Data(turned));
    assert_eq!(
        (state.list().selected, state.selected().map(|at| state.picture.operations[at].id.clone())),
        (0, Some("9".into()))
    );
    state.update(Msg::Data(picture(2)));
    assert_eq!(state.list().selected, 0);
}

#[test]
fn clicking_a_tab_shows_its_screen_a_row_selects_it_and_again_opens_it() {
    let mut state = state(10);
    keys(&mut state, &[Action::Screen(2)]);
    let frame = frame::Frame::of(&state);
    let row = Msg::Clicked { column: 5, row: frame.body.0 + 1 + 3 };
    state.update(row.clone());
    assert_eq!((state.list().selected, state.dialog.is_none()), (3, true));
    state.update(row);
    assert_eq!(state.dialog, Some(Dialog::Row { top: 0 }));
    state.update(Msg::Clicked { column: 0, row: 20 });
    assert_eq!(state.dialog, None, "a click beside closes it");
    state.update(Msg::Clicked { column: 3, row: 1 });
    assert_eq!(state.dialog, Some(Dialog::Evidence { top: 0 }));
    keys(&mut state, &[Action::Back]);
    state.update(Msg::Clicked { column: 3, row: frame.tabs });
    assert_eq!(state.screen, Screen::Overview);
}

#[test]
fn among_several_mounts_one_is_chosen_and_left_again() {
    let mut state = State::new(false);
    let mounts = ["/a", "/b"].map(|mount| Choice { mount: mount.into(), ..Choice::default() });
    let source = Source { state: SourceState::Choosing, ..Source::default() };
    let list = Picture { source, mounts: mounts.into(), ..Picture::default() };
    state.update(Msg::Data(Box::new(list)));
    assert_eq!(keys(&mut state, &[Action::Down, Action::Details]), [Effect::Open("/b".into())]);
    state.update(Msg::Data(picture(1)));
    assert!(!state.choosing());
    assert_eq!(keys(&mut state, &[Action::Mounts]), [Effect::Choose]);
}

#[test]
fn a_secret_is_handed_over_as_input_and_shown_nowhere() {
    let mut state = State::new(false);
    let stage = Act { command: vec!["stage".into()], prompt: "URL".into(), secret: true, ..Act::default() };
    state.update(Msg::Data(Box::new(Picture { acts: vec![stage], ..Picture::default() })));
    keys(&mut state, &[Action::Screen(8), Action::Details]);
    type_text(&mut state, "http://h/?CANARY");
    assert_eq!(state.update(Msg::Entered), [preview_of("stage")]);
    previewed(&mut state, "stage", "it would be shown");
    let effects = state.update(Msg::Entered);
    let input = Some("http://h/?CANARY".into());
    assert_eq!(effects, [Effect::Act(Order { act: 1, args: vec!["stage".into()], input, sure: false })]);
    assert!(!format!("{:?}", state.dialog).contains("CANARY") && state.message.is_none());
}
