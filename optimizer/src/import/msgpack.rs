//! The part of MessagePack that weight files are made of, borrowed from the bytes of a file.
//!
//! A value is one marker byte, a big-endian length where the marker asks for one, and the content. Files are not
//! trusted: a length is compared with what is left before anything is reserved for it, nesting is limited to
//! [`MAX_DEPTH`] and the number of values to [`MAX_VALUES`], so memory stays within a small multiple of the input.
//!
//! A hundred lines of our own instead of a crate, because arrays are extensions whose payload is MessagePack again,
//! and because the limits have to hold before a tree is built.

/// Levels of maps and arrays. Published files have four.
const MAX_DEPTH: usize = 16;

/// Values in one file. The largest published file has some two hundred.
const MAX_VALUES: usize = 100_000;

/// One decoded value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<'a> {
    Nil,
    Bool(bool),
    Unsigned(u64),
    Negative(i64),
    Float(f64),
    Text(&'a str),
    Binary(&'a [u8]),
    Array(Vec<Value<'a>>),
    /// Entries in the order of the file; keys are text.
    Map(Vec<(&'a str, Value<'a>)>),
    /// An application's own type, by its code.
    Extension(i8, &'a [u8]),
}

impl<'a> Value<'a> {
    /// The value under `key`, if this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Map(entries) => entries.iter().find_map(|(name, value)| (*name == key).then_some(value)),
            _ => None,
        }
    }
}

/// Decodes `bytes`, which must hold exactly one value. The error says what is wrong and where.
pub(super) fn decode(bytes: &[u8]) -> Result<Value<'_>, String> {
    let mut decoder = Decoder { bytes, position: 0, values: 0 };
    let value = decoder.value(0)?;
    match bytes.len() - decoder.position {
        0 => Ok(value),
        extra => Err(format!("has {extra} bytes after the value that ends at byte {}", decoder.position)),
    }
}

struct Decoder<'a> {
    bytes: &'a [u8],
    position: usize,
    values: usize,
}

