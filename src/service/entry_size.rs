//! What an entry of a cache really takes, so that a bound in bytes is one. A test compares it with a process's memory.

use std::hash::Hash;

use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter, sync::Cache, sync::DefaultLifecycle};

/// The two counters before the contents of an `Arc`.
pub(super) const COUNTERS_OF_ARC: usize = 2 * size_of::<usize>();

/// What the allocator takes for so many bytes: a word before them, in steps of two, and four at least (glibc, `malloc.c`).
pub(super) const fn allocated(bytes: usize) -> usize {
    let chunk = (bytes + size_of::<usize>()).next_multiple_of(16);
    if chunk < 32 { 32 } else { chunk }
}

/// The weight of an entry whose parts take so many bytes: entries of many sizes come and go, and leave holes between them. A sixteenth
/// is about what was measured.
pub(super) const fn with_holes(bytes: usize) -> usize {
    bytes + bytes / 16
}

/// What the cache itself takes for an entry: its place in the slab, with links to its neighbours and its state, and a place in a
/// hash table that is between half and wholly full.
pub(super) const fn slot<Key, Value>() -> usize {
    const LINKS_AND_STATE: usize = 12;
    const TABLE: usize = 8;
    (size_of::<Key>() + size_of::<Value>() + LINKS_AND_STATE).next_multiple_of(8) + TABLE
}

/// A cache of at most `bytes`, by the weights that `size` gives, of entries that typically take `typical`.
pub(super) fn bounded<Key, Value, Size>(bytes: u64, typical: usize, size: Size) -> Cache<Key, Value, Size>
where
    Key: Eq + Hash,
    Value: Clone,
    Size: Weighter<Key, Value> + Clone,
{
    /// Of so many entries that were evicted the hash is kept in a place of the slab, for each that is there.
    const REMEMBERED: f64 = 0.1;
    let expected = usize::try_from(bytes).unwrap_or(usize::MAX) / typical;
    let mut options = OptionsBuilder::new();
    options.estimated_items_capacity(expected).weight_capacity(bytes).ghost_allocation(REMEMBERED);
    match options.build() {
        Ok(options) => Cache::with_options(options, size, DefaultHashBuilder::default(), DefaultLifecycle::default()),
        // Never: both of what an option must be given is.
        Err(_) => Cache::with_weighter(expected, bytes, size),
    }
}
