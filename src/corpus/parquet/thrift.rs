//! Just enough of Thrift's compact protocol to see what a Parquet file claims before any of it is unpacked.
//!
//! Structs are walked field by field; the visitor takes what it knows, and the rest is passed over.

use std::io::{self, Read};

/// Structs and lists inside one another, at most.
const MOST_DEPTH: u32 = 32;

/// Types of the compact protocol.
pub(super) const I32: u8 = 5;
pub(super) const LIST: u8 = 9;
pub(super) const STRUCT: u8 = 12;

/// Reads values, and counts the bytes that they take.
pub(super) struct Thrift<R> {
    input: R,
    /// Bytes read so far.
    pub(super) n: u64,
    depth: u32,
}

fn bad(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.to_owned())
}

impl<R: Read> Thrift<R> {
    pub(super) fn new(input: R) -> Self {
        Self {
            input,
            n: 0,
            depth: 0,
        }
    }

    fn byte(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        self.input.read_exact(&mut byte)?;
        self.n += 1;
        Ok(byte[0])
    }

    fn pass(&mut self, n: u64) -> io::Result<()> {
        let passed = io::copy(&mut self.input.by_ref().take(n), &mut io::sink())?;
        self.n += passed;
        match passed == n {
            true => Ok(()),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn unsigned(&mut self) -> io::Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(bad("a number is too long"))
    }

    /// An integer of any width.
    pub(super) fn integer(&mut self) -> io::Result<i64> {
        let value = self.unsigned()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// The length of a list and the type of what is in it.
    pub(super) fn list(&mut self) -> io::Result<(u64, u8)> {
        let head = self.byte()?;
        let n = match head >> 4 {
            15 => self.unsigned()?,
            n => u64::from(n),
        };
        Ok((n, head & 15))
    }

    /// Walks a struct. The visitor is called with each field's number and type, and says whether it has read it.
    pub(super) fn structure(
        &mut self,
        mut visit: impl FnMut(&mut Self, i64, u8) -> io::Result<bool>,
    ) -> io::Result<()> {
        let mut id = 0;
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Ok(());
            }
            id = match head >> 4 {
                0 => self.integer()?,
                delta => id + i64::from(delta),
            };
            let kind = head & 15;
            if !visit(self, id, kind)? {
                self.skip(kind)?;
            }
        }
    }

    fn skip(&mut self, kind: u8) -> io::Result<()> {
        if self.depth == MOST_DEPTH {
            return Err(bad("it is nested too deeply"));
        }
        self.depth += 1;
        match kind {
            1 | 2 => (), // a boolean is its type
            3 => self.pass(1)?,
            4..=6 => drop(self.unsigned()?),
            7 => self.pass(8)?,
            8 => {
                let n = self.unsigned()?;
                self.pass(n)?;
            }
            9 | 10 => {
                let (n, kind) = self.list()?;
                for _ in 0..n {
                    self.skip_element(kind)?;
                }
            }
            11 => {
                let n = self.unsigned()?;
                let kinds = if n > 0 { self.byte()? } else { 0 };
                for _ in 0..n {
                    self.skip_element(kinds >> 4)?;
                    self.skip_element(kinds & 15)?;
                }
            }
            STRUCT => self.structure(|_, _, _| Ok(false))?,
            _ => return Err(bad("a type is not known")),
        }
        self.depth -= 1;
        Ok(())
    }

    /// In a list, a boolean is a byte.
    fn skip_element(&mut self, kind: u8) -> io::Result<()> {
        match kind {
            1 | 2 => self.pass(1),
            kind => self.skip(kind),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_fields_are_read_and_others_passed_over() {
        // 1: i32 -3; 2: list of two structs {1: true}; 4: binary "abc"; 5: i32 300
        let bytes = [
            0x15, 0x05, 0x19, 0x2c, 0x11, 0x00, 0x11, 0x00, 0x28, 0x03, b'a', b'b', b'c', 0x15,
            0xd8, 0x04, 0x00,
        ];
        let mut found = Vec::new();
        let mut thrift = Thrift::new(&bytes[..]);
        let read = thrift.structure(|thrift, id, kind| {
            if kind == I32 {
                found.push((id, thrift.integer()?));
            }
            Ok(kind == I32)
        });
        read.unwrap();
        assert_eq!(found, [(1, -3), (5, 300)]);
        assert_eq!(thrift.n, bytes.len() as u64);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_struct_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Thrift::new(&bytes[..]).structure(|_, _, _| Ok(false));
            let deep = vec![0x1c; 100_000];
            prop_assert!(Thrift::new(&deep[..]).structure(|_, _, _| Ok(false)).is_err());
        }
    }
}
