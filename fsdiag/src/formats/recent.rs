//! Recent: texts that come again and again, e.g. functions of stacks, are made once and shared.

use std::hash::BuildHasher as _;

use hashbrown::DefaultHashBuilder;

use crate::engine::fact::Name;

/// Texts by their hash: a later one takes the place of another with the same.
#[derive(Default)]
pub(super) struct Recent {
    /// What was read, and what was made of it.
    places: Vec<(Name, Name)>,
    hasher: DefaultHashBuilder,
}

const PLACES: usize = 512;

impl Recent {
    pub(super) fn name(&mut self, text: &str) -> Name {
        self.made(text, |text| text.into())
    }

    /// What `make` makes of a text, always the same of the same text.
    pub(super) fn made(&mut self, text: &str, make: fn(&str) -> Name) -> Name {
        if self.places.is_empty() {
            self.places = vec![(Name::from(""), Name::from("")); PLACES];
        }
        let place = &mut self.places[self.hasher.hash_one(text) as usize % PLACES];
        if *place.0 != *text {
            let made = make(text);
            *place = (if *made == *text { made.clone() } else { text.into() }, made);
        }
        place.1.clone()
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
}
