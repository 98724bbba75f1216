//! The memory that one thread hashes in.

use std::ops::Range;

use argon2::Block;
use zeroize::{Zeroize, Zeroizing};

/// Is told at which addresses the memory of a hash lies before anybody touches it, and may tell the system what it is for.
pub type TellOfMemory = fn(Range<usize>);

/// The operating system gave no memory for a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OutOfMemory;

/// The blocks that one thread hashes in.
///
/// They are kept, because fresh ones cost nearly as much as the hash. What a hash leaves in them is worth
/// wiping: Argon2's steps can be undone down to the first blocks, which tell right guesses from wrong ones at the
/// price of one BLAKE2b. Wiping takes a tenth of a hash, so it is done when there is nothing else to do; under load
/// the next hash writes over all of it anyway.
#[derive(Debug)]
pub(super) struct Memory {
    kept: Zeroizing<Vec<Block>>,
    /// How many blocks are kept from the first hash on.
    keep: usize,
    /// How many blocks at the beginning have been written to since they were wiped.
    dirty: usize,
    /// Since the count was taken last.
    pub(super) allocations: u64,
    /// KiB times iterations of the hashes since the count was taken last.
    pub(super) work_kib: u64,
    tell: TellOfMemory,
}

impl Memory {
    #[cfg(test)]
    pub(super) fn new(keep: usize) -> Self {
        Self::told_of(keep, |_| ())
    }

    pub(super) fn told_of(keep: usize, tell: TellOfMemory) -> Self {
        Self {
            kept: Zeroizing::default(),
            keep,
            dirty: 0,
            allocations: 0,
            work_kib: 0,
            tell,
        }
    }

    /// Lends `count` blocks of any content; more than are kept are allocated for this use only.
    pub(super) fn lend<T>(&mut self, count: usize, use_them: impl FnOnce(&mut [Block]) -> T) -> Result<T, OutOfMemory> {
        if count > self.keep {
            let mut blocks = Zeroizing::new(self.allocate(count)?);
            return Ok(use_them(&mut blocks));
        }
        if self.kept.is_empty() {
            self.kept = Zeroizing::new(self.allocate(self.keep)?);
        }
        self.dirty = self.dirty.max(count);
        Ok(use_them(&mut self.kept[..count]))
    }

    fn allocate(&mut self, count: usize) -> Result<Vec<Block>, OutOfMemory> {
        let mut blocks = Vec::new();
        blocks.try_reserve_exact(count).map_err(|_| OutOfMemory)?;
        let place = blocks.spare_capacity_mut().as_ptr_range();
        (self.tell)(place.start.addr()..place.end.addr());
        blocks.resize(count, Block::new());
        self.allocations += 1;
        Ok(blocks)
    }

    pub(super) fn is_there(&self) -> bool {
        !self.kept.is_empty()
    }

    /// Keeps nothing until the next hash.
    pub(super) fn give_back(&mut self) {
        self.kept = Zeroizing::default();
        self.dirty = 0;
    }

    pub(super) fn is_dirty(&self) -> bool {
        self.dirty > 0
    }

    pub(super) fn wipe(&mut self) {
        self.kept[..self.dirty].iter_mut().zeroize();
        self.dirty = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    // W6
    #[test]
    fn memory_is_allocated_at_the_first_hash_and_kept() {
        let mut memory = Memory::new(8);
        assert_eq!((memory.allocations, memory.kept.len()), (0, 0));
        let first = memory.lend(8, |blocks| blocks.as_ptr()).unwrap();
        assert_eq!(memory.lend(4, |blocks| (blocks.len(), blocks.as_ptr())), Ok((4, first)));
        assert_eq!(memory.allocations, 1);
        assert_eq!(memory.lend(9, |blocks| blocks.len()), Ok(9));
        assert_eq!((memory.allocations, memory.kept.len()), (2, 8));
        assert_eq!(memory.lend(usize::MAX / 2, |_| ()), Err(OutOfMemory));
        assert_eq!(memory.allocations, 2);
    }

    #[test]
    fn it_is_told_where_memory_lies_each_time_that_there_is_any() {
        static TOLD: Mutex<Vec<Range<usize>>> = Mutex::new(Vec::new());
        let mut memory = Memory::told_of(8, |place| TOLD.lock().unwrap().push(place));
        let mut places = Vec::new();
        for count in [8, 3, 11] {
            let place = memory.lend(count, |blocks| blocks.as_ptr_range()).unwrap();
            if count != 3 {
                places.push(place.start.addr()..place.end.addr());
            }
        }
        assert_eq!(*TOLD.lock().unwrap(), places);
    }

    #[test]
    fn wiping_leaves_nothing() {
        let full = |memory: &Memory| {
            memory
                .kept
                .iter()
                .any(|block| block.as_ref().iter().any(|&word| word != 0))
        };
        let mut memory = Memory::new(8);
        memory
            .lend(3, |blocks| blocks.iter_mut().for_each(|block| block.as_mut().fill(7)))
            .unwrap();
        assert!(full(&memory) && memory.is_dirty());
        memory.wipe();
        assert!(!full(&memory) && !memory.is_dirty());
    }
}
