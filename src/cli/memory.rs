//! How the allocator keeps memory.

/// Bytes from which on a block is the system's own, zeroed without being touched, and given back when it is freed. sled makes
/// 41 blocks of twice this for figures that it is built not to take.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGE: libc::c_int = 1 << 18;

/// Has all threads share one heap, and large blocks lie outside of it. glibc gives threads heaps of their own, and what one
/// has freed no other can use: opening a sled store of a million users frees some 50 MiB on one thread, and the others took
/// as much again. And once it has seen a large block freed, it takes the next ones from the heap too, which falls to pieces
/// under blocks such as Argon2's. To be called before there is a second thread.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "nothing else sets it from inside of a program")]
pub(super) fn share_one_heap() {
    // SAFETY: it sets numbers that the allocator goes by, and touches no memory of this program. If it is refused, more memory
    // is used and nothing else changes.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
    }
}

/// Gives back to the system what the start has used and freed: it is several times what a small store needs from then on.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "nothing else tells the allocator to")]
pub(super) fn give_back() {
    // SAFETY: it lets go of pages that no block of this program lies on.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Other allocators see to it themselves, or not.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(super) const fn give_back() {}

/// Other allocators have no such number.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(super) const fn share_one_heap() {}
