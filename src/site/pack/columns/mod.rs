//! Records by column: the same field of all records of a file stands together, which compresses well, and is described once.
//!
//! [`Column`] is a serializer. Each value that is serialised into it becomes its next row, and its fields the next rows of
//! columns of their own. docs/format.md describes the bytes; `theme/assets/read/pack.js` reads them.

mod serializer;

use foldhash::HashMap;
use serde::Serialize;
use twox_hash::XxHash3_128;

use self::serializer::ColumnError;

/// Steps of a coarse count from one to two.
const STEPS_OF_OCTAVE: f64 = 8.0;
/// Steps of a cosine from 0 to 1.
const COSINE_STEPS: f64 = 10_000.0;

/// What is known of a row.
const ABSENT: u8 = 0;
const NULL: u8 = 1;
const THERE: u8 = 2;

/// Set in the kind of a column if a state is given for each row.
const HAS_STATES: u8 = 0x80;

/// Magnitudes between which an `f32` holds six digits.
const SIX_DIGITS: std::ops::Range<f64> = 1e-30..1e30;

/// Bytes from which on a column is not written again.
const WORTH_NAMING: usize = 8;

/// The columns of a file that may be named, by the hashes of their bytes, with their numbers.
#[derive(Default)]
pub(crate) struct Written(HashMap<u128, usize>);

/// A column of rows of one kind.
#[derive(Debug, Default)]
pub(crate) struct Column {
    states: Vec<u8>,
    /// Number of the rows that are there.
    n_there: usize,
    values: Values,
    /// The newtype around its numbers, if there is one.
    newtype: &'static str,
}

/// The values of the rows that are there.
#[derive(Debug, Default)]
enum Values {
    #[default]
    None,
    Flags(Vec<u8>),
    Integers(Vec<i64>),
    /// With six digits.
    Rounded(Vec<f64>),
    Singles(Vec<f32>),
    /// With the upper three bytes of an `f32`.
    Shorts(Vec<f32>),
    Cosines(Vec<i16>),
    Coarse(Vec<u8>),
    Texts(Texts),
    Objects(Vec<(String, Column)>),
    Lists(Vec<usize>, Box<Column>),
    Tuples(Vec<Column>),
    Bytes(Vec<usize>, Vec<u8>),
}

/// Texts, each once.
#[derive(Debug, Default)]
struct Texts {
    places: HashMap<String, usize>,
    distinct: Vec<String>,
    rows: Vec<usize>,
}

impl Texts {
    fn push(&mut self, text: &str) {
        let place = match self.places.get(text) {
            Some(&place) => place,
            None => {
                self.places.insert(text.to_owned(), self.distinct.len());
                self.distinct.push(text.to_owned());
                self.distinct.len() - 1
            }
        };
        self.rows.push(place);
    }
}

impl Column {
    /// Adds a record as the next row.
    pub(crate) fn push(&mut self, record: &impl Serialize) -> Result<(), ColumnError> {
        record.serialize(self)
    }

    /// Number of its rows.
    pub(crate) fn len(&self) -> usize {
        self.states.len()
    }

    fn push_state(&mut self, state: u8) {
        self.states.push(state);
        self.n_there += usize::from(state == THERE);
    }

    /// A column whose rows so far were all absent.
    fn after(n: usize) -> Self {
        Self {
            states: vec![ABSENT; n],
            ..Self::default()
        }
    }

    /// Adds the bytes of the column. One that is the same as an earlier one of the file is named by that one's number.
    pub(crate) fn write(&self, out: &mut Vec<u8>, written: &mut Written) {
        let at = out.len();
        self.write_whole(out, written);
        let is_leaf = !matches!(
            self.values,
            Values::Objects(_) | Values::Lists(..) | Values::Tuples(_)
        );
        if is_leaf && out.len() - at >= WORTH_NAMING {
            let number = written.0.len();
            let same = *written
                .0
                .entry(XxHash3_128::oneshot(&out[at..]))
                .or_insert(number);
            if same < number {
                out.truncate(at);
                out.push(13);
                push_length(out, same);
            }
        }
    }

