//! Letters for signs: a fixed-width font of 5 × 7 cells, drawn for this crate.
//!
//! A plate is measured in cells: one letter takes 6 (one of them a gap) by 7, with a margin of 2 all around.

/// Characters with a glyph; rows from top to bottom, the left column in bit 4.
const GLYPHS: &[(char, [u8; 7])] = &[
    (' ', [0, 0, 0, 0, 0, 0, 0]),
    ('A', [0b01110, 0b10001, 0b10001, 0b11111, 0b10001, 0b10001, 0b10001]),
    ('B', [0b11110, 0b10001, 0b10001, 0b11110, 0b10001, 0b10001, 0b11110]),
    ('C', [0b01111, 0b10000, 0b10000, 0b10000, 0b10000, 0b10000, 0b01111]),
    ('D', [0b11110, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b11110]),
    ('E', [0b11111, 0b10000, 0b10000, 0b11110, 0b10000, 0b10000, 0b11111]),
    ('F', [0b11111, 0b10000, 0b10000, 0b11110, 0b10000, 0b10000, 0b10000]),
    ('G', [0b01111, 0b10000, 0b10000, 0b10011, 0b10001, 0b10001, 0b01110]),
    ('H', [0b10001, 0b10001, 0b10001, 0b11111, 0b10001, 0b10001, 0b10001]),
    ('I', [0b01110, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110]),
    ('J', [0b00111, 0b00010, 0b00010, 0b00010, 0b00010, 0b10010, 0b01100]),
    ('K', [0b10001, 0b10010, 0b10100, 0b11000, 0b10100, 0b10010, 0b10001]),
    ('L', [0b10000, 0b10000, 0b10000, 0b10000, 0b10000, 0b10000, 0b11111]),
    ('M', [0b10001, 0b11011, 0b10101, 0b10101, 0b10001, 0b10001, 0b10001]),
    ('N', [0b10001, 0b11001, 0b11001, 0b10101, 0b10011, 0b10011, 0b10001]),
    ('O', [0b01110, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b01110]),
    ('P', [0b11110, 0b10001, 0b10001, 0b11110, 0b10000, 0b10000, 0b10000]),
    ('Q', [0b01110, 0b10001, 0b10001, 0b10001, 0b10101, 0b10010, 0b01101]),
    ('R', [0b11110, 0b10001, 0b10001, 0b11110, 0b10100, 0b10010, 0b10001]),
    ('S', [0b01111, 0b10000, 0b10000, 0b01110, 0b00001, 0b00001, 0b11110]),
    ('T', [0b11111, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100]),
    ('U', [0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b01110]),
    ('V', [0b10001, 0b10001, 0b10001, 0b10001, 0b01010, 0b01010, 0b00100]),
    ('W', [0b10001, 0b10001, 0b10001, 0b10101, 0b10101, 0b11011, 0b10001]),
    ('X', [0b10001, 0b01010, 0b01010, 0b00100, 0b01010, 0b01010, 0b10001]),
    ('Y', [0b10001, 0b10001, 0b01010, 0b00100, 0b00100, 0b00100, 0b00100]),
    ('Z', [0b11111, 0b00001, 0b00010, 0b00100, 0b01000, 0b10000, 0b11111]),
    ('0', [0b01110, 0b10011, 0b10011, 0b10101, 0b11001, 0b11001, 0b01110]),
    ('1', [0b00100, 0b01100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110]),
    ('2', [0b01110, 0b10001, 0b00001, 0b00110, 0b01000, 0b10000, 0b11111]),
    ('3', [0b11110, 0b00001, 0b00001, 0b01110, 0b00001, 0b00001, 0b11110]),
    ('4', [0b00010, 0b00110, 0b01010, 0b10010, 0b11111, 0b00010, 0b00010]),
    ('5', [0b11111, 0b10000, 0b11110, 0b00001, 0b00001, 0b10001, 0b01110]),
    ('6', [0b00110, 0b01000, 0b10000, 0b11110, 0b10001, 0b10001, 0b01110]),
    ('7', [0b11111, 0b00001, 0b00010, 0b00010, 0b00100, 0b00100, 0b00100]),
    ('8', [0b01110, 0b10001, 0b10001, 0b01110, 0b10001, 0b10001, 0b01110]),
    ('9', [0b01110, 0b10001, 0b10001, 0b01111, 0b00001, 0b00010, 0b01100]),
    ('-', [0, 0, 0, 0b11111, 0, 0, 0]),
    ('.', [0, 0, 0, 0, 0, 0b01100, 0b01100]),
    ('!', [0b00100, 0b00100, 0b00100, 0b00100, 0b00100, 0, 0b00100]),
    ('?', [0b01110, 0b10001, 0b00001, 0b00010, 0b00100, 0, 0b00100]),
    // Cyrillic letters that are not drawn like a Latin one.
    ('Б', [0b11111, 0b10000, 0b10000, 0b11110, 0b10001, 0b10001, 0b11110]),
    ('Г', [0b11111, 0b10000, 0b10000, 0b10000, 0b10000, 0b10000, 0b10000]),
    ('Ж', [0b10101, 0b10101, 0b01110, 0b00100, 0b01110, 0b10101, 0b10101]),
    ('И', [0b10001, 0b10001, 0b10011, 0b10101, 0b11001, 0b10001, 0b10001]),
    ('Л', [0b00111, 0b01001, 0b01001, 0b01001, 0b01001, 0b01001, 0b10001]),
    ('П', [0b11111, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001]),
    ('Ф', [0b00100, 0b01110, 0b10101, 0b10101, 0b01110, 0b00100, 0b00100]),
    ('Ш', [0b10101, 0b10101, 0b10101, 0b10101, 0b10101, 0b10101, 0b11111]),
    ('Э', [0b11110, 0b00001, 0b00001, 0b01111, 0b00001, 0b00001, 0b11110]),
    ('Ю', [0b10010, 0b10101, 0b10101, 0b11101, 0b10101, 0b10101, 0b10010]),
    ('Я', [0b01111, 0b10001, 0b10001, 0b01111, 0b00101, 0b01001, 0b10001]),
];

