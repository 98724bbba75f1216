//! How the allocator keeps memory.

/// Bytes from which on a block is the system's own, zeroed without being touched, and given back when it is freed. sled makes
/// 41 blocks of twice this for figures that it is built not to take.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGE: libc::c_int = 1 << 18;

/// Has the first so many threads that take memory have heaps of their own, which all later ones share in turns, and large
/// blocks lie outside of them. By itself glibc makes eight heaps for each core, and what is freed in one is of no use to the others:
/// opening a sled store of a million users frees some 50 MiB on one thread, and others took as much again. With one heap for
/// all, those that answer requests waited for each other for a fifth of their time. And once glibc has seen a large block
/// freed, it takes the next ones from a heap too, which falls to pieces under blocks such as Argon2's. To be called before
/// there is a second thread; the last call counts.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "nothing else sets it from inside of a program")]
pub(super) fn limit_heaps(heaps: usize) {
    let heaps = libc::c_int::try_from(heaps).unwrap_or(libc::c_int::MAX);
    // SAFETY: it sets numbers that the allocator goes by, and touches no memory of this program. If it is refused, more memory
    // is used and nothing else changes.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, heaps);
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
    }
}

/// Has this memory lie in huge pages as far as the system has them and they fit in: a hash goes all over its memory, and finds
/// its way there faster. Most systems give huge pages only to who asks.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "nothing else asks for them")]
pub(super) fn in_huge_pages(memory: std::ops::Range<usize>) {
    const HUGE: usize = 2 << 20;
    let start = memory.start.next_multiple_of(HUGE);
    let end = memory.end / HUGE * HUGE;
    if start < end {
        // SAFETY: it changes how large the pages are that this memory lies on, and nothing of what is there. If it is refused,
        // they stay as they are.
        unsafe {
            libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_HUGEPAGE);
        }
    }
}

/// Gives what the program has freed back to the system. glibc by itself does so only with what lies last in a heap: of a million
/// users in sled, who were looked up at random, that left a tenth of all memory unused. It takes 2 ms there, during which one
/// heap after the other is locked.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "nothing else tells the allocator to")]
pub(super) fn give_back_freed() {
    // SAFETY: it lets go of pages that no block of this program lies on.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Gives back to the system what the start has used and freed: it is several times what a small store needs from then on. Its
/// code, too, most of which runs only once: what is needed of it again is mapped again, from the same file.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "nothing else tells the system to")]
pub(super) fn give_back() {
    give_back_freed();
    let mappings = std::fs::read_to_string("/proc/self/smaps").unwrap_or_default();
    if let Some(code) = unchanged_code(&mappings, give_back as *const () as usize) {
        // SAFETY: all pages of the mapping are as they are in its file, and nobody can write to them; whoever touches one again
        // finds the same there. The code that runs right now is in it, and is mapped again as soon as this returns.
        unsafe {
            libc::madvise(code.start as *mut libc::c_void, code.len(), libc::MADV_DONTNEED);
        }
    }
}

/// The addresses of the code that `address` is in, if it is mapped from a file, cannot be written, and no page of it is other
/// than in the file; `mappings` is what Linux says of them.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn unchanged_code(mappings: &str, address: usize) -> Option<std::ops::Range<usize>> {
    let mut lines = mappings.lines();
    let code = lines.by_ref().find_map(|line| {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let range = usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?;
        let of_a_file = rest.starts_with("r-xp") && rest.contains(" /");
        (of_a_file && range.contains(&address)).then_some(range)
    })?;
    // What is not in the file is in memory or swapped out.
    let mut none = |what| {
        lines
            .find_map(|line| line.strip_prefix(what))
            .is_some_and(|size| size.trim() == "0 kB")
    };
    (none("Anonymous:") && none("Swap:")).then_some(code)
}

/// Other allocators see to it themselves, or not.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(super) const fn give_back() {}

/// Other allocators see to it themselves, or not.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(super) const fn give_back_freed() {}

/// Other systems see to it themselves, or not.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(super) fn in_huge_pages(_: std::ops::Range<usize>) {}

/// Other allocators have no such number.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(super) const fn limit_heaps(_: usize) {}

#[cfg(all(test, target_os = "linux", target_env = "gnu"))]
mod tests {
    use std::sync::{Mutex, MutexGuard, PoisonError};

    use super::*;

