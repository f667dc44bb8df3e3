//! Values where windows start (DEFINITIONS 2): some neurons are enormous at the first positions that a model sees, whatever
//! the text is.

use super::moments::Moments;

/// Positions at which a window starts: so many after its first, which is not counted.
pub const START_POSITIONS: usize = 3;

/// How many times as large as elsewhere values must be for the neuron to fire at starts.
const TIMES_AS_LARGE: f64 = 3.0;

/// The ranking hook at counted positions where windows start, and its extremes elsewhere.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Starts {
    /// Moments where windows start.
    pub moments: Moments,
    /// Smallest value at the other counted positions; `+∞` when there are none.
    pub elsewhere_min: f32,
    /// Largest value there; `−∞` when there are none.
    pub elsewhere_max: f32,
}

impl Default for Starts {
    fn default() -> Self {
        Self {
            moments: Moments::default(),
            elsewhere_min: f32::INFINITY,
            elsewhere_max: f32::NEG_INFINITY,
        }
    }
}

impl Starts {
    /// Adds the positions of another part.
    pub fn merge(&mut self, other: &Self) {
        self.moments.merge(&other.moments);
        self.elsewhere_min = self.elsewhere_min.min(other.elsewhere_min);
        self.elsewhere_max = self.elsewhere_max.max(other.elsewhere_max);
    }

    /// Largest magnitude at the other counted positions; 0 without any.
    pub fn largest_elsewhere(&self) -> f64 {
        let extremes = [self.elsewhere_min, self.elsewhere_max];
        let sizes = extremes.into_iter().filter(|value| value.is_finite());
        sizes
            .map(|value| f64::from(value.abs()))
            .fold(0.0, f64::max)
    }

    /// Whether the largest magnitude where windows start is more than three times the largest elsewhere.
    pub fn dominate(&self) -> bool {
        self.moments.largest() > TIMES_AS_LARGE * self.largest_elsewhere()
    }
}
