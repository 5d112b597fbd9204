//! Retention: the newest dumps stay, the oldest go.

use std::{ffi::CStr, fs::File};

use fsd_events::layout::STACKS_PREFIX;

use super::{fixed::Fixed, system};

/// Removes the oldest dumps of a directory until `keep` are left. Names sort by time.
pub(super) fn newest(dir: &File, keep: usize) {
    // Each round removes one; more than these are left for the next dump.
    for _ in 0..32 {
        let (mut count, mut oldest) = (0, None::<Fixed<64>>);
        system::names(dir, &mut |name| {
            let Some(name) = ours(name) else { return };
            count += 1;
            if oldest.is_none_or(|oldest| name < oldest.as_str()) {
                oldest = Some(Fixed::of(format_args!("{name}")));
            }
        });
        let Some(oldest) = oldest.filter(|_| count > keep.max(1)) else { return };
        oldest.as_c_str().into_iter().for_each(|name| system::remove(dir, name));
    }
}

fn ours(name: &CStr) -> Option<&str> {
    let name = name.to_str().ok()?;
    (name.starts_with(STACKS_PREFIX) && name.ends_with(".log") && name.len() < 60).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_stay_and_other_files_are_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        for n in 0..9 {
            std::fs::write(dir.path().join(format!("stacks-20261123T21470{n}.000Z.log")), "x").unwrap();
        }
        std::fs::write(dir.path().join("events-1.jsonl"), "x").unwrap();
        newest(&File::open(dir.path()).unwrap(), 3);
        let mut left: Vec<String> =
            std::fs::read_dir(dir.path()).unwrap().filter_map(|e| e.unwrap().file_name().into_string().ok()).collect();
        left.sort();
        let stacks = |n| format!("stacks-20261123T21470{n}.000Z.log");
        assert_eq!(left, [String::from("events-1.jsonl"), stacks(6), stacks(7), stacks(8)]);
    }
}
