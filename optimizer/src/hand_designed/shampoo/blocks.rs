//! How Shampoo sees a tensor: neighbouring short axes merged, long axes cut.

/// A tensor after merging, and its blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BlockedTensor {
    shape: Vec<usize>,
    blocks: Vec<Block>,
}

/// One block of a tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    /// First index on every axis.
    start: Vec<usize>,
    /// Length of every axis.
    pub shape: Vec<usize>,
}

impl Block {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }
}

impl BlockedTensor {
    /// Merges and cuts a shape without empty axes; no axes give no blocks.
    pub fn new(shape: &[usize], merge_limit: usize, block_size: usize) -> Self {
        if shape.is_empty() {
            return Self { shape: Vec::new(), blocks: Vec::new() };
        }
        let shape = merge_axes(shape, merge_limit);
        let mut blocks = vec![Block { start: Vec::new(), shape: Vec::new() }];
        for &axis in &shape {
            let cut = blocks.iter().flat_map(|block| {
                (0..axis).step_by(block_size).map(|start| {
                    let mut block = block.clone();
                    block.start.push(start);
                    block.shape.push(block_size.min(axis - start));
                    block
                })
            });
            blocks = cut.collect();
        }
        Self { shape, blocks }
    }

    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Copies a block out of the tensor.
    pub fn gather(&self, block: &Block, tensor: &[f32], to: &mut [f32]) {
        let row = block.shape[block.shape.len() - 1];
        for (index, to) in to.chunks_exact_mut(row).enumerate() {
            let at = self.row_start(block, index);
            to.copy_from_slice(&tensor[at..at + row]);
        }
    }

    /// Copies a block back into the tensor.
    pub fn scatter(&self, block: &Block, from: &[f32], tensor: &mut [f32]) {
        let row = block.shape[block.shape.len() - 1];
        for (index, from) in from.chunks_exact(row).enumerate() {
            let at = self.row_start(block, index);
            tensor[at..at + row].copy_from_slice(from);
        }
    }

    /// Where a row of a block begins in the tensor.
    fn row_start(&self, block: &Block, row: usize) -> usize {
        let last = self.shape.len() - 1;
        let (mut rest, mut stride, mut at) = (row, self.shape[last], block.start[last]);
        for axis in (0..last).rev() {
            at += (block.start[axis] + rest % block.shape[axis]) * stride;
            rest /= block.shape[axis];
            stride *= self.shape[axis];
        }
        at
    }
}

/// Joins neighbouring axes as long as their product stays within `limit`.
fn merge_axes(shape: &[usize], limit: usize) -> Vec<usize> {
    let mut merged = Vec::new();
    let mut product = 1;
    for &axis in shape {
        if product * axis <= limit {
            product *= axis;
        } else {
            merged.extend((product > 1).then_some(product));
            product = axis;
        }
    }
    if product > 1 || merged.is_empty() {
        merged.push(product);
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_axes_merge_and_ones_vanish() {
        assert_eq!(merge_axes(&[3, 3, 2, 4], 64), [18, 4]);
        assert_eq!(merge_axes(&[1, 2, 512, 1, 2048, 1, 3, 4], 1024), [1024, 2048, 12]);
        assert_eq!(merge_axes(&[1, 1], 64), [1]);
    }

    #[test]
    fn blocks_cover_a_tensor_exactly_once() {
        let tensor: Vec<f32> = (0..7 * 5).map(|x| x as f32).collect();
        let blocked = BlockedTensor::new(&[7, 5], 3, 3);
        assert_eq!(blocked.blocks().len(), 6);
        let mut copy = vec![-1.0; 35];
        for block in blocked.blocks() {
            let mut room = vec![0.0; block.len()];
            blocked.gather(block, &tensor, &mut room);
            blocked.scatter(block, &room, &mut copy);
        }
        assert_eq!(copy, tensor);
        let mut last = [0.0; 2];
        blocked.gather(&blocked.blocks()[5], &tensor, &mut last);
        assert_eq!(last, [33.0, 34.0]);
    }
}
