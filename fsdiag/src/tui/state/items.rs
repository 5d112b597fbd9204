//! Items: what the current screen lists, by number: which are shown, what they say, and what they are.

use super::{Screen, State};

impl State {
    /// Everything that the current list could show.
    fn count(&self) -> usize {
        let picture = &self.picture;
        if self.choosing() {
            return picture.mounts.len();
        }
        match self.screen {
            Screen::Overview | Screen::Operations => picture.operations.len(),
            Screen::Locks => picture.locks.len(),
            Screen::Stacks => picture.stacks.len(),
            Screen::Latency => picture.latency.len(),
            Screen::Timeline => picture.lanes.len(),
            Screen::Events => picture.events.len(),
            Screen::Act => self.acts().len(),
        }
    }

    /// The items that pass the filter, in order.
    pub fn visible(&self) -> Vec<usize> {
        let all = 0..self.count();
        if !self.filter || self.search.is_empty() {
            return all.collect();
        }
        all.filter(|item| self.matches(&self.text_of(*item))).collect()
    }

    /// The selected item.
    pub fn selected(&self) -> Option<usize> {
        self.visible().get(self.list().selected).copied()
    }

    /// What an item says, for search and filter.
    pub fn text_of(&self, item: usize) -> String {
        let picture = &self.picture;
        if self.choosing() {
            let choice = picture.mounts.get(item);
            return choice.map_or_else(String::new, |c| format!("{} {} {} {}", c.health, c.mount, c.kind, c.daemon));
        }
        let text = match self.screen {
            Screen::Overview | Screen::Operations => picture
                .operations
                .get(item)
                .map(|o| format!("{} {} {} {} {} {}", o.op, o.id, o.daemon, o.thread, o.path, o.waits)),
            Screen::Locks => picture.locks.get(item).map(|lock| {
                let waiters: Vec<&str> = lock.waiters.iter().map(|waiter| waiter.name.as_str()).collect();
                format!("{} {} {}", lock.name, lock.holder, waiters.join(" "))
            }),
            Screen::Stacks => {
                picture.stacks.get(item).map(|s| format!("{} {}", s.threads.join(" "), s.frames.join(" ")))
            }
            Screen::Latency => picture.latency.get(item).map(|l| l.op.clone()),
            Screen::Timeline => picture.lanes.get(item).map(|l| l.worker.clone()),
            Screen::Events => picture.events.get(item).map(|e| e.text.clone()),
            Screen::Act => self.acts().get(item).map(|a| format!("{} {}", a.title, a.command.join(" "))),
        };
        text.unwrap_or_default()
    }

    /// What an item is, so that it is found again when the list has changed.
    pub(super) fn key_of(&self, item: usize) -> String {
        let picture = &self.picture;
        if self.choosing() {
            return picture.mounts.get(item).map(|choice| choice.mount.clone()).unwrap_or_default();
        }
        match self.screen {
            Screen::Overview | Screen::Operations => {
                picture.operations.get(item).map(|o| format!("{}{}", o.id, o.daemon))
            }
            Screen::Locks => picture.locks.get(item).map(|lock| lock.name.clone()),
            Screen::Stacks => picture.stacks.get(item).map(|s| s.frames.join("\n")),
            Screen::Events => picture.events.get(item).map(|e| e.line.to_string()),
            Screen::Latency | Screen::Timeline | Screen::Act => return self.text_of(item),
        }
        .unwrap_or_default()
    }

    /// Whether a text holds what is searched for, in any case.
    pub fn matches(&self, text: &str) -> bool {
        !self.search.is_empty() && text.to_lowercase().contains(&self.search.to_lowercase())
    }
}