    fn write_whole(&self, out: &mut Vec<u8>, written: &mut Written) {
        let at = out.len();
        let all_there = self.n_there == self.states.len();
        out.push(0);
        if !all_there {
            out.extend_from_slice(&self.states);
        }
        let kind = match &self.values {
            Values::None => 0,
            Values::Flags(flags) => {
                out.extend_from_slice(flags);
                1
            }
            Values::Integers(numbers) => match plane_bytes(numbers) {
                Some(width) => {
                    out.push(width as u8);
                    let bytes = numbers.iter().map(|n| n.to_le_bytes());
                    push_first_planes(out, bytes, width);
                    15
                }
                None => {
                    for &n in numbers {
                        push_signed(out, n);
                    }
                    2
                }
            },
            Values::Rounded(numbers) if numbers.iter().all(|&n| fits_single(n)) => {
                let singles = numbers.iter().map(|&n| (n as f32).to_le_bytes());
                push_planes::<4>(out, singles);
                3
            }
            Values::Rounded(numbers) => {
                push_planes::<8>(out, numbers.iter().map(|n| n.to_le_bytes()));
                4
            }
            Values::Singles(numbers) => {
                push_planes::<4>(out, numbers.iter().map(|n| n.to_le_bytes()));
                5
            }
            Values::Shorts(numbers) => {
                let upper = |n: &f32| {
                    let [_, low, middle, high] = shortened(*n).to_le_bytes();
                    [low, middle, high]
                };
                push_planes::<3>(out, numbers.iter().map(upper));
                6
            }
            Values::Cosines(numbers) => {
                push_planes::<2>(out, numbers.iter().map(|n| n.to_le_bytes()));
                12
            }
            Values::Coarse(codes) => {
                out.extend_from_slice(codes);
                14
            }
            Values::Texts(texts) => {
                push_length(out, texts.distinct.len());
                for text in &texts.distinct {
                    push_length(out, text.len());
                }
                for text in &texts.distinct {
                    out.extend_from_slice(text.as_bytes());
                }
                for &row in &texts.rows {
                    push_length(out, row);
                }
                7
            }
            Values::Objects(fields) => {
                push_length(out, fields.len());
                for (name, column) in fields {
                    push_length(out, name.len());
                    out.extend_from_slice(name.as_bytes());
                    column.write(out, written);
                }
                8
            }
            Values::Lists(lengths, elements) => {
                lengths.iter().for_each(|&n| push_length(out, n));
                elements.write(out, written);
                9
            }
            Values::Tuples(columns) => {
                push_length(out, columns.len());
                columns.iter().for_each(|column| column.write(out, written));
                10
            }
            Values::Bytes(lengths, bytes) => {
                lengths.iter().for_each(|&n| push_length(out, n));
                out.extend_from_slice(bytes);
                11
            }
        };
        out[at] = kind | if all_there { 0 } else { HAS_STATES };
    }
}

/// Whether a number of six digits is the nearest to that of an `f32`.
fn fits_single(n: f64) -> bool {
    n == 0.0 || SIX_DIGITS.contains(&n.abs())
}

/// A count as its logarithm in steps; none as 0.
fn coarse(n: u64) -> u8 {
    match n {
        0 => 0,
        n => ((n as f64).log2() * STEPS_OF_OCTAVE).round().min(254.0) as u8 + 1,
    }
}

/// A number rounded to the upper three bytes of an `f32`.
fn shortened(n: f32) -> f32 {
    let bits = n.to_bits();
    // to the nearest; a carry into the exponent is right, and infinity is further than any number of a record
    f32::from_bits(bits.saturating_add(0x80) & 0xffff_ff00)
}

/// Adds a number of seven bits a byte, the lowest first; the top bit says that there is more.
pub(crate) fn push_length(out: &mut Vec<u8>, n: usize) {
    push_unsigned(out, n as u64);
}

