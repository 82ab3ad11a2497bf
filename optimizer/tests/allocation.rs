//! No optimizer asks the allocator for anything inside `step`.

mod configurations;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use configurations::{configurations, mixed_layout};
use velo_optimizer::Optimizer;

thread_local! {
    static REQUESTS: Cell<usize> = const { Cell::new(0) };
}

/// The system allocator, counting the requests of each thread.
struct Counting;

// SAFETY: every request is handed on unchanged to the system allocator; counting touches a thread-local that
// needs neither initialisation nor a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        REQUESTS.set(REQUESTS.get() + 1);
        // SAFETY: the caller's obligations are those of the system allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        REQUESTS.set(REQUESTS.get() + 1);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn the_counter_sees_an_allocation() {
    let before = REQUESTS.get();
    drop(std::hint::black_box(vec![0u8; 100]));
    assert_eq!(REQUESTS.get() - before, 1);
}

#[test]
fn a_step_allocates_nothing() {
    let layout = mixed_layout();
    for (label, config) in configurations() {
        assert_eq!(requests_of_steps(config.build(&layout).unwrap().as_mut()), 0, "{label}");
    }
}

/// Requests to the allocator during twenty-five steps.
fn requests_of_steps(optimizer: &mut dyn Optimizer) -> usize {
    let len = optimizer.layout().len();
    let mut params = vec![0.5f32; len];
    let grads: Vec<f32> = (0..len).map(|index| (index as f32).sin()).collect();
    let before = REQUESTS.get();
    for _ in 0..25 {
        optimizer.step(&mut params, &grads, 1.0).unwrap();
    }
    REQUESTS.get() - before
}
