//! A mount of an origin in this process, and what its worker takes.

use std::{fs, path::Path};

use fsd::process::demo::{
    origin::Origin,
    served::{Home, Served},
};

/// `Served`, with the directories that go with it.
pub(crate) struct Mounted {
    pub(crate) served: Served,
    _dirs: [tempfile::TempDir; 2],
}

impl Mounted {
    pub(crate) fn new(origin: &Origin, args: &[&str]) -> Self {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir_in("/dev/shm").unwrap()];
        let home = Home::new(dirs[0].path(), &dirs[1].path().join("run")).unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_fsd"));
        Self { served: Served::start(program, &home, Some(&origin.url("")), args, |_| ()).unwrap(), _dirs: dirs }
    }

    /// MiB resident, and of it what is neither program text nor shared.
    pub(crate) fn memory(&self) -> [f64; 2] {
        let status = fs::read_to_string(format!("/proc/{}/status", self.served.worker())).unwrap();
        ["VmRSS:", "RssAnon:"].map(|of| {
            let kib = status.lines().find_map(|line| line.strip_prefix(of)?.trim().strip_suffix(" kB")?.parse().ok());
            kib.unwrap_or(0.0) / 1024.0
        })
    }

    /// Reads that are not answered yet, as it says of itself.
    pub(crate) fn waiting(&self) -> u64 {
        let mut command = self.served.home().command(Path::new(env!("CARGO_BIN_EXE_fsd")));
        let said = command.args(["status", "--json"]).output().unwrap().stdout;
        let status: serde_json::Value = serde_json::from_slice(&said).unwrap_or_default();
        let rows = status["inflight"].as_array().into_iter().flatten();
        rows.filter(|row| row[0] == "Read").filter_map(|row| row[1].as_u64()).sum()
    }

    pub(crate) fn threads(&self) -> usize {
        fs::read_dir(format!("/proc/{}/task", self.served.worker())).unwrap().count()
    }

    /// MiB that temp files take on the disk.
    pub(crate) fn disk(&self) -> u64 {
        use std::os::unix::fs::MetadataExt as _;
        let files = fs::read_dir(self.served.home().temp()).unwrap().flatten();
        files.map(|file| file.metadata().map_or(0, |data| data.blocks())).sum::<u64>() >> 11
    }
}
