//! Words: which of many words stand in a text, found in one pass.

use aho_corasick::{
    Anchored,
    automaton::{Automaton as _, StateID},
    dfa::DFA,
};

/// An automaton that steps once for each byte, however many words it looks for.
pub(super) struct Words {
    automaton: DFA,
    begin: StateID,
}

impl Words {
    pub(super) fn new(words: &[&str]) -> Self {
        Self::with(words, false)
    }

    /// The same in large or small letters of ASCII.
    pub(super) fn in_any_case(words: &[&str]) -> Self {
        Self::with(words, true)
    }

    fn with(words: &[&str], any_case: bool) -> Self {
        let automaton = DFA::builder().ascii_case_insensitive(any_case).prefilter(false).build(words);
        let automaton = automaton.expect("a few hundred words make a small automaton");
        let begin = automaton.start_state(Anchored::No).expect("it searches anywhere");
        Self { automaton, begin }
    }

    /// Gives the place in the list of each word that is found, as often as it stands there, until one suffices.
    pub(super) fn each(&self, text: &[u8], mut suffices: impl FnMut(usize) -> bool) {
        let mut state = self.begin;
        for byte in text {
            state = self.automaton.next_state(Anchored::No, state, *byte);
            if self.automaton.is_special(state)
                && self.automaton.is_match(state)
                && (0..self.automaton.match_len(state))
                    .any(|nth| suffices(self.automaton.match_pattern(state, nth).as_usize()))
            {
                return;
            }
        }
    }

    pub(super) fn any(&self, text: &str) -> bool {
        let mut found = false;
        self.each(text.as_bytes(), |_| {
            found = true;
            true
        });
        found
    }

    /// The place in the list of the first of them that stands in the text, wherever it stands there.
    pub(super) fn first_of(&self, text: &str) -> Option<usize> {
        let mut first = None::<usize>;
        self.each(text.as_bytes(), |word| {
            first = Some(first.map_or(word, |before| before.min(word)));
            word == 0
        });
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_within_and_behind_each_other() {
        let words = Words::new(&["lock", "unlocked", "he", "she"]);
        let found = |text: &str| {
            let mut found = Vec::new();
            words.each(text.as_bytes(), |word| {
                found.push(word);
                false
            });
            found
        };
        assert_eq!(found("an unlocked door"), [0, 1]);
        assert_eq!(found("she"), [3, 2]);
        assert!(found("Lock").is_empty());
        assert_eq!((words.first_of("she locks"), words.first_of("she"), words.first_of("x")), (Some(0), Some(2), None));
        assert!(Words::in_any_case(&["lock"]).any("a LOCK") && !words.any("a LOCK"));
    }
}
