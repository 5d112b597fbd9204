//! `eu-stack -p` of elfutils: addresses and names, no arguments.

use std::collections::BTreeSet;

use super::{Draft, demangled, hand_over, location, locks};
use crate::{
    engine::fact::{Fact, Frame, Thread},
    formats::{Line, Mark, Parser, Taken, recent::Recent, scan},
};

pub(crate) fn parser() -> Box<dyn Parser> {
    Box::new(EuStack::default())
}

#[derive(Default)]
struct EuStack {
    draft: Option<Draft>,
    /// What stands behind the address: threads stand at the same few places.
    recent: Recent<Frame>,
    /// Where each frame of the dump stands: thread, frame, address.
    addresses: Vec<(usize, usize, u64)>,
}

impl Parser for EuStack {
    fn format(&self) -> &'static str {
        "eu-stack"
    }

    fn marks(&self) -> &'static [Mark] {
        &[Mark::Starts("PID "), Mark::Starts("TID ")]
    }

    fn is_idle(&self) -> bool {
        self.draft.is_none()
    }

    fn line(&mut self, line: &Line<'_>, out: &mut Vec<Fact>) -> Taken {
        let text = line.text;
        if let Some((pid, rest)) = text.strip_prefix("PID ").and_then(scan::num) {
            if rest != " - process" && rest != " - core" {
                return Taken::No;
            }
            self.finish(out);
            let mut draft = Draft::start(line, "eu-stack");
            draft.dump.pid = u32::try_from(pid).ok();
            self.draft = Some(draft);
            return Taken::Yes;
        }
        if let Some((number, ":")) = text.strip_prefix("TID ").and_then(scan::num) {
            self.close();
            let draft = self.draft.get_or_insert_with(|| Draft::start(line, "eu-stack"));
            draft.thread(line, Thread { label: super::numbered("thread ", number), number, ..Thread::default() });
            return Taken::Yes;
        }
        let Some(draft) = self.draft.as_mut().filter(|draft| draft.in_thread) else { return Taken::No };
        if let Some(rest) = text.strip_prefix('#') {
            let Some((frame, address)) = frame(rest, &mut self.recent) else { return Taken::Bad };
            draft.frame(frame);
            let thread = draft.dump.threads.len() - 1;
            let frame = draft.dump.threads[thread].frames.len() - 1;
            if self.addresses.last().is_none_or(|last| (last.0, last.1) != (thread, frame)) {
                self.addresses.push((thread, frame, address));
            }
            return Taken::Yes;
        }
        // `-s` puts the source of a frame on a line of its own, `-b` the build before that.
        let Some(frame) = draft.last_frame().filter(|_| text.starts_with("    ")) else { return Taken::No };
        if frame.file.is_none() && !text.trim_start().starts_with('[') {
            (frame.file, frame.line) = location(text.trim());
        }
        Taken::Yes
    }

    fn finish(&mut self, out: &mut Vec<Fact>) {
        self.close();
        self.place();
        hand_over(&mut self.draft, out);
    }
}

impl EuStack {
    fn close(&mut self) {
        let Some(thread) = self.draft.as_mut().and_then(Draft::current) else { return };
        thread.waits_for = locks::native(&thread.frames);
        if let Some(draft) = &mut self.draft {
            draft.in_thread = false;
        }
    }

    /// Modules, where the tool was not asked for them: the daemon's own is named by the outermost frames, and what lies
    /// beside a function of libfuse is libfuse, whose inner functions have no names.
    fn place(&mut self) {
        let addresses = std::mem::take(&mut self.addresses);
        let Some(Draft { dump, .. }) = &mut self.draft else { return };
        let program =
            |frame: &Frame| frame.module.as_deref().filter(|module| !scan::has(module, ".so")).map(Into::into);
        dump.process = dump.threads.iter().flat_map(|thread| &thread.frames).find_map(program);
        let known = |(thread, frame, address): &(usize, usize, u64)| {
            let frame = dump.threads.get(*thread)?.frames.get(*frame)?;
            (frame.module.is_none() && frame.function.starts_with("fuse_")).then_some(*address)
        };
        let library: BTreeSet<u64> = addresses.iter().filter_map(known).collect();
        for (thread, frame, address) in addresses {
            let Some(frame) = dump.threads.get_mut(thread).and_then(|thread| thread.frames.get_mut(frame)) else {
                continue;
            };
            let near = address.saturating_sub(LIBFUSE)..address.saturating_add(LIBFUSE);
            if &*frame.function == "??" && frame.module.is_none() && library.range(near).next().is_some() {
                frame.module = Some("libfuse".into());
            }
        }
    }
}

/// Bytes of code of libfuse, at most.
const LIBFUSE: u64 = 0x3_0000;

/// `1  0x00007f0226e08482 - 1 __pthread_mutex_lock@GLIBC_2.2.5 - /usr/lib/libc.so.6`, and its address.
fn frame(rest: &str, recent: &mut Recent<Frame>) -> Option<(Frame, u64)> {
    let (_, rest) = scan::num(rest)?;
    let (address, rest) = scan::hex(rest.trim_start().strip_prefix("0x")?)?;
    Some((recent.made(rest, at_address)?, address))
}

fn at_address(rest: &str) -> Option<Frame> {
    let rest = rest.strip_prefix(" - 1").unwrap_or(rest);
    let (rest, module) = match scan::rsplit(rest, " - ").filter(|(_, module)| module.starts_with(['/', '['])) {
        Some((rest, module)) => (rest.trim(), Some(module.into())),
        None => (rest.trim_start(), None),
    };
    let (symbol, file, line) = match scan::rsplit(rest, " ").filter(|(_, tail)| is_source(tail)) {
        Some((symbol, place)) => {
            let (file, line) = location(place);
            (symbol.trim_end(), file, line)
        }
        None => (rest, None, None),
    };
    let symbol = scan::split(symbol, "@").map_or(symbol, |(name, _)| name);
    let function = if symbol.is_empty() { "??".into() } else { demangled(symbol) };
    Some(Frame { function, file, line, module, ..Frame::default() })
}

fn is_source(word: &str) -> bool {
    scan::rsplit(word, ":").is_some_and(|(_, line)| !line.is_empty() && line.bytes().all(|b| b.is_ascii_digit()))
}
