//! On which side a neuron speaks, and whether it does so where windows start (DEFINITIONS 2 and 6).

use crate::ids::{DocId, Pos};
use crate::shard::ExampleRow;
use crate::stats::examples::ListKind;
use crate::stats::starts::{START_POSITIONS, Starts};
use crate::tokens::Windowing;

/// Examples of each list that decide.
const DECIDING: usize = 10;

/// From which share of the stronger side's size on the weaker side is shown alike.
const ALIKE: f32 = 0.8;

/// The sign of a neuron's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    /// Positive values.
    Positive,
    /// Negative values.
    Negative,
}

impl Side {
    /// Both, the positive one first.
    pub const ALL: [Self; 2] = [Self::Positive, Self::Negative];

    /// Name in files and records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Positive => "positive",
            Self::Negative => "negative",
        }
    }

    /// The side of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|side| side.name() == name)
    }

    /// The list of its examples.
    pub fn list(self) -> ListKind {
        match self {
            Self::Positive => ListKind::Top,
            Self::Negative => ListKind::Bottom,
        }
    }

    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::Positive => Self::Negative,
            Self::Negative => Self::Positive,
        }
    }
}

/// The side that dominates, and how far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Orientation {
    /// The side whose first examples have the larger median size.
    pub side: Side,
    /// The other side's median size as a share of it, from 0 to 1.
    pub balance: f32,
}

impl Orientation {
    /// Whether both sides are nearly as large, and so are shown alike.
    pub fn is_balanced(&self) -> bool {
        self.balance > ALIKE
    }

    /// Whether the neuron speaks with a side: the one that dominates, or either where both are nearly as large.
    pub fn speaks(&self, side: Side) -> bool {
        self.side == side || self.is_balanced()
    }
}

/// Whether a neuron fires where windows start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FiresAtStarts {
    /// By its largest values anywhere, or on the side that dominates.
    pub dominant: bool,
    /// By these, or on the other side: what reaches to both sides, such as the range, is then of starts, too.
    pub either: bool,
}

/// An example of one of the two sides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peak {
    pub(crate) side: Side,
    pub(crate) value: f32,
    pub(crate) place: (DocId, Pos),
    /// Whether a window starts there.
    pub(crate) at_start: bool,
}

/// The examples of both sides among those of a neuron.
pub(crate) fn peaks_of(examples: &[ExampleRow], windowing: &Windowing) -> Vec<Peak> {
    let side = |row: &ExampleRow| {
        let mut sides = Side::ALL.into_iter();
        sides.find(|side| side.list().name() == row.list)
    };
    let peaks = examples.iter().filter_map(|row| {
        Some(Peak {
            side: side(row)?,
            value: row.example.value,
            place: (row.example.doc, row.example.pos),
            at_start: is_start(windowing, row.example.pos),
        })
    });
    peaks.collect()
}

/// Whether a window starts at a position of a document.
pub(crate) fn is_start(windowing: &Windowing, pos: Pos) -> bool {
    let token = windowing.token_at(pos);
    let row = token.map(|token| windowing.row_of(token));
    row.is_some_and(|row| (1..=START_POSITIONS).contains(&row))
}

/// Finds the side that dominates, by the examples of both, best first. Those where windows start count only if there are no
/// others. `None` if no example is of the side of its list.
pub(crate) fn orientation(peaks: &[Peak]) -> Option<Orientation> {
    let all_at_starts = peaks.iter().all(|peak| peak.at_start);
    let size = |side: Side| {
        let own = peaks.iter().filter(|peak| peak.side == side);
        let own = own.filter(|peak| all_at_starts || !peak.at_start);
        let sizes = own.take(DECIDING).map(|peak| match side {
            Side::Positive => peak.value,
            Side::Negative => -peak.value,
        });
        median(sizes.collect()).unwrap_or(0.0).max(0.0)
    };
    let [positive, negative] = Side::ALL.map(size);
    let (side, stronger, weaker) = match negative > positive {
        true => (Side::Negative, negative, positive),
        false => (Side::Positive, positive, negative),
    };
    (stronger > 0.0).then(|| Orientation {
        side,
        balance: weaker / stronger,
    })
}

