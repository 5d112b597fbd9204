//! Kernel memory: read by address, through a BPF program of sixteen instructions that runs on demand.
#![expect(unsafe_code, reason = "the bpf system call, and the map that the program shares with us")]

use std::{
    cell::Cell,
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
    ptr::NonNull,
};

/// Longest read in one go.
pub const CHUNK: usize = 4096;

/// An address that cannot be read: freed, or never one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("kernel address {0:#x} cannot be read")]
pub struct Fault(pub u64);

/// Memory of a kernel, real or made up by a test.
pub trait Memory {
    /// Fills `into` from `address`.
    ///
    /// # Errors
    /// When any byte of it cannot be read.
    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), Fault>;

    /// Address of the calling thread's task structure.
    fn current(&self) -> u64;

    /// The kernel's tick counter.
    fn jiffies(&self) -> u64;

    /// A number of 8 bytes.
    ///
    /// # Errors
    /// As [`Memory::read`].
    fn u64(&self, address: u64) -> Result<u64, Fault> {
        let mut raw = [0; 8];
        self.read(address, &mut raw)?;
        Ok(u64::from_ne_bytes(raw))
    }

    /// A number of 8 bytes within a structure.
    ///
    /// # Errors
    /// As [`Memory::read`].
    fn at(&self, structure: u64, offset: u64) -> Result<u64, Fault> {
        self.u64(structure.wrapping_add(offset))
    }
}

const PAGE: usize = 8192;
const AT_ADDRESS: i16 = 0;
const AT_LENGTH: i16 = 8;
const AT_CURRENT: i16 = 16;
const AT_RESULT: i16 = 24;
const AT_JIFFIES: i16 = 32;
const AT_DATA: i32 = 4096;

/// The running kernel's memory.
#[derive(Debug)]
pub struct Peek {
    program: OwnedFd,
    _map: OwnedFd,
    shared: NonNull<u8>,
    current: Cell<u64>,
    jiffies: Cell<u64>,
}

impl Peek {
    /// Loads the program.
    ///
    /// # Errors
    /// EPERM without CAP_BPF and CAP_PERFMON (or CAP_SYS_ADMIN), or under lockdown; EINVAL where the kernel has no
    /// such program type (before 5.14) or no BPF at all.
    pub fn load() -> io::Result<Self> {
        let map = map()?;
        // SAFETY: a fresh mapping of the map's only page pair, at an address of the kernel's choice.
        let at = unsafe {
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            libc::mmap(std::ptr::null_mut(), PAGE, protection, libc::MAP_SHARED, map.as_raw_fd(), 0)
        };
        let shared = NonNull::new(at.cast::<u8>()).filter(|_| at != libc::MAP_FAILED);
        let shared = shared.ok_or_else(io::Error::last_os_error)?;
        let program = program(map.as_raw_fd());
        let program = program.inspect_err(|_| unmap(shared))?;
        let peek = Self { program, _map: map, shared, current: Cell::new(0), jiffies: Cell::new(0) };
        peek.run(0, 0)?;
        Ok(peek)
    }

    fn run(&self, address: u64, length: u64) -> io::Result<i64> {
        self.store(AT_ADDRESS, address);
        self.store(AT_LENGTH, length);
        let mut attributes = [0u32; 20];
        attributes[0] = fd_word(&self.program);
        bpf(BPF_PROG_TEST_RUN, &mut attributes)?;
        self.current.set(self.load_word(AT_CURRENT));
        self.jiffies.set(self.load_word(AT_JIFFIES));
        Ok(self.load_word(AT_RESULT).cast_signed())
    }

    fn word(&self, at: i16) -> *mut u64 {
        // SAFETY: all offsets used are multiples of 8 inside the mapped page.
        unsafe { self.shared.as_ptr().add(usize::from(at.unsigned_abs())).cast() }
    }

    fn store(&self, at: i16, value: u64) {
        // SAFETY: aligned and inside the mapping; the kernel writes only while `run` is in its system call.
        unsafe { self.word(at).write_volatile(value) }
    }

    fn load_word(&self, at: i16) -> u64 {
        // SAFETY: as in `store`.
        unsafe { self.word(at).read_volatile() }
    }
}

impl Memory for Peek {
    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), Fault> {
        let mut address = address;
        for part in into.chunks_mut(CHUNK) {
            let result = self.run(address, part.len() as u64);
            if !matches!(result, Ok(0)) {
                return Err(Fault(address));
            }
            // SAFETY: the data half of the mapping holds CHUNK bytes, `part` no more than that, and they are apart.
            unsafe {
                let data = self.shared.as_ptr().add(AT_DATA.unsigned_abs() as usize);
                data.copy_to_nonoverlapping(part.as_mut_ptr(), part.len());
            }
            address = address.wrapping_add(CHUNK as u64);
        }
        Ok(())
    }

    fn current(&self) -> u64 {
        self.current.get()
    }

    fn jiffies(&self) -> u64 {
        // A failed run leaves the last value: older than now, never wrong by more than the time since.
        let _ = self.run(0, 0);
        self.jiffies.get()
    }
}

impl Drop for Peek {
    fn drop(&mut self) {
        unmap(self.shared);
    }
}

fn unmap(shared: NonNull<u8>) {
    // SAFETY: exactly the mapping made in `load`, and nobody keeps a reference into it.
    unsafe { libc::munmap(shared.as_ptr().cast(), PAGE) };
}

