//! Words: which of many words stand in a text, found in one look at a few of its bytes.
//!
//! Any word of five letters or more has four letters in a row that begin at an even place of the text, whatever stands
//! before it. So only every second place is looked at (or every fourth, where all words are long), and a table tells
//! whether any word has the letters that stand there: almost always none does. No place waits for the one before it,
//! as the steps of an automaton do.

use super::model::hash::NumberMap;

/// What to look for.
pub struct Words {
    words: Vec<Box<[u8]>>,
    any_case: bool,
    /// Bytes that are looked at together, at most four, and the bits of a number that they take.
    width: usize,
    mask: u32,
    /// From place to place.
    stride: usize,
    /// Whether a word may have letters with that hash.
    begins: Box<[bool; HASHES]>,
    /// The words that have these letters, and where.
    places: NumberMap<u32, Vec<(usize, usize)>>,
}

const HASHES: usize = 1 << 14;
/// Makes large letters of ASCII small, and mixes up some signs: whole words are compared afterwards.
const SMALL: u32 = 0x2020_2020;

impl Words {
    /// These, as they are.
    pub fn new(words: &[&str]) -> Self {
        Self::with(words, false)
    }

    /// The same in large or small letters of ASCII.
    pub fn in_any_case(words: &[&str]) -> Self {
        Self::with(words, true)
    }

    fn with(words: &[&str], any_case: bool) -> Self {
        let shortest = words.iter().map(|word| word.len()).min().unwrap_or(1).max(1);
        let width = shortest.min(4);
        let mut made = Self {
            words: words.iter().map(|word| word.as_bytes().into()).collect(),
            any_case,
            width,
            mask: u32::MAX >> (32 - 8 * width),
            stride: shortest - width + 1,
            begins: Box::new([false; HASHES]),
            places: NumberMap::default(),
        };
        for (word, text) in words.iter().enumerate() {
            (0..made.stride.min(text.len())).for_each(|at| made.add(word, &text.as_bytes()[at..], at));
        }
        made
    }

    fn add(&mut self, word: usize, from: &[u8], at: usize) {
        let letters = self.letters(from);
        self.begins[hash(letters)] = true;
        self.places.entry(letters).or_default().push((word, at));
    }

    /// The letters that `from` begins with, as a number.
    fn letters(&self, from: &[u8]) -> u32 {
        let letters = from.first_chunk().map_or_else(|| last(from), |letters| u32::from_le_bytes(*letters));
        (letters | SMALL) & self.mask
    }

    /// Gives the place in the list of each word that is found, as often as it stands there, until one suffices.
    pub fn each(&self, text: &[u8], mut suffices: impl FnMut(usize) -> bool) {
        let Some(end) = text.len().checked_sub(self.width) else { return };
        let mut at = self.next(text, 0);
        while at <= end {
            let letters = self.letters(&text[at..]);
            if self.begins[hash(letters)] && self.at(text, at, letters, &mut suffices) {
                return;
            }
            at = self.next(text, at + self.stride);
        }
    }

    /// The first place from this one on that is worth a look by itself.
    fn next(&self, text: &[u8], mut at: usize) -> usize {
        if self.stride == 2 && self.width == 4 {
            while let Some((_, from)) = text.split_at_checked(at)
                && let Some(eight) = from.first_chunk()
                && !self.may_begin_in(u64::from_le_bytes(*eight))
            {
                at += 3 * self.stride;
            }
        }
        at
    }

    /// Whether any word may have the four letters at one of the three places of eight bytes: all are looked at at once,
    /// because almost always none has.
    fn may_begin_in(&self, eight: u64) -> bool {
        let eight = eight | u64::from(SMALL) << 32 | u64::from(SMALL);
        let begins = |shift: u32| self.begins[hash((eight >> shift) as u32)];
        begins(0) | begins(16) | begins(32)
    }

    /// The words that really stand there.
    #[inline(never)]
    fn at(&self, text: &[u8], at: usize, letters: u32, suffices: &mut impl FnMut(usize) -> bool) -> bool {
        let places = self.places.get(&letters).map_or(&[][..], Vec::as_slice);
        let stands = |word: &[u8], before: usize| {
            let found = at.checked_sub(before).and_then(|start| text.get(start..start + word.len()));
            found.is_some_and(|found| if self.any_case { found.eq_ignore_ascii_case(word) } else { found == word })
        };
        places.iter().any(|(word, before)| stands(&self.words[*word], *before) && suffices(*word))
    }

    /// Whether any of them stands there.
    pub fn any(&self, text: &str) -> bool {
        let mut found = false;
        self.each(text.as_bytes(), |_| {
            found = true;
            true
        });
        found
    }

    /// The place in the list of the first of them that stands in the text, wherever it stands there.
    pub fn first_of(&self, text: &str) -> Option<usize> {
        let mut first = None::<usize>;
        self.each(text.as_bytes(), |word| {
            first = Some(first.map_or(word, |before| before.min(word)));
            word == 0
        });
        first
    }
}

/// The same of the end of a text, of which nothing more is there.
#[cold]
fn last(from: &[u8]) -> u32 {
    from.iter().rev().fold(0, |letters, byte| letters << 8 | u32::from(*byte))
}

fn hash(letters: u32) -> usize {
    (letters.wrapping_mul(0x9e37_79b1) >> 18) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(words: &Words, text: &str) -> Vec<usize> {
        let mut found = Vec::new();
        words.each(text.as_bytes(), |word| {
            found.push(word);
            false
        });
        found.sort_unstable();
        found
    }

    #[test]
    fn words_are_found_within_and_behind_each_other() {
        let words = Words::new(&["lock", "unlocked", "he", "she"]);
        assert_eq!(found(&words, "an unlocked door"), [0, 1]);
        assert_eq!(found(&words, "she"), [2, 3]);
        assert!(found(&words, "Lock").is_empty());
        assert_eq!((words.first_of("she locks"), words.first_of("she"), words.first_of("x")), (Some(0), Some(2), None));
        assert!(Words::in_any_case(&["lock"]).any("a LOCK") && !words.any("a LOCK"));
    }

    proptest! {
        #[test]
        fn what_stands_there_is_found_as_often_as_it_does(
            words in prop::collection::vec("[abA@`]{1,9}", 1..6),
            text in "[abAB@`µ]{0,40}",
            any_case: bool,
        ) {
            let list: Vec<&str> = words.iter().map(String::as_str).collect();
            let fold = |text: &str| if any_case { text.to_ascii_lowercase() } else { text.to_owned() };
            let starts = |word: &str| (0..text.len()).filter(|at| fold(&text).as_bytes()[*at..].starts_with(fold(word).as_bytes())).count();
            let plain: Vec<usize> =
                list.iter().enumerate().flat_map(|(at, word)| vec![at; starts(word)]).collect();
            prop_assert_eq!(found(&Words::with(&list, any_case), &text), plain);
        }
    }
}
