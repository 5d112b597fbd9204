//! Names: texts of packed requests (paths, threads), each kept once, for as long as one of them names it.

use std::hash::BuildHasher as _;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::engine::fact::Name;

#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    names: Vec<Kept>,
    unused: Vec<u32>,
    places: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

#[derive(Clone, Debug)]
struct Kept {
    text: Name,
    uses: u32,
}

impl Names {
    /// The number of a text from now on, until each use of it is dropped.
    pub(super) fn keep(&mut self, text: Name) -> u32 {
        let Self { names, places, hasher, .. } = self;
        let hash = hasher.hash_one(&*text);
        if let Some(at) = places.find(hash, |at| names[*at as usize].text == text).copied() {
            names[at as usize].uses += 1;
            return at;
        }
        let name = Kept { text, uses: 1 };
        let at = match self.unused.pop() {
            Some(at) => {
                names[at as usize] = name;
                at
            }
            None => {
                names.push(name);
                (names.len() - 1) as u32
            }
        };
        places.insert_unique(hash, at, |at| hasher.hash_one(&*names[*at as usize].text));
        at
    }

    pub(super) fn text(&self, at: u32) -> Name {
        self.names[at as usize].text.clone()
    }

    /// One use less.
    pub(super) fn drop_use(&mut self, at: u32) -> Name {
        let Self { names, places, hasher, unused } = self;
        let name = &mut names[at as usize];
        name.uses -= 1;
        if name.uses > 0 {
            return name.text.clone();
        }
        let text = std::mem::take(&mut name.text);
        if let Ok(place) = places.find_entry(hasher.hash_one(&*text), |other| *other == at) {
            place.remove();
        }
        unused.push(at);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_once_and_its_number_is_given_again() {
        let mut names = Names::default();
        let (a, b, again) = (names.keep("a".into()), names.keep("b".into()), names.keep("a".into()));
        assert_eq!((a, again, &*names.text(b)), (0, 0, "b"));
        assert_eq!((&*names.drop_use(a), &*names.drop_use(a)), ("a", "a"));
        assert_eq!((names.keep("c".into()), &*names.text(a), names.places.len()), (a, "c", 2));
        assert_eq!(names.keep("a".into()), 2);
    }
}
