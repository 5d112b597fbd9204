//! The real `fsdiag` over logs, dumps and rings: one file per topic.
