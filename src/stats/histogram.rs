//! A 256-bin histogram that needs no prior range and merges exactly (DEFINITIONS 3).
//!
//! A bin is the sign, the exponent and the top two mantissa bits of the value: four bins an octave from 2⁻¹⁶ to
//! 2¹⁵·⁵ on each side of zero. Below that lies one bin of "almost zero" on each side, above it one of "very large".
//! Bins are numbered from the most negative to the most positive; zero, also `-0.0`, is in bin 128.

/// Number of bins.
pub const BINS: usize = 256;

const SIDE: i32 = 128;
/// Code (exponent and two mantissa bits) of 2⁻¹⁶, the smallest magnitude that has a bin of its own.
const FIRST: i32 = (127 - 16) << 2;

/// The bin of a value; NaN has none and must not be asked for.
#[inline(always)]
pub fn bin(x: f32) -> u8 {
    let bits = x.to_bits();
    let code = ((bits & 0x7fff_ffff) >> 21) as i32;
    let magnitude = (code - FIRST + 1).clamp(0, SIDE - 1);
    let negative = (bits >> 31 == 1) & (bits != 0x8000_0000);
    (if negative {
        SIDE - 1 - magnitude
    } else {
        SIDE + magnitude
    }) as u8
}

/// The values at which bin `bin` begins and ends; infinite at the outermost edges.
pub fn edges(bin: usize) -> (f64, f64) {
    let magnitude_edge = |magnitude: i32| match magnitude {
        0 => 0.0,
        SIDE => f64::INFINITY,
        m => {
            let code = FIRST + m - 1;
            f64::from(f32::from_bits((code as u32) << 21))
        }
    };
    let bin = bin as i32;
    if bin >= SIDE {
        (magnitude_edge(bin - SIDE), magnitude_edge(bin - SIDE + 1))
    } else {
        (
            -magnitude_edge(SIDE - bin),
            -magnitude_edge(SIDE - 1 - bin) + 0.0,
        )
    }
}

/// Counts by bin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    counts: Box<[u64; BINS]>,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: Box::new([0; BINS]),
        }
    }
}

impl Histogram {
    /// From the non-empty bins.
    pub fn from_bins(bins: impl IntoIterator<Item = (u8, u64)>) -> Self {
        let mut histogram = Self::default();
        for (bin, count) in bins {
            histogram.counts[usize::from(bin)] += count;
        }
        histogram
    }

    /// Adds one value that is not NaN.
    pub fn push(&mut self, x: f32) {
        self.counts[usize::from(bin(x))] += 1;
    }

    /// Adds the counts of another histogram.
    pub fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts.iter()) {
            *count += more;
        }
    }

    /// Count of every bin.
    pub fn counts(&self) -> &[u64; BINS] {
        &self.counts
    }

    /// The non-empty bins, ascending.
    pub fn bins(&self) -> impl Iterator<Item = (u8, u64)> + '_ {
        self.counts
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0)
            .map(|(bin, count)| (bin as u8, *count))
    }

    /// Number of values.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The value below which a share `q` of the values lies: linear within its bin, so at most one bin (a quarter of
    /// an octave) off, and never outside `[min, max]`. `None` without values.
    pub fn quantile(&self, q: f64, min: f32, max: f32) -> Option<f64> {
        let total = self.total();
        let rank = q * total as f64;
        let mut below = 0u64;
        let (bin, count) = self.bins().find(|(_, count)| {
            below += count;
            below as f64 >= rank
        })?;
        let (low, high) = edges(usize::from(bin));
        let (low, high) = (low.max(f64::from(min)), high.min(f64::from(max)));
        let share = ((rank - (below - count) as f64) / count as f64).clamp(0.0, 1.0);
        Some(low + (high - low) * share)
    }

    /// The share of values below the middle of a bin: its rank in the population, by which bands are cut.
    pub fn middle(&self, bin: u8) -> f64 {
        let (below, own, _) = self.around(bin);
        (below as f64 + own as f64 / 2.0) / self.total() as f64
    }

    /// Counts below, in and above a bin.
    pub fn around(&self, bin: u8) -> (u64, u64, u64) {
        let at = usize::from(bin);
        (
            self.counts[..at].iter().sum(),
            self.counts[at],
            self.counts[at + 1..].iter().sum(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bins_tile_the_line() {
        assert_eq!(edges(0).0, f64::NEG_INFINITY);
        assert_eq!(edges(BINS - 1).1, f64::INFINITY);
        for b in 1..BINS {
            assert_eq!(edges(b - 1).1, edges(b).0, "between bins {} and {b}", b - 1);
        }
        assert_eq!(edges(128).0, 0.0);
    }

    #[test]
    fn zeros_are_one_bin() {
        assert_eq!(bin(0.0), 128);
        assert_eq!(bin(-0.0), 128);
        assert_eq!(bin(-f32::MIN_POSITIVE), 127);
        assert_eq!(bin(f32::INFINITY), 255);
        assert_eq!(bin(f32::NEG_INFINITY), 0);
    }

    #[test]
    fn quantiles_of_a_constant_are_exact() {
        let mut histogram = Histogram::default();
        (0..10).for_each(|_| histogram.push(3.3));
        assert_eq!(histogram.quantile(0.5, 3.3, 3.3), Some(f64::from(3.3f32)));
        assert_eq!(Histogram::default().quantile(0.5, 0.0, 0.0), None);
    }

    proptest! {
        #[test]
        fn a_value_lies_in_its_bin(x in prop::num::f32::NORMAL | prop::num::f32::SUBNORMAL | prop::num::f32::ZERO) {
            let (low, high) = edges(usize::from(bin(x)));
            let x = f64::from(x);
            if x < 0.0 { prop_assert!(low < x && x <= high) } else { prop_assert!(low <= x && x < high) }
        }

        #[test]
        fn quantiles_are_within_a_bin_of_sorting(mut values in prop::collection::vec(-50f32..50.0, 1..400), q in 0.0..1.0f64) {
            let mut histogram = Histogram::default();
            values.iter().for_each(|&x| histogram.push(x));
            values.sort_by(f32::total_cmp);
            let exact = values[((q * values.len() as f64).ceil() as usize).clamp(1, values.len()) - 1];
            let found = histogram.quantile(q, values[0], values[values.len() - 1]).unwrap();
            let (low, high) = edges(usize::from(bin(exact)));
            prop_assert!(low <= found && found <= high, "{found} is not in [{low}, {high}] of {exact}");
        }
    }
}
