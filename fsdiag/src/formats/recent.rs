//! Recent: texts that come again and again, e.g. functions of stacks, are read once, and what was made of them is shared.

use std::hash::BuildHasher as _;

use hashbrown::DefaultHashBuilder;

use crate::engine::fact::Name;

/// What was made of texts, by their hash: a later one takes the place of another with the same.
pub(super) struct Recent<V> {
    places: Vec<Option<(Box<str>, V)>>,
    hasher: DefaultHashBuilder,
}

const PLACES: usize = 512;
/// Longest text that is remembered, bytes.
const LONGEST: usize = 512;

impl<V> Default for Recent<V> {
    fn default() -> Self {
        Self { places: Vec::new(), hasher: DefaultHashBuilder::default() }
    }
}

impl<V: Clone> Recent<V> {
    /// What `make` makes of a text, always the same of the same text; that it makes nothing is not remembered.
    pub(super) fn made(&mut self, text: &str, make: impl FnOnce(&str) -> Option<V>) -> Option<V> {
        if text.len() > LONGEST {
            return make(text);
        }
        if self.places.is_empty() {
            self.places.resize_with(PLACES, || None);
        }
        let place = &mut self.places[self.hasher.hash_one(text) as usize % PLACES];
        if let Some((_, made)) = place.as_ref().filter(|(of, _)| same(of.as_bytes(), text.as_bytes())) {
            return Some(made.clone());
        }
        let made = make(text)?;
        *place = Some((text.into(), made.clone()));
        Some(made)
    }
}

/// Whether two short texts are the same, eight bytes at a time: some libraries' comparison of any length waits longer
/// for its masked loads than reading a line takes.
fn same(a: &[u8], b: &[u8]) -> bool {
    let ((a_eights, a_rest), (b_eights, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let eights = |(a, b): (&[u8; 8], &[u8; 8])| u64::from_ne_bytes(*a) == u64::from_ne_bytes(*b);
    a.len() == b.len()
        && a_eights.iter().zip(b_eights).all(eights)
        && match (a.last_chunk(), b.last_chunk()) {
            (Some(a), Some(b)) => eights((a, b)),
            _ => a_rest.iter().zip(b_rest).all(|(a, b)| a == b),
        }
}

impl Recent<Name> {
    pub(super) fn name(&mut self, text: &str) -> Name {
        self.made(text, |text| Some(text.into())).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_text_that_comes_again_is_the_same_one() {
        let mut recent = Recent::default();
        let first = recent.name("main.main");
        assert!(Arc::ptr_eq(&first, &recent.name("main.main")));
        let many: Vec<String> = (0..4 * PLACES).map(|n| format!("f{n}")).collect();
        assert!(many.iter().all(|text| *recent.name(text) == **text));
    }

    #[test]
    fn texts_are_the_same_when_each_byte_is() {
        let text = b"__futex_abstimed_wait_common";
        for len in 0..text.len() {
            assert!(same(&text[..len], &text[..len]) && !same(&text[..len], &text[..len + 1]), "{len}");
            for at in 0..len {
                let mut other = text[..len].to_vec();
                other[at] ^= 0x20;
                assert!(!same(&text[..len], &other), "{len} {at}");
            }
        }
    }

    #[test]
    fn a_text_of_which_nothing_was_made_is_asked_again() {
        let mut recent = Recent::default();
        assert_eq!(recent.made("a", |_| None), None);
        assert_eq!(recent.made("a", |_| Some(1)), Some(1));
        assert_eq!(recent.made("a", |_| None), Some(1));
        let long = "a".repeat(LONGEST + 1);
        assert_eq!(recent.made(&long, |_| Some(2)), Some(2));
        assert_eq!(recent.made(&long, |_| None), None);
    }
}
