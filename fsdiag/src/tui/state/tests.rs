//! The interface as a user drives it, without a terminal.

use super::*;
use crate::tui::picture::{Operation, Source, Verdict};

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
    state.update(Msg::Data(picture(operations)));
    state
}

fn keys(state: &mut State, actions: &[Action]) -> Vec<Effect> {
    actions.iter().flat_map(|a| state.update(Msg::Key(*a))).collect()
}

fn run_of(word: &str) -> Effect {
    Effect::Act { args: vec![word.into()], input: None }
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
fn what_can_hurt_is_asked_twice_and_needs_the_word() {
    let mut state = state(1);
    let asked = keys(&mut state, &[Action::Screen(8), Action::Down, Action::Details, Action::Details]);
    assert_eq!(asked, [], "nothing is done at the first question");
    type_text(&mut state, "no");
    assert_eq!(state.update(Msg::Entered), []);
    keys(&mut state, &[Action::Details, Action::Details]);
    type_text(&mut state, "yes");
    assert_eq!(state.update(Msg::Entered), [run_of("rescue")]);
}

#[test]
fn what_is_harmless_is_shown_once_before_it_is_done() {
    let mut state = state(1);
    let done = keys(&mut state, &[Action::Screen(8), Action::Details, Action::Details]);
    assert_eq!(done, [run_of("dump")]);
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
fn the_selection_stays_inside_when_rows_go_away() {
    let mut state = state(10);
    keys(&mut state, &[Action::Screen(2), Action::Bottom]);
    assert_eq!(state.list().selected, 9);
    state.update(Msg::Data(picture(2)));
    assert_eq!(state.list().selected, 1);
}

#[test]
fn clicking_a_tab_shows_its_screen_and_clicking_a_row_selects_it() {
    let mut state = state(10);
    keys(&mut state, &[Action::Screen(2)]);
    state.update(Msg::Clicked { column: 5, row: crate::tui::view::FIRST_ROW + 3 });
    assert_eq!(state.list().selected, 3);
    state.update(Msg::Clicked { column: 3, row: crate::tui::view::TABS_ROW });
    assert_eq!(state.screen, Screen::Overview);
}

#[test]
fn a_secret_is_handed_over_as_input_and_shown_nowhere() {
    let mut state = State::new(false);
    let stage = Act { command: vec!["stage".into()], prompt: "URL".into(), secret: true, ..Act::default() };
    state.update(Msg::Data(Box::new(Picture { acts: vec![stage], ..Picture::default() })));
    keys(&mut state, &[Action::Screen(8), Action::Details]);
    type_text(&mut state, "http://h/?CANARY");
    assert_eq!(state.update(Msg::Entered), []);
    let effects = state.update(Msg::Entered);
    assert_eq!(effects, [Effect::Act { args: vec!["stage".into()], input: Some("http://h/?CANARY".into()) }]);
    assert!(!state.message.unwrap().0.contains("CANARY"));
}
