//! The verdicts: one file each, in the order in which equal ones are preferred.

pub mod backoff;
pub mod close_blocked;
pub mod daemon_gone;
pub mod deadlock_cycle;
pub mod lock_pileup;
pub mod log_blocked;
pub mod lost_reply;
pub mod lost_wakeup;
pub mod observer_fault;
pub mod orphaned_fetch;
pub mod permit_exhaustion;
pub mod resource_exhausted;
pub mod reverse_notify;
pub mod runtime_blocked;
pub mod self_access;
pub mod spin;
pub mod unmount_stuck;
pub mod unread_queue;
pub mod upstream_stall;
pub mod worker_starvation;
pub mod wrong_bytes;

use super::finding::Rule;

/// Every rule; the single list.
pub const RULES: &[&dyn Rule] = &[
    &daemon_gone::DaemonGone,
    &deadlock_cycle::DeadlockCycle,
    &permit_exhaustion::PermitExhaustion,
    &worker_starvation::WorkerStarvation,
    &reverse_notify::ReverseNotify,
    &self_access::SelfAccess,
    &lock_pileup::LockPileup,
    &log_blocked::LogBlocked,
    &runtime_blocked::RuntimeBlocked,
    &orphaned_fetch::OrphanedFetch,
    &lost_wakeup::LostWakeup,
    &backoff::Backoff,
    &close_blocked::CloseBlocked,
    &spin::Spin,
    &upstream_stall::UpstreamStall,
    &unread_queue::UnreadQueue,
    &lost_reply::LostReply,
    &unmount_stuck::UnmountStuck,
    &resource_exhausted::ResourceExhausted,
    &wrong_bytes::WrongBytes,
    &observer_fault::ObserverFault,
];
