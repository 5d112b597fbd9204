//! Disputes: files of which answers to reads tell another length than their directory's page does.
//!
//! A page may be wrong for long: a cache keeps it, or a program writes it at night. Every read would fail for as long.
//! But answers err too, in passing, and the page is right: so only several of them outweigh it, over some time in which
//! none agreed with it.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use fsd_events::ids::Ino;

/// So many answers must tell the same length, one after another and each after a look of its own at the page.
const WITNESSES: u8 = 3;
/// And for so long, from the first of them to the last.
const LASTING: Duration = Duration::from_secs(5);
/// Files of one directory that can be in dispute at once.
const MOST: usize = 1 << 14;

/// What a page says of a file: its length, and when it was changed, in microseconds.
pub(super) type Said = (u64, Option<u64>);

/// The files of one directory that are in dispute.
#[derive(Clone, Debug, Default)]
pub(super) struct Disputes(HashMap<Box<str>, Dispute>);

#[derive(Clone, Copy, Debug)]
struct Dispute {
    page: Said,
    told: u64,
    witnesses: u8,
    since: Instant,
    settled: bool,
    /// The inode whose reader heard it last: dead now, so that the next witness is of the next look.
    last: Ino,
}

impl Dispute {
    /// What the page must have said, where that is shown.
    fn behind(&self, shown: Said) -> Said {
        if self.settled && shown == (self.told, self.page.1) { self.page } else { shown }
    }
}

impl Disputes {
    /// The length to show of a file. What the page now says otherwise is news, and ends the dispute.
    pub(super) fn length(&self, name: &str, said: Said) -> u64 {
        let settled = self.0.get(name).filter(|dispute| dispute.page == said && dispute.settled);
        settled.map_or(said.0, |dispute| dispute.told)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first answer to a reader of that inode `told` its length, which `shown` may be or not. Of a file that is
    /// shown as empty no read would ever tell that it is not.
    pub(super) fn hear(&mut self, name: &str, shown: Said, ino: Ino, told: u64, now: Instant) {
        let known = self.0.get(name).copied();
        let page = known.map_or(shown, |dispute| dispute.behind(shown));
        if told == page.0 || told == 0 {
            self.0.remove(name);
            return;
        }
        let again = known.filter(|dispute| dispute.page == page && dispute.told == told);
        if again.is_some_and(|dispute| dispute.last == ino) || known.is_none() && self.0.len() >= MOST {
            return;
        }
        let before = again.unwrap_or(Dispute { page, told, witnesses: 0, since: now, settled: false, last: ino });
        let witnesses = before.witnesses.saturating_add(1);
        let settled = before.settled || witnesses >= WITNESSES && now - before.since >= LASTING;
        self.0.insert(name.into(), Dispute { witnesses, settled, last: ino, ..before });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: Said = (12, Some(7));

    /// What is shown after these answers, each three seconds after the other and to a reader of an inode of its own.
    fn heard(told: &[u64]) -> Disputes {
        let (mut disputes, start) = (Disputes::default(), crate::platform::clock::now());
        for (n, told) in (0..).zip(told) {
            let shown = (disputes.length("a", PAGE), PAGE.1);
            disputes.hear("a", shown, Ino(n), *told, start + Duration::from_secs(3 * n));
        }
        disputes
    }

    #[test]
    fn a_page_is_outweighed_by_three_answers_that_agree_and_by_no_fewer() {
        for (told, shown) in [(&[5, 5][..], 12), (&[5, 5, 5], 5), (&[5, 5, 6, 5, 5], 12), (&[5, 6, 6, 6], 6)] {
            assert_eq!(heard(told).length("a", PAGE), shown, "{told:?}");
        }
    }

    #[test]
    fn one_reader_is_one_witness_and_a_moment_is_none() {
        let (mut disputes, start) = (heard(&[5, 5]), crate::platform::clock::now());
        (0..9).for_each(|n| disputes.hear("a", PAGE, Ino(1), 5, start + Duration::from_secs(n)));
        assert_eq!(disputes.length("a", PAGE), 12);
        let mut disputes = Disputes::default();
        (0..9).for_each(|n| disputes.hear("a", PAGE, Ino(n), 5, start));
        assert_eq!(disputes.length("a", PAGE), 12);
        disputes.hear("a", PAGE, Ino(9), 5, start + LASTING);
        assert_eq!(disputes.length("a", PAGE), 5);
    }

    #[test]
    fn what_the_page_says_anew_is_believed_at_once() {
        let disputes = heard(&[5, 5, 5]);
        for news in [(13, Some(7)), (12, Some(8)), (12, None)] {
            assert_eq!(disputes.length("a", news), news.0);
        }
    }

    #[test]
    fn an_answer_that_agrees_with_the_page_ends_the_dispute() {
        assert_eq!(heard(&[5, 5, 5, 12]).length("a", PAGE), 12);
        assert_eq!(heard(&[5, 5, 12, 5, 5]).length("a", PAGE), 12, "it begins anew");
        assert!(heard(&[5, 12]).is_empty());
    }

    #[test]
    fn a_length_that_outweighed_the_page_is_kept_and_can_itself_be_outweighed() {
        assert_eq!(heard(&[5, 5, 5, 5]).length("a", PAGE), 5);
        assert_eq!(heard(&[5, 5, 5, 6]).length("a", PAGE), 12);
        assert_eq!(heard(&[5, 5, 5, 6, 6, 6]).length("a", PAGE), 6);
    }

    #[test]
    fn no_file_is_shown_as_empty_against_its_page() {
        assert_eq!(heard(&[0, 0, 0, 0]).length("a", PAGE), 12);
    }
}
