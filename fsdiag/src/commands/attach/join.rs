//! The join: the kernel's requests beside the daemon's own record of them, by the kernel's number.

use crate::{
    engine::{fact::PendingState, model::Model},
    sources::kernel::rows::Row,
};

/// The kernel says that the daemon has it, and the daemon's record does not: answered a moment ago, or its reply was
/// lost, or its line.
pub(super) const NOT_OPEN: &str = "not open in the daemon's own record";

/// Notes on each request which of the daemon's operations it is.
pub(super) fn own_operations(rows: &mut [Row], model: &Model, has_record: bool) {
    if !has_record {
        return;
    }
    for row in rows.iter_mut().filter(|row| row.unique != 0) {
        let open = model.current().flat_map(|(_, session)| session.judged());
        let twin = open.into_iter().find(|op| op.call.unique == Some(row.unique));
        row.own = match (twin, row.state) {
            (Some(op), _) => {
                let phase = op.phase.as_ref().map(|p| format!(", in {:?}", p.phase).to_lowercase());
                Some(format!("{} #{}{}", op.call.op, op.call.key, phase.unwrap_or_default()))
            }
            (None, PendingState::InDaemon) => Some(NOT_OPEN.to_owned()),
            (None, _) => None,
        };
    }
}
