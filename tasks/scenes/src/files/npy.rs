//! NumPy's array format, version 1.0, little-endian, row-major: `numpy.load` reads what is written here.

use std::path::Path;

use crate::Error;

const MAGIC: &[u8] = b"\x93NUMPY\x01\x00";

/// Numbers that arrays are made of.
pub(crate) trait Element: Copy {
    /// NumPy's name of the type.
    const DESCRIPTION: &'static str;
    /// Bytes of one number.
    const BYTES: usize;
    /// Appends the number.
    fn put(self, bytes: &mut Vec<u8>);
    /// Reads the number from exactly [`Element::BYTES`] bytes.
    fn take(bytes: &[u8]) -> Self;
}

impl Element for f32 {
    const DESCRIPTION: &'static str = "<f4";
    const BYTES: usize = 4;
    fn put(self, bytes: &mut Vec<u8>) {
        bytes.extend(self.to_le_bytes());
    }
    fn take(bytes: &[u8]) -> Self {
        Self::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }
}

impl Element for u8 {
    const DESCRIPTION: &'static str = "|u1";
    const BYTES: usize = 1;
    fn put(self, bytes: &mut Vec<u8>) {
        bytes.push(self);
    }
    fn take(bytes: &[u8]) -> Self {
        bytes[0]
    }
}

/// An array with its shape.
#[derive(Debug, Clone, PartialEq)]
pub struct Array<T> {
    /// Extents, outermost first.
    pub shape: Vec<usize>,
    /// Row-major values.
    pub data: Vec<T>,
}

/// The array as a file.
pub(crate) fn encode<T: Element>(shape: &[usize], data: &[T]) -> Vec<u8> {
    assert_eq!(shape.iter().product::<usize>(), data.len(), "the shape belongs to the data");
    let extents: Vec<_> = shape.iter().map(|n| format!("{n},")).collect();
    let mut header =
        format!("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}", T::DESCRIPTION, extents.join(" "));
    // The data begins at a multiple of 64.
    let unpadded = MAGIC.len() + 2 + header.len() + 1;
    header.push_str(&" ".repeat(unpadded.next_multiple_of(64) - unpadded));
    header.push('\n');
    let mut bytes = Vec::with_capacity(MAGIC.len() + 2 + header.len() + data.len() * T::BYTES);
    bytes.extend(MAGIC);
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    data.iter().for_each(|value| value.put(&mut bytes));
    bytes
}

/// Reads what [`encode`] writes; anything else is corrupt.
pub(crate) fn decode<T: Element>(path: &Path, bytes: &[u8]) -> Result<Array<T>, Error> {
    let corrupt = |problem: &str| Error::corrupt(path, format!("is not a .npy file of {}: {problem}", T::DESCRIPTION));
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(|| corrupt("wrong magic bytes"))?;
    let (length, rest) = rest.split_first_chunk::<2>().ok_or_else(|| corrupt("it ends early"))?;
    let length = usize::from(u16::from_le_bytes(*length));
    let (header, rest) = rest.split_at_checked(length).ok_or_else(|| corrupt("it ends in its header"))?;
    let header = std::str::from_utf8(header).map_err(|_| corrupt("its header is not text"))?;
    if !header.contains(&format!("'descr': '{}'", T::DESCRIPTION)) || !header.contains("'fortran_order': False") {
        return Err(corrupt("another type or order"));
    }
    let shape = header.split_once('(').and_then(|(_, rest)| rest.split_once(')')).ok_or_else(|| corrupt("no shape"))?.0;
    let shape: Option<Vec<usize>> =
        shape.split(',').map(str::trim).filter(|s| !s.is_empty()).map(|s| s.parse().ok()).collect();
    let shape = shape.ok_or_else(|| corrupt("a shape that is not numbers"))?;
    let count = shape.iter().try_fold(T::BYTES, |n, &extent| n.checked_mul(extent));
    if count != Some(rest.len()) {
        return Err(corrupt(&format!("{} bytes of data do not fill the shape {shape:?}", rest.len())));
    }
    Ok(Array { shape, data: rest.chunks_exact(T::BYTES).map(T::take).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_survive_and_begin_at_a_multiple_of_64() {
        let data = [1.5f32, -2.0, f32::INFINITY, 0.0, 7.0, 8.0];
        let bytes = encode(&[2, 3], &data);
        assert_eq!((bytes.len() - 24) % 64, 0);
        let array = decode::<f32>(Path::new("a.npy"), &bytes).unwrap();
        assert_eq!((array.shape, array.data), (vec![2, 3], data.to_vec()));
        assert!(decode::<u8>(Path::new("a.npy"), &bytes).unwrap_err().to_string().contains("another type"));
        let error = decode::<f32>(Path::new("a.npy"), &bytes[..bytes.len() - 1]).unwrap_err();
        assert!(error.to_string().contains("do not fill the shape"), "{error}");
    }
}
