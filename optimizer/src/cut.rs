//! How the rows of one tensor are divided: pieces, whose sums are formed by themselves, and parts, runs of pieces that
//! one thread works on.
//!
//! A piece is a whole block, or some rows of one. The cut depends on the shape alone, and sums over pieces are added up
//! in their order: results have the same bits on any number of threads.

use std::ops::Range;

/// Elements that make a part worth a thread's while.
const PART: usize = 1 << 14;

/// More parts than this serve no machine, and each may need room of its own for sums.
const MOST_PARTS: usize = 64;

/// The least number of rows of a piece of a matrix: what depends on columns only is computed once per piece.
const LEAST_ROWS: usize = 8;

/// The cut of one tensor.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cut {
    /// Number of pieces.
    pub pieces: usize,
    /// Number of parts.
    pub parts: usize,
    per_block: usize,
    per_part: usize,
    rows: usize,
    piece_rows: usize,
}

impl Cut {
    /// Cuts `blocks × rows × cols`. Every part needs room for `shared` sums, if those are of a matrix.
    pub fn new([blocks, rows, cols]: [usize; 3], shared: Option<usize>) -> Self {
        let len = blocks * rows * cols;
        // The room for sums stays below a quarter of the tensor.
        let fit = shared.map_or(MOST_PARTS, |shared| len / (4 * shared).max(1));
        let wanted = (len / PART).min(MOST_PARTS).min(fit).max(1);
        if blocks >= wanted || blocks == 0 {
            let per_part = blocks.div_ceil(wanted).max(1);
            let parts = blocks.div_ceil(per_part);
            return Self { pieces: blocks, parts, per_block: 1, per_part, rows, piece_rows: rows };
        }
        let least = if shared.is_some() { LEAST_ROWS } else { 1 };
        let piece_rows = rows.div_ceil(wanted.div_ceil(blocks)).max(least).min(rows);
        let per_block = rows.div_ceil(piece_rows);
        Self { pieces: blocks * per_block, parts: blocks * per_block, per_block, per_part: 1, rows, piece_rows }
    }

    /// The pieces of a part.
    #[inline(always)]
    pub fn part(&self, part: usize) -> Range<usize> {
        part * self.per_part..((part + 1) * self.per_part).min(self.pieces)
    }

    /// The pieces of a block.
    #[inline(always)]
    pub fn of_block(&self, block: usize) -> Range<usize> {
        block * self.per_block..(block + 1) * self.per_block
    }

    /// The block that a piece belongs to, and its rows there.
    #[inline(always)]
    pub fn rows(&self, piece: usize) -> (usize, Range<usize>) {
        let start = piece % self.per_block * self.piece_rows;
        (piece / self.per_block, start..(start + self.piece_rows).min(self.rows))
    }

    /// The rows of some pieces, counted through all blocks.
    #[inline(always)]
    pub fn rows_through(&self, pieces: &Range<usize>) -> Range<usize> {
        let (first, last) = (self.rows(pieces.start), self.rows(pieces.end - 1));
        first.0 * self.rows + first.1.start..last.0 * self.rows + last.1.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_hold_every_row_once_and_in_order() {
        let shapes = [[1, 1000, 2500], [1, 3, 1_000_000], [9, 300, 64], [5000, 3, 3], [1, 250, 4096], [2, 1, 7]];
        for shape @ [blocks, rows, _] in shapes {
            for shared in [None, Some(rows), Some(blocks * rows * 100)] {
                let cut = Cut::new(shape, shared);
                let mut next = 0;
                for part in 0..cut.parts {
                    let through = cut.rows_through(&cut.part(part));
                    for piece in cut.part(part) {
                        let (block, own) = cut.rows(piece);
                        assert!(cut.of_block(block).contains(&piece) && !own.is_empty(), "{shape:?}");
                        assert!(through.start <= next && block * rows + own.start == next, "{shape:?}");
                        next = block * rows + own.end;
                    }
                    assert_eq!(through.end, next, "{shape:?}");
                }
                assert_eq!((next, cut.of_block(blocks - 1).end), (blocks * rows, cut.pieces), "{shape:?}");
            }
        }
    }

    #[test]
    fn small_tensors_stay_whole_and_large_ones_are_cut() {
        assert_eq!(Cut::new([1, 64, 32], Some(32)).parts, 1);
        assert_eq!(Cut::new([0, 0, 8], Some(8)).parts, 0);
        assert_eq!(Cut::new([1, 400, 625], Some(625)).parts, 15);
        assert_eq!(Cut::new([1, 4000, 2500], Some(2500)).parts, 64);
        assert_eq!(Cut::new([1, 10, 1_000_000], Some(1_000_000)).parts, 2, "eight rows at least");
        assert_eq!(Cut::new([10, 100_000, 1], Some(100_000)).parts, 2, "room for two times a hundred thousand sums");
    }
}