fn push_unsigned(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// The same of a number with a sign, which is its lowest bit.
fn push_signed(out: &mut Vec<u8>, n: i64) {
    push_unsigned(out, (n << 1 ^ n >> 63) as u64);
}

/// How many bytes each of some integers has in planes, if these take less room than varints. Negative ones have no planes.
fn plane_bytes(numbers: &[i64]) -> Option<usize> {
    let bytes_of =
        |n: u64, bits: u32| (u64::BITS - n.leading_zeros()).div_ceil(bits).max(1) as usize;
    let one_by_one: usize = numbers.iter().map(|&n| bytes_of((n as u64) << 1, 7)).sum();
    let all = numbers.iter().fold(0, |all, &n| all | n);
    let width = bytes_of(all as u64, 8);
    (all >= 0 && width * numbers.len() + 1 < one_by_one).then_some(width)
}

/// Adds numbers byte by byte: the lowest of each, then the next of each.
fn push_planes<const N: usize>(out: &mut Vec<u8>, numbers: impl Iterator<Item = [u8; N]> + Clone) {
    push_first_planes(out, numbers, N);
}

/// Adds the lowest `n_planes` bytes of numbers, byte by byte.
fn push_first_planes<const N: usize>(
    out: &mut Vec<u8>,
    numbers: impl Iterator<Item = [u8; N]> + Clone,
    n_planes: usize,
) {
    for plane in 0..n_planes {
        out.extend(numbers.clone().map(|bytes| bytes[plane]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Record<'a> {
        n: u32,
        #[serde(skip_serializing_if = "Option::is_none")]
        note: Option<&'a str>,
        mean: Option<f64>,
        values: Vec<f32>,
        ends: (bool, i8),
    }

    /// The bytes of records by column.
    fn bytes<T: Serialize>(records: &[T]) -> Vec<u8> {
        let mut column = Column::default();
        for record in records {
            column.push(record).unwrap();
        }
        let mut out = Vec::new();
        column.write(&mut out, &mut Written::default());
        out
    }

    #[test]
    fn records_are_written_as_the_format_says() {
        let records = [
            Record {
                n: 300,
                note: None,
                mean: Some(1.0),
                values: vec![0.5],
                ends: (true, -1),
            },
            Record {
                n: 1,
                note: Some("é"),
                mean: None,
                values: vec![],
                ends: (false, 1),
            },
        ];
        #[rustfmt::skip]
        let expected = [
            8, 5,                                               // objects of five fields, in the order of the record
            1, b'n', 2, 0xd8, 0x04, 0x02,                       // 600 and 2: twice the numbers
            4, b'n', b'o', b't', b'e', 0x87, 0, 2, 1, 2, 0xc3, 0xa9, 0, // absent in the first
            4, b'm', b'e', b'a', b'n', 0x83, 2, 1, 0, 0, 0x80, 0x3f, // null in the second
            6, b'v', b'a', b'l', b'u', b'e', b's', 9, 1, 0, 5, 0, 0, 0, 0x3f,
            4, b'e', b'n', b'd', b's', 10, 2, 1, 1, 0, 2, 1, 2,
        ];
        assert_eq!(bytes(&records), expected);
    }

    #[test]
    fn columns_that_are_the_same_are_written_once() {
        #[derive(Serialize)]
        struct Twice {
            a: f64,
            b: f64,
            c: bool,
        }
        let record = |a| Twice { a, b: a, c: true };
        let all = bytes(&[1.5, 2.5].map(record));
        // kind 3 with two numbers takes nine bytes, and is named by its number
        let expected = [&[1, b'b', 13, 0][..], &[1, b'c', 1, 1, 1]].concat();
        assert!(all.ends_with(&expected), "{all:?}");
    }

    #[test]
    fn integers_are_written_in_planes_where_these_are_shorter() {
        let expected = [15, 2, 0x10, 0x20, 44, 0x27, 0x4e, 1];
        assert_eq!(bytes(&[10_000, 20_000, 300]), expected);
        assert_eq!(bytes(&[100, 200, 300])[0], 2);
        assert_eq!(bytes(&[1, 2, 70_000])[0], 2);
        assert_eq!(bytes(&[10_000, 20_000, -300])[0], 2);
        assert_eq!(bytes(&[i64::MAX; 2])[..2], [15, 8]);
    }

    #[test]
    fn numbers_keep_what_their_kind_says() {
        let kind = |n: f64| bytes(&[n])[0];
        assert_eq!([0.0, 1e-29, -123_456.0].map(kind), [3; 3]);
        assert_eq!([1e-40, 1e40].map(kind), [4; 2]);
        assert_eq!(kind(f64::NAN), HAS_STATES);
        for n in [1.0f32, -0.123_456, 3.0e-7, 65_535.9] {
            let error = (shortened(n) - n).abs() / n.abs();
            assert!(error <= 1.0 / 65_536.0, "{n}: {error}");
            assert_eq!(shortened(n).to_bits() & 0xff, 0);
        }
        assert_eq!([0, 1, 2, 3, u64::MAX].map(coarse), [0, 1, 9, 14, 255]);
        for n in 1..100_000u64 {
            let kept = (f64::from(coarse(n) - 1) / STEPS_OF_OCTAVE).exp2().round();
            let error = (kept - n as f64).abs();
            assert!(error <= (0.05 * n as f64).max(1.0), "{n}: {kept}");
        }
    }

    #[test]
    fn rows_of_one_column_are_of_one_kind() {
        let mut column = Column::default();
        column.push(&1u8).unwrap();
        assert!(column.push(&"one").is_err());
        assert!(Column::default().push(&u64::MAX).is_err());
    }
}
