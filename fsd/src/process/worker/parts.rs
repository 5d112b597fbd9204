//! Parts: what each part of a mount gets of the configuration.

use std::{fs::OpenOptions, io::Read};

use fsd_events::{
    SCHEMA,
    event::Start,
    layout,
    ring::tables::{InFlight, decode_inflight},
};

use super::{Identity, Job};
use crate::{
    data::{
        origin::OriginConfig,
        store::{NotesPlace, StoreConfig},
    },
    kernel::fs::FsConfig,
    observe::{RecorderConfig, stacks::StacksConfig},
    platform::runtime_dir::open_private,
    process::{
        config::{Config, LogFormat, redacted},
        link::Takeover,
        places::Places,
    },
};

pub(super) fn first_line(job: &Job) -> Start<'static> {
    let config = &job.config;
    Start {
        schema: SCHEMA,
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").into(),
        mount: job.mountpoint.display().to_string().into(),
        source: redacted(config.source.as_deref().unwrap_or_default()).into(),
        workers: loops(config),
        max_background: u32::from(config.max_background),
        argv: job.argv.iter().map(|arg| arg.clone().into()).collect(),
        config: config.files.first().map(|path| path.display().to_string().into()),
        flags: config.flags,
        recorder: "".into(),
    }
}

pub(super) fn recorder_config(
    job: &Job,
    places: &Places,
    identity: &Identity,
    start: Start<'static>,
) -> RecorderConfig {
    let config = &job.config;
    RecorderConfig {
        run: identity.run,
        mount_run: identity.mount_run,
        runtime_dir: places.shared.then(|| places.runtime.clone()),
        state_dir: Some(places.state.clone()),
        start,
        file_limit: config.events_limit,
        total_limit: config.events_total,
        seed_log: config.log_format == LogFormat::Seed,
        form: config.recorder,
        takes_over: job.host.takeover().is_some(),
    }
}

pub(super) fn origin_config(config: &Config) -> OriginConfig {
    OriginConfig {
        connect: config.connect_timeout,
        first_byte: config.first_byte_timeout,
        inactivity: config.inactivity_timeout,
        ..OriginConfig::default()
    }
}

/// Where dumps go, and where their helper finds paths.
pub(super) fn stacks_config(job: &Job, places: &Places, identity: &Identity) -> StacksConfig {
    StacksConfig {
        dir: places.state.clone(),
        mount: Some(job.mountpoint.display().to_string()),
        tables: places.shared.then(|| places.runtime.join(identity.run.to_string())),
        ..StacksConfig::default()
    }
}

pub(super) fn store_config(config: &Config, places: &Places, identity: &Identity) -> StoreConfig {
    StoreConfig {
        mode: config.fetch_mode,
        temp_dir: config.temp_dir.clone(),
        chunk_size: config.chunk_size,
        max_concurrent_requests: config.max_concurrent_requests,
        cache_bytes: config.cache_size,
        disk_budget: config.disk_limit,
        notes: config
            .supervisor
            .then(|| NotesPlace { dir: places.runtime.join(layout::NOTES), mount_run: identity.mount_run }),
    }
}

pub(super) fn fs_config(config: &Config, places: &Places, identity: &Identity) -> FsConfig {
    FsConfig {
        uid: nix::unistd::geteuid().as_raw(),
        gid: nix::unistd::getegid().as_raw(),
        allow_other: config.allow_other,
        meta_timeout: config.meta_timeout,
        listing_ttl: config.listing_ttl,
        unsized_limit: config.unsized_limit,
        read_timeout: config.read_timeout,
        shared_dir: places.shared.then(|| places.runtime.clone()),
        mount_run: identity.mount_run,
        flags: config.flags,
        ..FsConfig::default()
    }
}

pub(super) fn loops(config: &Config) -> u32 {
    if config.flags.debug_fskit_single_thread { 1 } else { config.threads as u32 }
}

/// What the worker before had not answered, where the kernel does not send it again.
pub(super) fn unanswered(places: &Places, identity: &Identity, takeover: &Takeover) -> Vec<InFlight> {
    if takeover.resends {
        return Vec::new();
    }
    let table = places.runtime.join(&takeover.old_run).join(layout::INFLIGHT);
    let mut bytes = Vec::new();
    let file = open_private(&table, OpenOptions::new().read(true));
    let table = file.and_then(|mut file| file.read_to_end(&mut bytes)).ok().and_then(|_| decode_inflight(&bytes));
    table.filter(|table| table.mount_run == identity.mount_run).map_or_else(Vec::new, |table| table.ops)
}