fn glyph(character: char) -> Option<&'static [u8; 7]> {
    GLYPHS.iter().find(|(known, _)| *known == character).map(|(_, rows)| rows)
}

/// True if the font has the character.
pub fn has(character: char) -> bool {
    glyph(character).is_some()
}

/// All characters, in the order of the font.
pub fn characters() -> impl Iterator<Item = char> {
    GLYPHS.iter().map(|(character, _)| *character)
}

/// Width and height of a plate for this many letters, in cells.
pub fn plate(letters: usize) -> (f64, f64) {
    (6.0 * letters.max(1) as f64 - 1.0 + 4.0, 11.0)
}

/// Text ready to be looked up by place.
#[derive(Debug, Clone)]
pub(crate) struct Lettering {
    rows: Vec<[u8; 7]>,
}

impl Lettering {
    /// Characters without a glyph stay blank; configurations with such are refused before.
    pub(crate) fn new(text: &str) -> Self {
        Self { rows: text.chars().map(|c| glyph(c).copied().unwrap_or_default()).collect() }
    }

    /// True if there is ink at a place of the plate, 0 to 1 from the upper left corner.
    pub(crate) fn is_ink(&self, u: f64, v: f64) -> bool {
        let (width, height) = plate(self.rows.len());
        let (x, y) = (u * width - 2.0, v * height - 2.0);
        if x < 0.0 || !(0.0..7.0).contains(&y) {
            return false;
        }
        let (letter, column) = ((x / 6.0) as usize, (x % 6.0) as u32);
        column < 5 && self.rows.get(letter).is_some_and(|rows| rows[y as usize] >> (4 - column) & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn glyphs_differ_and_fit_their_cells() {
        for (i, (a, rows)) in GLYPHS.iter().enumerate() {
            assert!(rows.iter().all(|row| *row < 32), "{a}");
            assert!(GLYPHS[i + 1..].iter().all(|(b, other)| a != b && rows != other), "{a}");
        }
    }

    #[test]
    fn an_l_has_its_stem_on_the_left_and_its_foot_at_the_bottom() {
        let text = Lettering::new("L");
        let (width, height) = plate(1);
        let ink = |x: f64, y: f64| text.is_ink((x + 2.5) / width, (y + 2.5) / height);
        assert!(ink(0.0, 0.0) && ink(0.0, 6.0) && ink(4.0, 6.0));
        assert!(!ink(4.0, 0.0) && !ink(5.0, 6.0) && !ink(-1.0, 3.0));
    }
}