    /// What one test looks at no other gives back meanwhile.
    fn alone() -> MutexGuard<'static, ()> {
        static GIVING_BACK: Mutex<()> = Mutex::new(());
        GIVING_BACK.lock().unwrap_or_else(PoisonError::into_inner)
    }

    const MAPPINGS: &str = "\
55b140f69000-55b140f6b000 r--p 00000000 fe:00 247282       /usr/bin/shild
Rss:                   8 kB
Anonymous:             0 kB
55b140f6b000-55b140f71000 r-xp 00002000 fe:00 247282       /usr/bin/shild
Rss:                  24 kB
Anonymous:             0 kB
Swap:                  0 kB
VmFlags: rd ex mr mw me
55b140f71000-55b140f72000 r--p 00008000 fe:00 247282       /usr/bin/shild
Anonymous:             4 kB
Swap:                  0 kB
7f0000000000-7f0000001000 r-xp 00000000 00:00 0            [vdso]
Anonymous:             0 kB
Swap:                  0 kB
7f0000002000-7f0000003000 r-xp 00000000 fe:00 247283       /usr/lib/libm.so.6
Anonymous:             4 kB
Swap:                  0 kB
7f0000004000-7f0000005000 r-xp 00000000 fe:00 247284       /usr/lib/libgcc_s.so.1
Anonymous:             0 kB
Swap:                  4 kB
";

    #[test]
    fn only_code_that_is_as_in_its_file_is_given_back() {
        let code = unchanged_code(MAPPINGS, 0x55b1_40f6_c123);
        assert_eq!(code, Some(0x55b1_40f6_b000..0x55b1_40f7_1000));
        for (address, why) in [
            (0x55b1_40f6_9000, "it is not code"),
            (0x7f00_0000_0010, "it is of no file"),
            (0x7f00_0000_2010, "a page of it was written"),
            (0x7f00_0000_4010, "a page of it was written and swapped out"),
            (0x10, "it is not mapped"),
        ] {
            assert_eq!(unchanged_code(MAPPINGS, address), None, "{why}");
        }
        assert_eq!(unchanged_code("", 0x55b1_40f6_c123), None);
    }

    #[test]
    fn what_fits_in_huge_pages_of_memory_is_to_lie_there_and_stays_as_it_is() {
        const MIB: usize = 1 << 20;
        if !std::fs::exists("/sys/kernel/mm/transparent_hugepage").unwrap() {
            eprintln!("SKIPPED: this system has no huge pages");
            return;
        }
        let _alone = alone();
        let block = vec![7_u8; 8 * MIB];
        let place = block.as_ptr_range();
        in_huge_pages(place.start.addr()..place.end.addr());
        // Of no whole one, which is nothing to ask for.
        in_huge_pages(place.start.addr()..place.start.addr() + MIB);
        in_huge_pages(0..0);
        let mappings = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let advised = mappings
            .split_inclusive("VmFlags:")
            .zip(mappings.split("VmFlags:").skip(1))
            .filter_map(|(mapping, flags)| {
                let hex = |text| usize::from_str_radix(text, 16).ok();
                let range = mapping.lines().find_map(|line| {
                    let (start, end) = line.split_once(' ')?.0.split_once('-')?;
                    Some(hex(start)?..hex(end)?)
                })?;
                let flags = flags.lines().next()?;
                (flags.split(' ').any(|flag| flag == "hg") && block_has(&place, &range)).then_some(range.len())
            });
        assert!(advised.sum::<usize>() >= 4 * MIB, "{mappings}");
        assert!(block.iter().all(|byte| *byte == 7));
    }

    fn block_has(block: &std::ops::Range<*const u8>, mapping: &std::ops::Range<usize>) -> bool {
        block.start.addr() <= mapping.start && mapping.end <= block.end.addr()
    }

    /// How many KiB of this process are in memory that is of no file.
    fn own() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let own = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        own.trim().trim_end_matches(" kB").parse().unwrap()
    }

    #[test]
    fn what_was_freed_between_blocks_that_are_kept_is_given_back() {
        const KIB: usize = 1024;
        let _alone = alone();
        let mut blocks: Vec<Vec<u8>> = (0..64 * KIB).map(|_| vec![1; KIB]).collect();
        let before = own();
        let mut number = 0;
        blocks.retain(|_| {
            number += 1;
            number % KIB == 0
        });
        give_back_freed();
        let after = own();
        assert!(after + 48 * 1024 < before, "{after} KiB of {before} KiB");
        assert_eq!(blocks.len(), 64);
    }

    /// How many KiB of the code that `address` is in are in memory.
    fn resident(address: usize) -> u64 {
        let mappings = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let code = unchanged_code(&mappings, address).unwrap();
        let begin = format!("{:x}-{:x} ", code.start, code.end);
        let rest = &mappings[mappings.find(&begin).unwrap()..];
        let resident = rest.lines().find_map(|line| line.strip_prefix("Rss:")).unwrap();
        resident.trim().trim_end_matches(" kB").parse().unwrap()
    }

    #[test]
    fn code_that_is_given_back_is_in_memory_no_more() {
        use std::io::{Read as _, Seek as _, SeekFrom};

        let _alone = alone();
        let here = give_back as *const () as usize;
        let mappings = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let code = unchanged_code(&mappings, here).unwrap();
        let mut memory = std::fs::File::open("/proc/self/mem").unwrap();
        // Other tests run the same code meanwhile, and have it mapped again.
        let seen: Vec<_> = (0..20)
            .map(|_| {
                memory.seek(SeekFrom::Start(code.start as u64)).unwrap();
                memory.read_exact(&mut vec![0; code.len()]).unwrap();
                let all = resident(here);
                give_back();
                (resident(here), all)
            })
            .collect();
        assert!(
            seen.iter().any(|(left, all)| *left < all / 2),
            "KiB left, of KiB: {seen:?}"
        );
    }

    // Nothing is lost by it: all of this runs on.
    #[test]
    fn what_was_given_back_is_mapped_again() {
        let _alone = alone();
        let mappings = || std::fs::read_to_string("/proc/self/smaps").unwrap();
        let code = unchanged_code(&mappings(), give_back as *const () as usize);
        give_back();
        give_back();
        assert_eq!(unchanged_code(&mappings(), give_back as *const () as usize), code);
        assert!(code.is_some());
    }
}