const BPF_MAP_CREATE: libc::c_long = 0;
const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_PROG_TEST_RUN: libc::c_long = 10;
const MAP_TYPE_ARRAY: u32 = 2;
const MAP_MMAPABLE: u32 = 1 << 10;
const PROG_TYPE_SYSCALL: u32 = 31;
const PROG_SLEEPABLE: u32 = 1 << 4;

fn bpf(command: libc::c_long, attributes: &mut [u32; 20]) -> io::Result<libc::c_long> {
    let size = size_of_val(attributes);
    // SAFETY: the kernel reads and writes at most `size` bytes of the array; pointers in it outlive the call.
    let got = unsafe { libc::syscall(libc::SYS_bpf, command, attributes.as_mut_ptr(), size) };
    if got < 0 { Err(io::Error::last_os_error()) } else { Ok(got) }
}

fn bpf_fd(command: libc::c_long, attributes: &mut [u32; 20]) -> io::Result<OwnedFd> {
    let fd = RawFd::try_from(bpf(command, attributes)?).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn fd_word(fd: &OwnedFd) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

fn map() -> io::Result<OwnedFd> {
    let mut attributes = [0; 20];
    attributes[..5].copy_from_slice(&[MAP_TYPE_ARRAY, 4, PAGE as u32, 1, MAP_MMAPABLE]);
    bpf_fd(BPF_MAP_CREATE, &mut attributes)
}

fn program(map: RawFd) -> io::Result<OwnedFd> {
    let code = assemble(map);
    let license = c"GPL";
    let mut attributes = [0; 20];
    attributes[0] = PROG_TYPE_SYSCALL;
    attributes[1] = u32::try_from(code.len()).map_err(io::Error::other)?;
    put_address(&mut attributes[2..4], code.as_ptr().addr());
    put_address(&mut attributes[4..6], license.as_ptr().addr());
    attributes[11] = PROG_SLEEPABLE;
    bpf_fd(BPF_PROG_LOAD, &mut attributes)
}

fn put_address(words: &mut [u32], address: usize) {
    let raw = (address as u64).to_ne_bytes();
    for (word, half) in words.iter_mut().zip(raw.chunks_exact(4)) {
        *word = u32::from_ne_bytes([half[0], half[1], half[2], half[3]]);
    }
}

const HELPER_CURRENT_TASK: i32 = 35;
const HELPER_READ_KERNEL: i32 = 113;
const HELPER_JIFFIES: i32 = 118;

/// One instruction in the kernel's encoding (little-endian register nibbles).
const fn insn(code: u8, to: u8, from: u8, offset: i16, value: i32) -> u64 {
    let registers = if cfg!(target_endian = "little") { from << 4 | to } else { to << 4 | from };
    let (o, v) = (offset.to_ne_bytes(), value.to_ne_bytes());
    u64::from_ne_bytes([code, registers, o[0], o[1], v[0], v[1], v[2], v[3]])
}

/// r6 = shared page; current = task; jiffies; result = probe_read_kernel(data, min(length, 4096), address).
fn assemble(map: RawFd) -> [u64; 16] {
    const LOAD_64: u8 = 0x18;
    const LOAD: u8 = 0x79;
    const STORE: u8 = 0x7b;
    const CALL: u8 = 0x85;
    const MOVE: u8 = 0xbf;
    const MOVE_VALUE: u8 = 0xb7;
    const ADD_VALUE: u8 = 0x07;
    const JUMP_IF_LESS_OR_EQUAL: u8 = 0xb5;
    const EXIT: u8 = 0x95;
    const MAP_VALUE: u8 = 2;
    [
        insn(LOAD_64, 6, MAP_VALUE, 0, map),
        insn(0, 0, 0, 0, 0),
        insn(CALL, 0, 0, 0, HELPER_CURRENT_TASK),
        insn(STORE, 6, 0, AT_CURRENT, 0),
        insn(CALL, 0, 0, 0, HELPER_JIFFIES),
        insn(STORE, 6, 0, AT_JIFFIES, 0),
        insn(LOAD, 3, 6, AT_ADDRESS, 0),
        insn(LOAD, 2, 6, AT_LENGTH, 0),
        insn(JUMP_IF_LESS_OR_EQUAL, 2, 0, 1, CHUNK as i32),
        insn(MOVE_VALUE, 2, 0, 0, CHUNK as i32),
        insn(MOVE, 1, 6, 0, 0),
        insn(ADD_VALUE, 1, 0, 0, AT_DATA),
        insn(CALL, 0, 0, 0, HELPER_READ_KERNEL),
        insn(STORE, 6, 0, AT_RESULT, 0),
        insn(MOVE_VALUE, 0, 0, 0, 0),
        insn(EXIT, 0, 0, 0, 0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_have_the_kernel_s_layout() {
        let store = insn(0x7b, 6, 0, 16, 0).to_ne_bytes();
        assert_eq!(store, [0x7b, 0x06, 16, 0, 0, 0, 0, 0]);
        let load = insn(0x79, 3, 6, 0, 0).to_ne_bytes();
        assert_eq!(load[1], 0x63);
    }

    #[test]
    fn the_running_kernel_can_be_read_and_a_bad_address_is_a_fault() {
        let peek = match Peek::load() {
            Ok(peek) => peek,
            Err(error) => return println!("SKIP bpf (found {error}, needs CAP_BPF and CAP_PERFMON)"),
        };
        assert!(peek.current() > 1 << 63, "the task structure lies in kernel memory");
        assert!(peek.u64(peek.current()).is_ok());
        assert_eq!(peek.u64(8), Err(Fault(8)));
        let before = peek.jiffies();
        assert!(before > 0 && peek.jiffies() >= before);
    }
}
