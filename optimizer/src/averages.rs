//! The averages that the per-parameter network keeps of every gradient element: three momenta and a mean square, in
//! `f32` or in half the room.
//!
//! Kernels see rows of `f32`. In half the room, a row is widened into a work buffer before and rounded after it is
//! changed, so that the same code serves both.

use std::ops::Range;

use crate::bfloat16::{self, AccumulatorStorage};
use crate::parallel::Shared;
use crate::state::{Slot, StateLayout, parts};

/// Planes: `m₀`, `m₁`, `m₂` and `v`.
pub(crate) const PLANES: usize = 4;

/// The plane of `v`.
pub(crate) const MEAN_SQUARE: usize = 3;

/// Where the averages of one tensor lie in the optimizer's state.
#[derive(Debug, Clone)]
pub(crate) struct AverageSlots {
    momentum: Slot,
    mean_square: Slot,
    storage: AccumulatorStorage,
    len: usize,
    /// Hash of the tensor's name.
    seed: u32,
}

impl AverageSlots {
    /// Lays out the averages of the tensor `name`.
    pub fn new(name: &str, shape: &[usize], state: &mut StateLayout) -> Self {
        Self {
            momentum: state.accumulator(&format!("momentum/{name}"), &[&[3], shape].concat()),
            mean_square: state.accumulator(&format!("mean_square/{name}"), shape),
            storage: state.accumulator_storage(),
            len: shape.iter().product(),
            seed: name.bytes().fold(0, |seed, byte| bfloat16::hash(seed ^ u32::from(byte))),
        }
    }

    /// The averages inside the flat state, and two other slots of it. Update number `step` comes next.
    pub fn resolve<'a>(
        &self,
        state: &'a mut [f32],
        others: [Slot; 2],
        step: u64,
    ) -> (Averages<'a>, [&'a mut [f32]; 2]) {
        let [momentum, mean_square, first, second] =
            parts(state, [self.momentum, self.mean_square, others[0], others[1]]);
        let averages = match self.storage {
            AccumulatorStorage::F32 => {
                let [m0, m1, m2] = thirds(momentum);
                Averages::Full([m0, m1, m2, mean_square])
            }
            AccumulatorStorage::Bf16 => {
                let [m0, m1, m2] = thirds(bfloat16::halves_mut(momentum, 3 * self.len));
                let planes = [m0, m1, m2, bfloat16::halves_mut(mean_square, self.len)];
                Averages::Half { planes, first: 0, seed: bfloat16::hash(self.seed ^ step as u32) }
            }
        };
        (averages, [first, second])
    }
}

/// Numbers that the work buffer for a row of `cols` elements must have.
pub(crate) fn row_scratch_len(storage: AccumulatorStorage, cols: usize) -> usize {
    match storage {
        AccumulatorStorage::F32 => 0,
        AccumulatorStorage::Bf16 => PLANES * cols,
    }
}

/// Three equally long planes of one array.
pub(crate) fn thirds<T>(array: &mut [T]) -> [&mut [T]; 3] {
    let third = array.len() / 3;
    let (first, rest) = array.split_at_mut(third);
    let (second, third) = rest.split_at_mut(third);
    [first, second, third]
}

/// The averages of consecutive elements of one tensor, in planes of equal length.
pub(crate) enum Averages<'a> {
    /// As they are.
    Full([&'a mut [f32]; PLANES]),
    /// As the upper halves of what they are.
    Half {
        /// Bits.
        planes: [&'a mut [u16]; PLANES],
        /// The place of the first element in the tensor.
        first: usize,
        /// Stands for the tensor and the update at hand.
        seed: u32,
    },
}

impl Averages<'_> {
    /// The elements `range` of every plane.
    #[inline(always)]
    pub fn row<'a>(&'a self, range: Range<usize>, scratch: &'a mut [f32]) -> [&'a [f32]; PLANES] {
        match self {
            Self::Full(planes) => std::array::from_fn(|plane| &planes[plane][range.clone()]),
            Self::Half { planes, .. } => {
                let rows = widened(planes.each_ref().map(|plane| &plane[range.clone()]), scratch);
                rows.map(|row| &*row)
            }
        }
    }

    /// The same, to be changed; [`put_back`](Self::put_back) must follow.
    #[inline(always)]
    pub fn row_mut<'a>(&'a mut self, range: Range<usize>, scratch: &'a mut [f32]) -> [&'a mut [f32]; PLANES] {
        match self {
            Self::Full(planes) => planes.each_mut().map(|plane| &mut plane[range.clone()]),
            Self::Half { planes, .. } => widened(planes.each_ref().map(|plane| &plane[range.clone()]), scratch),
        }
    }

    /// Keeps what was done to the rows that `row_mut` gave for the same range and buffer.
    #[inline(always)]
    pub fn put_back(&mut self, range: Range<usize>, scratch: &[f32]) {
        let Self::Half { planes, first, seed } = self else { return };
        for (number, (plane, row)) in planes.iter_mut().zip(scratch.chunks_exact(range.len())).enumerate() {
            let seed = bfloat16::hash(*seed ^ number as u32);
            bfloat16::round(row, &mut plane[range.clone()], seed, *first + range.start);
        }
    }

    /// Calls `body` for stretches of one plane, of `STRETCH` elements or what is left at the end.
    pub fn for_each_stretch<const STRETCH: usize>(&self, plane: usize, mut body: impl FnMut(&[f32])) {
        match self {
            Self::Full(planes) => planes[plane].chunks(STRETCH).for_each(body),
            Self::Half { planes, .. } => {
                let mut wide = [0.0; STRETCH];
                for halves in planes[plane].chunks(STRETCH) {
                    bfloat16::widen(halves, &mut wide);
                    body(&wide[..halves.len()]);
                }
            }
        }
    }
}

#[inline(always)]
fn widened<'a>(halves: [&[u16]; PLANES], scratch: &'a mut [f32]) -> [&'a mut [f32]; PLANES] {
    let cols = halves[0].len();
    let (m0, rest) = scratch.split_at_mut(cols);
    let (m1, rest) = rest.split_at_mut(cols);
    let (m2, rest) = rest.split_at_mut(cols);
    let mut rows = [m0, m1, m2, &mut rest[..cols]];
    for (halves, row) in halves.into_iter().zip(&mut rows) {
        bfloat16::widen(halves, row);
    }
    rows
}

/// Averages that several threads take part by part.
pub(crate) enum SharedAverages<'a> {
    Full([Shared<'a, f32>; PLANES]),
    Half([Shared<'a, u16>; PLANES], u32),
}

impl<'a> SharedAverages<'a> {
    /// Borrows the averages of a whole tensor until all parts are done.
    pub fn new<'b: 'a>(averages: &'a mut Averages<'b>) -> Self {
        match averages {
            Averages::Full(planes) => Self::Full(planes.each_mut().map(|plane| Shared::new(plane))),
            Averages::Half { planes, seed, .. } => Self::Half(planes.each_mut().map(|plane| Shared::new(plane)), *seed),
        }
    }

    /// The elements `range`.
    ///
    /// # Safety
    /// No other part that is alive may overlap it.
    pub unsafe fn part(&self, range: &Range<usize>) -> Averages<'_> {
        // SAFETY: as the caller promises.
        unsafe {
            match self {
                Self::Full(planes) => Averages::Full(planes.each_ref().map(|plane| plane.part(range.clone()))),
                Self::Half(planes, seed) => Averages::Half {
                    planes: planes.each_ref().map(|plane| plane.part(range.clone())),
                    first: range.start,
                    seed: *seed,
                },
            }
        }
    }
}
