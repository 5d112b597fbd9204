//! Fates: how the daemons of all logs ended, told by themselves or by others, and the deaths that are nobody's for sure.

use std::collections::HashMap;

use super::{Death, Fate, Unplaced};
use crate::engine::{
    fact::Place,
    model::{Model, session::Ended},
    report::Confidence,
};

/// What is known of all of them at one moment: each death is looked at once.
#[derive(Clone, Debug, Default)]
pub struct Fates<'m> {
    all: HashMap<usize, Fate<'m>>,
    /// Deaths that may be of several daemons, or of none of them.
    unplaced: Vec<&'m Ended>,
    /// Where the deaths of daemons are told.
    told_at: Vec<Place>,
}

impl Model {
    pub fn fates(&self) -> Fates<'_> {
        let mut fates = Fates::default();
        self.unplaced.iter().for_each(|told| fates.told(told, &self.whose(told), self));
        fates.unplaced.extend(self.sessions.iter().filter(|s| s.outlived()).filter_map(|s| s.ended.as_ref()));
        let mut others = HashMap::new();
        for (log, death) in self.deaths() {
            match self.whose_death(log, death) {
                Some((whose, sure)) => {
                    fates.told_at.push(death.ended.place);
                    surest(&mut others, whose, death, sure);
                }
                None => fates.unplaced.push(&death.ended),
            }
        }
        others.into_iter().for_each(|(whose, fate)| _ = fates.all.entry(whose).or_insert(fate));
        let own = self.sessions.iter().enumerate().filter_map(|(at, session)| Some((at, session.last_word()?)));
        fates.all.extend(own);
        fates
    }
}

fn surest<'m>(all: &mut HashMap<usize, Fate<'m>>, whose: usize, death: &'m Death, sure: Confidence) {
    let fate = Fate::of(&death.ended, sure);
    let known = all.entry(whose).or_insert(fate);
    if known.sure <= sure {
        *known = fate;
    }
}

impl<'m> Fates<'m> {
    /// How that life ended, as it or somebody else says.
    pub fn of(&self, at: usize) -> Option<Fate<'m>> {
        self.all.get(&at).copied()
    }

    pub fn unplaced(&self) -> impl Iterator<Item = &'m Ended> {
        self.unplaced.iter().copied()
    }

    /// Whether a daemon died by what is told there.
    pub fn is_told_at(&self, place: Place) -> bool {
        self.told_at.contains(&place)
    }

    fn told(&mut self, told: &'m Unplaced, whose: &[usize], model: &Model) {
        let doubtful = match whose {
            [] => false,
            [one] => told.of_anything && !model.sessions[*one].open.is_empty(),
            _ => !told.of_anything,
        };
        if doubtful {
            self.unplaced.push(&told.ended);
        }
        if !whose.is_empty() && !told.of_anything {
            self.told_at.push(told.ended.place);
        }
        if let ([one], false) = (whose, told.of_anything) {
            self.all.entry(*one).or_insert(Fate::of(&told.ended, Confidence::Certain));
        }
    }
}
