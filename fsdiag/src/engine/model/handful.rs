//! A map of what is open: a handful almost always, and then looking at each is cheaper than making a hash.

use std::hash::Hash;

use super::hash::NumberMap;

#[derive(Clone, Debug)]
pub struct Handful<K, V> {
    /// Only as long as there are no many.
    few: Vec<(K, V)>,
    many: NumberMap<K, V>,
}

/// More are many.
const FEW: usize = 8;
/// So few of the many are few again: well below, lest they go to and fro.
const FEW_AGAIN: usize = 2;

impl<K, V> Default for Handful<K, V> {
    fn default() -> Self {
        Self { few: Vec::new(), many: NumberMap::default() }
    }
}

impl<K: Copy + Eq + Hash, V> Handful<K, V> {
    #[inline]
    pub fn len(&self) -> usize {
        self.few.len() + self.many.len()
    }

    pub fn is_empty(&self) -> bool {
        self.few.is_empty() && self.many.is_empty()
    }

    pub fn contains_key(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    #[inline]
    pub fn get(&self, key: &K) -> Option<&V> {
        if self.many.is_empty() { self.at(key).map(|at| &self.few[at].1) } else { self.many.get(key) }
    }

    #[inline]
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        if self.many.is_empty() { self.at(key).map(|at| &mut self.few[at].1) } else { self.many.get_mut(key) }
    }

    /// Gives what was there under that key.
    #[inline]
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        if !self.many.is_empty() {
            return self.many.insert(key, value);
        }
        if let Some(at) = self.at(&key) {
            return Some(std::mem::replace(&mut self.few[at].1, value));
        }
        self.few.push((key, value));
        if self.few.len() > FEW {
            self.many.extend(self.few.drain(..));
        }
        None
    }

    #[inline]
    pub fn remove(&mut self, key: &K) -> Option<V> {
        if self.many.is_empty() {
            return self.at(key).map(|at| self.few.swap_remove(at).1);
        }
        let value = self.many.remove(key);
        if self.many.len() <= FEW_AGAIN {
            self.few.extend(self.many.drain());
        }
        value
    }

    /// In no order.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.few.iter().map(|(_, value)| value).chain(self.many.values())
    }

    pub fn clear(&mut self) {
        self.few.clear();
        self.many.clear();
    }

    #[inline]
    fn at(&self, key: &K) -> Option<usize> {
        self.few.iter().position(|(other, _)| other == key)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn few_or_many_it_is_a_map(steps in prop::collection::vec((0..30_u64, 0..3_u8), 0..200)) {
            let (mut handful, mut plain) = (Handful::default(), HashMap::new());
            for (step, (key, what)) in steps.into_iter().enumerate() {
                match what {
                    0 => prop_assert_eq!(handful.remove(&key), plain.remove(&key)),
                    _ => prop_assert_eq!(handful.insert(key, step), plain.insert(key, step)),
                }
                prop_assert_eq!((handful.len(), handful.get(&key)), (plain.len(), plain.get(&key)));
                let all = |values: Vec<&usize>| values.into_iter().copied().collect::<std::collections::BTreeSet<_>>();
                prop_assert_eq!(all(handful.values().collect()), all(plain.values().collect()));
            }
        }
    }
}
