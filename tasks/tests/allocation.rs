//! No task asks the allocator for anything once it has computed its first gradient.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use velo_tasks::family::{MixtureConfig, families, family_named};
use velo_tasks::registry::Group;
use velo_tasks::{Augmentation, Batch, Partition, Scope, Split, TaskConfig};

/// Draws of every family, and of the mixture.
const DRAWS: u64 = 5;

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

/// Requests to the allocator by gradients and losses of a task that has computed some of each.
fn requests(config: &TaskConfig) -> usize {
    let mut task = config.build().unwrap();
    let mut params = vec![0.0; task.layout().len()];
    let mut grads = vec![0.0; params.len()];
    task.init(1, &mut params);
    let mut compute = |indices: std::ops::Range<u64>| {
        for split in [Split::Train, Split::Validation] {
            for index in indices.clone() {
                let batch = Batch { seed: 2, split, index };
                let loss = task.loss_and_grad(&params, batch, &mut grads) + task.loss(&params, batch);
                assert!(loss.is_finite(), "{loss}: {config:?}");
            }
        }
    };
    compute(0..4);
    let before = REQUESTS.get();
    compute(4..8);
    REQUESTS.get() - before
}

/// Names those of `tasks` that allocate.
fn assert_none_allocates(tasks: impl IntoIterator<Item = TaskConfig>) {
    let mut offenders = String::new();
    for config in tasks {
        let requests = requests(&config);
        if requests > 0 {
            offenders += &format!("{requests} requests by {config:?}\n");
        }
    }
    assert!(offenders.is_empty(), "{offenders}");
}

#[test]
fn the_counter_sees_an_allocation() {
    let before = REQUESTS.get();
    drop(std::hint::black_box(vec![0u8; 100]));
    assert_eq!(REQUESTS.get() - before, 1);
}

#[test]
fn draws_of_families_allocate_nothing() {
    assert_none_allocates(families().iter().flat_map(|family| (0..DRAWS).map(|seed| family.sample(seed))));
}

#[test]
fn disguised_draws_of_the_broad_mixture_allocate_nothing() {
    let mixture = MixtureConfig::named("broad").unwrap().check().unwrap();
    assert_none_allocates((0..10 * DRAWS).map(|seed| mixture.draw(Partition::Train, seed)));
}

#[test]
fn fixed_tasks_allocate_nothing() {
    assert_none_allocates(Group::ALL.into_iter().flat_map(Group::tasks).map(|task| task.config.clone()));
}

#[test]
fn no_disguise_allocates() {
    let scopes = [Scope::Global, Scope::PerTensor, Scope::PerParameter];
    let reparametrised = scopes.map(|scope| Augmentation::Reparametrise { scope, decades: 1.0, seed: 3 });
    let others = [
        Augmentation::RescaleLoss { factor: 0.1 },
        Augmentation::GradientNoise { relative: 0.5, seed: 3 },
        Augmentation::Bfloat16Gradients,
        Augmentation::DelayedGradients { steps: 2 },
        Augmentation::NormalisedGradients,
        Augmentation::ProjectedGradients { directions: 2, seed: 3 },
        Augmentation::EvolutionGradients { deviation: 0.01, pairs: 2, seed: 3 },
        Augmentation::ReducedBatch { share: 0.5 },
        Augmentation::LabelNoise { share: 0.2, seed: 3 },
    ];
    let plain = family_named("mlp_mixture").unwrap().sample(1);
    let disguised = |augmentation| TaskConfig { augmentations: vec![augmentation], ..plain.clone() };
    assert_none_allocates(reparametrised.into_iter().chain(others).map(disguised));
}
