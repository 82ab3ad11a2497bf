//! Parts of one step on several threads: the feature `rayon`, and the same loop in order without it.
//!
//! What is divided, and in which order partial sums are added up, depends on shapes alone: results have the same bits
//! with and without the feature, on any number of threads.

use std::marker::PhantomData;
use std::ops::Range;

/// Calls `work(0)` to `work(count - 1)`, in any order and on the threads of the current rayon pool.
#[cfg(feature = "rayon")]
pub(crate) fn for_each_part(count: usize, work: impl Fn(usize) + Send + Sync) {
    use rayon::iter::{IntoParallelIterator, ParallelIterator};

    if count <= 1 || rayon::current_num_threads() == 1 {
        return (0..count).for_each(work);
    }
    (0..count).into_par_iter().for_each(|part| {
        // The mode belongs to the thread: that of the caller says nothing about the pool's.
        let _flush = crate::denormals::FlushDenormals::new();
        work(part);
    });
}

/// Calls `work(0)` to `work(count - 1)`.
#[cfg(not(feature = "rayon"))]
pub(crate) fn for_each_part(count: usize, work: impl Fn(usize) + Send + Sync) {
    (0..count).for_each(work);
}

/// [`for_each_part`] with a work buffer for each thread: a copy of the first, made when a pool has more threads than any
/// before.
///
/// # Panics
/// If there is no work buffer.
pub(crate) fn for_each_part_with<W: Clone + Send>(
    count: usize,
    workspaces: &mut Vec<W>,
    work: impl Fn(usize, &mut W) + Send + Sync,
) {
    if count <= 1 || workers() == 1 {
        return (0..count).for_each(|part| work(part, &mut workspaces[0]));
    }
    if workspaces.len() < workers() {
        workspaces.resize(workers(), workspaces[0].clone());
    }
    let workspaces = Shared::new(workspaces);
    for_each_part(count, |part| {
        let worker = worker();
        // SAFETY: a thread works on one part at a time, as nothing inside a part waits for other threads.
        work(part, &mut unsafe { workspaces.part(worker..worker + 1) }[0]);
    });
}

/// How many threads may work on parts at once.
fn workers() -> usize {
    #[cfg(feature = "rayon")]
    return rayon::current_num_threads();
    #[cfg(not(feature = "rayon"))]
    1
}

/// Which of them this thread is.
fn worker() -> usize {
    #[cfg(feature = "rayon")]
    return rayon::current_thread_index().unwrap_or(0);
    #[cfg(not(feature = "rayon"))]
    0
}

/// A slice whose parts are written by several callers at once.
pub(crate) struct Shared<'a, T> {
    pointer: *mut T,
    len: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: it stands for `&mut [T]`; who takes parts of it promises that they are disjoint.
unsafe impl<T: Send> Send for Shared<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    /// The slice, borrowed until all parts are done.
    pub fn new(slice: &'a mut [T]) -> Self {
        Self { pointer: slice.as_mut_ptr(), len: slice.len(), slice: PhantomData }
    }

    /// The elements `range`.
    ///
    /// # Safety
    /// No other part that is alive may overlap it.
    ///
    /// # Panics
    /// If it is out of range.
    #[expect(clippy::mut_from_ref, reason = "disjoint parts, as the caller promises")]
    pub unsafe fn part(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.len, "a part lies inside its slice");
        // SAFETY: in range by the assertion, and exclusive by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.pointer.add(range.start), range.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_worked_on_once() {
        let mut counts = [0u32; 37];
        let shared = Shared::new(&mut counts);
        // SAFETY: each part is one element of its own.
        for_each_part(37, |part| unsafe { shared.part(part..part + 1)[0] += part as u32 });
        assert!(counts.iter().enumerate().all(|(part, &count)| count == part as u32));
    }
}
