//! The real `fsd` on a real mount: one file per topic.