impl<'a> Decoder<'a> {
    fn value(&mut self, depth: usize) -> Result<Value<'a>, String> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(format!("has more than {MAX_VALUES} values"));
        }
        let start = self.position;
        let marker = self.unsigned(1)? as u8;
        Ok(match marker {
            0x00..=0x7f => Value::Unsigned(marker.into()),
            0x80..=0x8f => self.map(usize::from(marker & 0x0f), depth)?,
            0x90..=0x9f => self.array(usize::from(marker & 0x0f), depth)?,
            0xa0..=0xbf => Value::Text(self.text(usize::from(marker & 0x1f))?),
            0xc0 => Value::Nil,
            0xc2 | 0xc3 => Value::Bool(marker == 0xc3),
            0xc4..=0xc6 => {
                let len = self.length(1 << (marker - 0xc4))?;
                Value::Binary(self.take(len)?)
            }
            0xc7..=0xc9 => {
                let len = self.length(1 << (marker - 0xc7))?;
                self.extension(len)?
            }
            0xca => Value::Float(f32::from_bits(self.unsigned(4)? as u32).into()),
            0xcb => Value::Float(f64::from_bits(self.unsigned(8)?)),
            0xcc..=0xcf => Value::Unsigned(self.unsigned(1 << (marker - 0xcc))?),
            0xd0..=0xd3 => {
                let width = 1 << (marker - 0xd0);
                let unused_bits = 64 - 8 * width as u32;
                let number = (self.unsigned(width)? << unused_bits) as i64 >> unused_bits;
                u64::try_from(number).map_or(Value::Negative(number), Value::Unsigned)
            }
            0xd4..=0xd8 => self.extension(1 << (marker - 0xd4))?,
            0xd9..=0xdb => {
                let len = self.length(1 << (marker - 0xd9))?;
                Value::Text(self.text(len)?)
            }
            0xdc | 0xdd => {
                let len = self.length(2 << (marker - 0xdc))?;
                self.array(len, depth)?
            }
            0xde | 0xdf => {
                let len = self.length(2 << (marker - 0xde))?;
                self.map(len, depth)?
            }
            0xe0..=0xff => Value::Negative(i64::from(marker as i8)),
            0xc1 => return Err(format!("has the marker 0xc1 at byte {start}, which MessagePack does not use")),
        })
    }

    fn array(&mut self, len: usize, depth: usize) -> Result<Value<'a>, String> {
        self.nest(len, depth)?;
        (0..len).map(|_| self.value(depth + 1)).collect::<Result<_, _>>().map(Value::Array)
    }

    fn map(&mut self, len: usize, depth: usize) -> Result<Value<'a>, String> {
        self.nest(len, depth)?;
        let mut entries = Vec::new();
        for _ in 0..len {
            let position = self.position;
            let Value::Text(key) = self.value(depth + 1)? else {
                return Err(format!("has a key at byte {position} that is not text"));
            };
            entries.push((key, self.value(depth + 1)?));
        }
        Ok(Value::Map(entries))
    }

    /// Refuses to go deeper than the limit, and collections of more elements than there are bytes left.
    fn nest(&self, len: usize, depth: usize) -> Result<(), String> {
        if depth >= MAX_DEPTH {
            return Err(format!("nests deeper than {MAX_DEPTH} levels at byte {}", self.position));
        }
        self.check_left(len)
    }

    fn extension(&mut self, len: usize) -> Result<Value<'a>, String> {
        let code = self.unsigned(1)? as u8 as i8;
        Ok(Value::Extension(code, self.take(len)?))
    }

    fn text(&mut self, len: usize) -> Result<&'a str, String> {
        let start = self.position;
        std::str::from_utf8(self.take(len)?).map_err(|_| format!("has text at byte {start} that is not UTF-8"))
    }

    /// A length of `width` bytes.
    fn length(&mut self, width: usize) -> Result<usize, String> {
        let len = self.unsigned(width)?;
        usize::try_from(len).map_err(|_| format!("has a length of {len} at byte {}", self.position))
    }

    /// A big-endian number of `width` bytes, at most eight.
    fn unsigned(&mut self, width: usize) -> Result<u64, String> {
        Ok(self.take(width)?.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], String> {
        self.check_left(len)?;
        let taken = &self.bytes[self.position..][..len];
        self.position += len;
        Ok(taken)
    }

    fn check_left(&self, len: usize) -> Result<(), String> {
        let left = self.bytes.len() - self.position;
        if len <= left {
            return Ok(());
        }
        Err(format!("announces {len} more bytes or values at byte {}, but only {left} bytes follow", self.position))
    }
}

/// Appends a length with the narrowest of the given markers: `(marker, bytes of the length)`.
fn put_len(out: &mut Vec<u8>, len: usize, markers: &[(u8, usize)]) {
    let fits = |width: usize| width >= size_of::<usize>() || len >> (8 * width) == 0;
    let (marker, width) = *markers.iter().find(|(_, width)| fits(*width)).expect("arrays of weights are below 4 GiB");
    out.push(marker);
    out.extend_from_slice(&len.to_be_bytes()[size_of::<usize>() - width..]);
}

/// Appends the start of a map of `len` entries.
pub(super) fn put_map(out: &mut Vec<u8>, len: usize) {
    match len {
        0..16 => out.push(0x80 | len as u8),
        _ => put_len(out, len, &[(0xde, 2), (0xdf, 4)]),
    }
}

/// Appends the start of an array of `len` elements.
pub(super) fn put_array(out: &mut Vec<u8>, len: usize) {
    match len {
        0..16 => out.push(0x90 | len as u8),
        _ => put_len(out, len, &[(0xdc, 2), (0xdd, 4)]),
    }
}

/// Appends a number.
pub(super) fn put_unsigned(out: &mut Vec<u8>, number: usize) {
    match number {
        0..128 => out.push(number as u8),
        _ => put_len(out, number, &[(0xcc, 1), (0xcd, 2), (0xce, 4), (0xcf, 8)]),
    }
}

/// Appends text.
pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    match text.len() {
        len @ 0..32 => out.push(0xa0 | len as u8),
        len => put_len(out, len, &[(0xd9, 1), (0xda, 2), (0xdb, 4)]),
    }
    out.extend_from_slice(text.as_bytes());
}

