//! Links: what the next worker must know, beside the name, to find a file without a listing.

use serde::{Deserialize, Serialize};

use crate::data::origin::{Resource, Sealed};

use super::{Place, Source, Tree};

/// Where a listed file is. Secrets of the source are not in it, those of a link to another host are.
#[derive(Debug, Serialize, Deserialize)]
pub enum Link {
    /// Its name tells.
    Named,
    /// Under this path of the source's host.
    Here(String),
    Elsewhere(Sealed),
}

impl Source {
    /// Asks no origin.
    pub fn is_local(&self) -> bool {
        matches!(self.tree, Tree::Local(_))
    }

    /// For [`Source::find`]; None for what only a listing leads to.
    pub fn link(&self, place: &Place) -> Option<Link> {
        match (&self.tree, place) {
            (Tree::Web(root), Place::Remote(file)) if file.same_host(root) => Some(Link::Here(file.path().to_owned())),
            (Tree::Web(_), Place::Remote(file)) => Some(Link::Elsewhere(file.seal())),
            (Tree::Single(_) | Tree::Manifest(_), Place::Remote(_)) => Some(Link::Named),
            _ => None,
        }
    }

    /// The file `name` of the directory `dir`; None when it is no longer there.
    pub fn find(&self, dir: &str, name: &str, link: Link) -> Option<Place> {
        let file = match (&self.tree, link) {
            (Tree::Web(root), Link::Here(path)) => root.at(&path),
            (Tree::Web(_), Link::Elsewhere(sealed)) => Resource::unseal(sealed).ok()?,
            (Tree::Single(file), Link::Named) => file.clone(),
            (Tree::Manifest(manifest), Link::Named) => manifest.find(dir, name)?,
            _ => return None,
        };
        Some(Place::Remote(file))
    }
}
