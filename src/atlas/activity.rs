//! Which neurons are dead, and which rare, next to the others of their layer (DEFINITIONS 3).

use crate::stats::histogram::{Histogram, edges};
use crate::stats::neuron::NeuronStats;

use super::facts::RARE_ONE_IN;

/// The largest magnitude of a dead neuron, as a share of the layer's median.
const DEAD_SHARE: f64 = 0.01;

/// What of a neuron's statistics decides, until the others of its layer are known.
pub(super) struct Activity {
    /// `None` if nothing was counted.
    largest: Option<f64>,
    histogram: Option<Histogram>,
}

impl Activity {
    pub(super) fn of(stats: &NeuronStats) -> Self {
        Self {
            largest: (stats.moments.count > 0).then(|| stats.moments.largest()),
            histogram: stats.histogram.clone(),
        }
    }
}

/// The magnitude up to which a neuron of a layer is dead: a hundredth of the median of the largest magnitudes of those that
/// have any.
pub(super) fn threshold(layer: &[Activity]) -> f64 {
    let largest = layer.iter().filter_map(|of| of.largest);
    let mut largest: Vec<f64> = largest.filter(|largest| *largest > 0.0).collect();
    largest.sort_unstable_by(f64::total_cmp);
    let Some(&upper) = largest.get(largest.len() / 2) else {
        return 0.0;
    };
    let median = match largest.len() % 2 {
        1 => upper,
        _ => (largest[largest.len() / 2 - 1] + upper) / 2.0,
    };
    DEAD_SHARE * median
}

/// Whether a neuron is dead, and whether it is rare, as far as that is known.
pub(super) fn dead_and_rare(of: &Activity, threshold: f64) -> [Option<bool>; 2] {
    let Some(largest) = of.largest else {
        return [None; 2];
    };
    let is_dead = largest <= threshold;
    let rare = of.histogram.as_ref().map(|histogram| {
        let is_above = |bin: u8| {
            let (low, high) = edges(usize::from(bin));
            low >= threshold || -high >= threshold
        };
        let above = histogram.bins().filter(|(bin, _)| is_above(*bin));
        let n: u64 = above.map(|(_, n)| n).sum();
        !is_dead && (n as f64) < histogram.total() as f64 / RARE_ONE_IN as f64
    });
    [Some(is_dead), rare]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f32]) -> Activity {
        let mut stats = NeuronStats::new(crate::stats::MlpKind::Plain);
        let histogram = stats.histogram.as_mut().unwrap();
        for &value in values {
            stats.moments.push(value);
            histogram.push(value);
        }
        Activity::of(&stats)
    }

    #[test]
    fn dead_is_small_next_to_the_layer() {
        let layer = [
            of(&[4.0, -1.0]),
            of(&[0.02]),
            of(&[-2.0]),
            of(&[0.0]),
            of(&[0.05]),
            of(&[]),
        ];
        // the median of 4, 2, 0.05 and 0.02 is 1.025
        let threshold = threshold(&layer);
        assert!((threshold - 0.01025).abs() < 1e-6);
        let dead = layer.each_ref().map(|of| dead_and_rare(of, threshold)[0]);
        let some = Some;
        assert_eq!(
            dead,
            [
                some(false),
                some(false),
                some(false),
                some(true),
                some(false),
                None
            ]
        );
        assert_eq!(dead_and_rare(&of(&[0.01]), threshold)[0], Some(true));
    }

    #[test]
    fn rare_counts_bins_wholly_above() {
        let mut values = vec![0.0; 200_000];
        values[7] = -3.0;
        assert_eq!(dead_and_rare(&of(&values), 0.5), [Some(false), Some(true)]);
        values[8] = 3.0;
        assert_eq!(dead_and_rare(&of(&values), 0.5), [Some(false), Some(false)]);
        // the bin of 0.55 begins at 0.5, that of 0.7 does not reach 0.8
        assert_eq!(dead_and_rare(&of(&[0.55]), 0.5)[1], Some(false));
        assert_eq!(dead_and_rare(&of(&[0.55]), 0.51)[1], Some(true));
        // a dead neuron is not rare as well
        assert_eq!(dead_and_rare(&of(&values), 5.0), [Some(true), Some(false)]);
    }
}
