//! Queues: which requests of an object are open, oldest first: rclone's ends name the object, and no request.

use std::collections::VecDeque;

use hashbrown::HashMap;

use super::path;
use crate::{
    engine::fact::{Key, Name},
    formats::REMEMBERED,
};
use fsd_events::op::Op;

/// The objects of which something is open, and some others: an object's lines come together.
#[derive(Default)]
pub(super) struct Objects {
    all: HashMap<Box<str>, Object>,
    /// Requests of all of them.
    open: usize,
}

struct Object {
    path: Name,
    queues: Vec<Queue>,
}

/// Requests of one kind, oldest first.
struct Queue {
    op: Op,
    nameless: VecDeque<Key>,
    named: Named,
}

/// Requests by what a Lookup looks for; its end names it again.
#[derive(Default)]
struct Named {
    of: HashMap<Name, Keys>,
    /// Oldest first; some of them may have ended.
    order: VecDeque<(Key, Name)>,
    open: usize,
}

/// Requests of one name; the first is almost always the only one.
struct Keys {
    first: Key,
    later: VecDeque<Key>,
}

impl Objects {
    /// Whether the end of this request cannot be told from that of another one, and the path of the object.
    pub(super) fn begin(&mut self, object: &str, op: Op, key: Key, name: &str) -> (bool, Name) {
        if self.open >= REMEMBERED {
            (self.all, self.open) = (HashMap::new(), 0);
        }
        if let Some(object) = self.all.get_mut(object) {
            self.open += 1;
            return object.begin(op, key, name);
        }
        self.make_room();
        self.open += 1;
        let fresh = || Object { path: path(object).into(), queues: Vec::new() };
        self.all.entry(object.into()).or_insert_with(fresh).begin(op, key, name)
    }

    /// The request that an end means; None: its begin is not known.
    pub(super) fn end<'n>(&mut self, object: &str, op: Op, name: impl FnOnce() -> &'n str) -> Option<Key> {
        let mut queues = self.all.get_mut(object)?.queues.iter_mut();
        let key = queues.find(|queue| queue.op == op)?.end(name)?;
        self.open -= 1;
        Some(key)
    }

    /// Objects without an open request are forgotten when they are the greater part.
    fn make_room(&mut self) {
        const FEW: usize = 64;
        if self.all.len() > FEW + 2 * self.open {
            self.all.retain(|_, object| object.queues.iter().any(Queue::is_open));
        }
    }
}

impl Object {
    fn begin(&mut self, op: Op, key: Key, name: &str) -> (bool, Name) {
        (self.queue(op).begin(key, name), self.path.clone())
    }

    fn queue(&mut self, op: Op) -> &mut Queue {
        let at = self.queues.iter().position(|queue| queue.op == op).unwrap_or_else(|| {
            self.queues.push(Queue { op, nameless: VecDeque::new(), named: Named::default() });
            self.queues.len() - 1
        });
        &mut self.queues[at]
    }
}

impl Queue {
    fn is_open(&self) -> bool {
        !self.nameless.is_empty() || self.named.open > 0
    }

    /// Whether another one of that name is open.
    fn begin(&mut self, key: Key, name: &str) -> bool {
        if name.is_empty() {
            self.nameless.push_back(key);
            return self.nameless.len() > 1;
        }
        self.named.begin(key, name)
    }

    /// The oldest of that name, or else the oldest of all.
    fn end<'n>(&mut self, name: impl FnOnce() -> &'n str) -> Option<Key> {
        if self.named.open == 0 {
            return self.nameless.pop_front();
        }
        if let Some(key) = self.named.end(name()) {
            return Some(key);
        }
        let (key, name) = self.named.oldest()?;
        if self.nameless.front().is_some_and(|nameless| *nameless < key) {
            return self.nameless.pop_front();
        }
        self.named.end(&name)
    }
}

impl Named {
    /// Whether another one of that name is open.
    fn begin(&mut self, key: Key, name: &str) -> bool {
        if self.order.len() > 2 * self.open + 8 {
            let Self { of, order, .. } = self;
            order.retain(|(key, name)| is_open(of, *key, name));
        }
        self.open += 1;
        if let Some((name, keys)) = self.of.get_key_value_mut(name) {
            self.order.push_back((key, name.clone()));
            keys.later.push_back(key);
            return true;
        }
        let name: Name = name.into();
        self.order.push_back((key, name.clone()));
        self.of.insert(name, Keys { first: key, later: VecDeque::new() });
        false
    }

    fn end(&mut self, name: &str) -> Option<Key> {
        let keys = self.of.get_mut(name)?;
        let key = keys.first;
        match keys.later.pop_front() {
            Some(next) => keys.first = next,
            None => _ = self.of.remove(name),
        }
        self.open -= 1;
        self.order.pop_front_if(|(oldest, _)| *oldest == key);
        Some(key)
    }

    fn oldest(&mut self) -> Option<(Key, Name)> {
        let Self { of, order, .. } = self;
        while order.pop_front_if(|(key, name)| !is_open(of, *key, name)).is_some() {}
        order.front().cloned()
    }
}

/// Requests of one name end in the order in which they began.
fn is_open(of: &HashMap<Name, Keys>, key: Key, name: &Name) -> bool {
    of.get(name).is_some_and(|keys| keys.first <= key)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// The same rules without any thought of speed: a name with each open request, oldest first.
    #[derive(Default)]
    struct Plain(BTreeMap<Key, String>);

    impl Plain {
        fn begin(&mut self, key: Key, name: &str) -> bool {
            self.0.insert(key, name.to_owned());
            self.0.values().filter(|other| *other == name).count() > 1
        }

        fn end(&mut self, name: &str) -> Option<Key> {
            let named = self.0.iter().find(|(_, other)| !name.is_empty() && *other == name);
            let key = *named.or_else(|| self.0.first_key_value()).map(|(key, _)| key)?;
            self.0.remove(&key);
            Some(key)
        }
    }

    proptest! {
        #[test]
        fn ends_find_what_the_plain_rules_find(steps in prop::collection::vec((any::<bool>(), 0_usize..4), 0..200)) {
            const NAMES: [&str; 4] = ["", "a", "b", "c"];
            let (mut objects, mut plain) = (Objects::default(), Plain::default());
            for (line, (begins, name)) in steps.into_iter().enumerate() {
                let (key, name) = (Key::Line(line as u64), NAMES[name]);
                if begins {
                    prop_assert_eq!(objects.begin("/", Op::Lookup, key, name).0, plain.begin(key, name));
                } else {
                    prop_assert_eq!(objects.end("/", Op::Lookup, || name), plain.end(name));
                }
            }
        }
    }

    #[test]
    fn objects_without_requests_are_not_kept_for_ever() {
        let mut objects = Objects::default();
        for n in 0..1000 {
            let object = format!("file-{n}");
            objects.begin(&object, Op::Read, Key::Line(n), "");
            assert_eq!(objects.end(&object, Op::Read, || ""), Some(Key::Line(n)));
        }
        assert!(objects.all.len() < 100, "{}", objects.all.len());
    }
}