/// Appends bytes.
pub(super) fn put_binary(out: &mut Vec<u8>, bytes: &[u8]) {
    put_len(out, bytes.len(), &[(0xc4, 1), (0xc5, 2), (0xc6, 4)]);
    out.extend_from_slice(bytes);
}

/// Appends an extension.
pub(super) fn put_extension(out: &mut Vec<u8>, code: i8, payload: &[u8]) {
    match payload.len() {
        len @ (1 | 2 | 4 | 8 | 16) => out.push(0xd4 + len.trailing_zeros() as u8),
        len => put_len(out, len, &[(0xc7, 1), (0xc8, 2), (0xc9, 4)]),
    }
    out.push(code as u8);
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_kind_of_number_is_read() {
        let cases: [(&[u8], Value<'_>); 8] = [
            (&[0x7f], Value::Unsigned(127)),
            (&[0xff], Value::Negative(-1)),
            (&[0xcd, 1, 0], Value::Unsigned(256)),
            (&[0xd0, 0x80], Value::Negative(-128)),
            (&[0xd1, 0, 5], Value::Unsigned(5)),
            (&[0xd3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe], Value::Negative(-2)),
            (&[0xca, 0x3f, 0x80, 0, 0], Value::Float(1.0)),
            (&[0xcb, 0xbf, 0xf0, 0, 0, 0, 0, 0, 0], Value::Float(-1.0)),
        ];
        for (bytes, value) in cases {
            assert_eq!(decode(bytes), Ok(value));
        }
    }

    #[test]
    fn what_is_written_is_read_at_every_width_of_length() {
        for len in [0, 1, 2, 15, 16, 31, 32, 255, 256, 65_535, 65_536] {
            let content = vec![b'x'; len];
            let text = std::str::from_utf8(&content).unwrap();
            let mut bytes = Vec::new();
            put_map(&mut bytes, 3);
            put_text(&mut bytes, text);
            put_unsigned(&mut bytes, len);
            put_text(&mut bytes, "binary");
            put_binary(&mut bytes, &content);
            put_text(&mut bytes, "extension");
            put_extension(&mut bytes, -3, &content);
            let entries = vec![
                (text, Value::Unsigned(len as u64)),
                ("binary", Value::Binary(&content)),
                ("extension", Value::Extension(-3, &content)),
            ];
            assert_eq!(decode(&bytes), Ok(Value::Map(entries)));
        }
    }

    #[test]
    fn long_arrays_and_maps_are_read() {
        let mut bytes = Vec::new();
        put_array(&mut bytes, 2);
        put_array(&mut bytes, 300);
        bytes.resize(bytes.len() + 300, 0xc0);
        put_map(&mut bytes, 0);
        assert_eq!(decode(&bytes), Ok(Value::Array(vec![Value::Array(vec![Value::Nil; 300]), Value::Map(vec![])])));
    }

    #[test]
    fn a_length_that_lies_is_an_error_before_anything_is_reserved() {
        for bytes in [[0xdd, 0xff, 0xff, 0xff, 0xff], [0xc6, 0xff, 0xff, 0xff, 0xff], [0xdf, 0x7f, 0xff, 0xff, 0xff]] {
            let error = decode(&bytes).unwrap_err();
            assert!(error.contains("only 0 bytes follow"), "{error}");
        }
    }

    #[test]
    fn a_nesting_bomb_is_an_error() {
        let error = decode(&[0x91; 1_000_000]).unwrap_err();
        assert_eq!(error, "nests deeper than 16 levels at byte 17");
    }

    #[test]
    fn a_crowd_of_tiny_values_is_an_error() {
        let mut bytes = Vec::new();
        put_array(&mut bytes, 1_000_000);
        bytes.resize(bytes.len() + 1_000_000, 0xc0);
        assert_eq!(decode(&bytes), Err("has more than 100000 values".to_owned()));
    }

    #[test]
    fn bytes_after_the_value_are_an_error() {
        assert!(decode(&[0xc0, 0xc0]).unwrap_err().contains("1 bytes after"));
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_value_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode(&bytes);
        }
    }
}