/// Finds whether a neuron fires where windows start; `starts` are its values there, if they are known.
pub(crate) fn fires_at_starts(
    peaks: &[Peak],
    orientation: Option<Orientation>,
    starts: Option<&Starts>,
) -> FiresAtStarts {
    let dominate = starts.is_some_and(Starts::dominate);
    let half = |side: Side| {
        let own = peaks.iter().filter(|peak| peak.side == side);
        let first: Vec<_> = own.take(DECIDING).collect();
        let n = first.iter().filter(|peak| peak.at_start).count();
        n > 0 && 2 * n >= first.len()
    };
    let dominant = dominate || orientation.is_some_and(|of| half(of.side));
    FiresAtStarts {
        dominant,
        either: dominant || Side::ALL.into_iter().any(half),
    }
}

/// The middle one of some values, or the mean of the two in the middle.
fn median(mut values: Vec<f32>) -> Option<f32> {
    values.sort_unstable_by(f32::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    Some(match values.len() % 2 {
        1 => upper,
        // so that no sum is too large for an f32
        _ => values[values.len() / 2 - 1] / 2.0 + upper / 2.0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peaks(positive: &[f32], negative: &[f32]) -> Vec<Peak> {
        let of = |side: Side, values: &[f32]| {
            let peak = |&value: &f32| Peak {
                side,
                value,
                place: (DocId(0), Pos(0)),
                at_start: value.abs() > 100.0,
            };
            values.iter().map(peak).collect::<Vec<_>>()
        };
        [of(Side::Positive, positive), of(Side::Negative, negative)].concat()
    }

    #[test]
    fn the_side_of_the_larger_median_dominates() {
        let of = |positive: &[f32], negative: &[f32]| orientation(&peaks(positive, negative));
        let found = of(&[9.0, 1.0, 1.0], &[-4.0, -3.0, -2.0]).unwrap();
        assert_eq!((found.side, found.balance), (Side::Negative, 1.0 / 3.0));
        assert!(!found.is_balanced());
        // what is huge at starts says nothing, unless there is nothing else
        let found = of(&[2.0, 2.0], &[-900.0, -1.7]).unwrap();
        assert_eq!((found.side, found.balance), (Side::Positive, 0.85));
        assert!(found.is_balanced());
        assert_eq!(of(&[], &[-900.0]).unwrap().side, Side::Negative);
        // a neuron that is never positive
        assert_eq!(of(&[-0.1, -0.2], &[-5.0]).unwrap().balance, 0.0);
        assert_eq!(of(&[], &[]), None);
        assert_eq!(of(&[0.0], &[0.0]), None);
        // the first ten decide
        let many: Vec<f32> = (0..20).map(|at| if at < 10 { 3.0 } else { 0.1 }).collect();
        assert_eq!(of(&many, &[-2.0]).unwrap().side, Side::Positive);
    }

    #[test]
    fn half_of_the_first_ten_make_a_neuron_of_starts() {
        let of = |positive: &[f32], negative: &[f32]| {
            let peaks = peaks(positive, negative);
            let found = fires_at_starts(&peaks, orientation(&peaks), None);
            [found.dominant, found.either]
        };
        assert_eq!(of(&[900.0, 800.0, 2.0, 1.0], &[-1.0]), [true, true]);
        assert_eq!(of(&[900.0, 3.0, 2.0], &[-1.0]), [false, false]);
        assert_eq!(of(&[3.0, 2.0], &[-900.0, -1.0]), [false, true]);
        let quiet = Starts::default();
        let mut loud = Starts {
            elsewhere_max: 2.0,
            elsewhere_min: -1.0,
            ..quiet
        };
        loud.moments.push(-6.5);
        let with = |starts: &Starts| fires_at_starts(&[], None, Some(starts)).dominant;
        assert_eq!([with(&quiet), with(&loud)], [false, true]);
    }
}
