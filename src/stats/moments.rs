//! Count, extremes and power sums, and what follows from them (DEFINITIONS 3).

use serde::{Deserialize, Serialize};

/// Count, minimum, maximum and Σx…Σx⁴ of finite values. Merging adds, so parts of a scan give the whole.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Moments {
    /// Number of finite values.
    pub count: u64,
    /// Σx, Σx², Σx³, Σx⁴; `None` if they are not known.
    pub sums: Option<[f64; 4]>,
    /// Smallest value; `+∞` when `count` is 0.
    pub min: f32,
    /// Largest value; `−∞` when `count` is 0.
    pub max: f32,
}

impl Default for Moments {
    fn default() -> Self {
        Self {
            count: 0,
            sums: Some([0.0; 4]),
            min: f32::INFINITY,
            max: f32::NEG_INFINITY,
        }
    }
}

impl Moments {
    /// Adds one finite value.
    pub fn push(&mut self, x: f32) {
        let wide = f64::from(x);
        let square = wide * wide;
        self.count += 1;
        if let Some(sums) = &mut self.sums {
            sums[0] += wide;
            sums[1] += square;
            sums[2] += square * wide;
            sums[3] += square * square;
        }
        self.min = self.min.min(x);
        self.max = self.max.max(x);
    }

    /// Adds the values of another set.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.sums = self.sums.zip(other.sums).map(|(mut sums, more)| {
            sums.iter_mut()
                .zip(more)
                .for_each(|(sum, more)| *sum += more);
            sums
        });
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// Mean; `None` without values, or if the sums are not known.
    pub fn mean(&self) -> Option<f64> {
        let [sum, ..] = self.sums?;
        (self.count > 0).then(|| sum / self.count as f64)
    }

    /// Population variance, never negative; `None` without a mean.
    pub fn variance(&self) -> Option<f64> {
        self.central(2)
    }

    /// Skewness, `m₃ / m₂^1.5` of the population; `None` where the values do not vary.
    pub fn skewness(&self) -> Option<f64> {
        self.standardized(3)
    }

    /// Non-excess kurtosis, `m₄ / m₂²` of the population: 3 for a normal distribution; `None` where the values do
    /// not vary.
    pub fn kurtosis(&self) -> Option<f64> {
        self.standardized(4)
    }

    /// Largest minus smallest value; `None` without values.
    pub fn range(&self) -> Option<f64> {
        (self.count > 0).then(|| f64::from(self.max) - f64::from(self.min))
    }

    /// Largest magnitude; 0 without values.
    pub fn largest(&self) -> f64 {
        match self.count {
            0 => 0.0,
            _ => f64::from(self.max.abs().max(self.min.abs())),
        }
    }

    fn central(&self, order: u32) -> Option<f64> {
        let mean = self.mean()?;
        if self.min == self.max {
            return Some(0.0); // exactly, where rounding would leave a remainder
        }
        let [m1, m2, m3, m4] = self.sums?.map(|sum| sum / self.count as f64);
        Some(match order {
            2 => (m2 - m1 * m1).max(0.0),
            3 => m3 - 3.0 * mean * m2 + 2.0 * mean.powi(3),
            _ => (m4 - 4.0 * mean * m3 + 6.0 * mean * mean * m2 - 3.0 * mean.powi(4)).max(0.0),
        })
    }

    fn standardized(&self, order: u32) -> Option<f64> {
        let variance = self.variance()?;
        let value = self.central(order)? / variance.powf(f64::from(order) / 2.0);
        (variance > 0.0 && value.is_finite()).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f32]) -> Moments {
        let mut moments = Moments::default();
        values.iter().for_each(|&x| moments.push(x));
        moments
    }

    #[test]
    fn moments_of_a_known_sample() {
        let moments = of(&[1.0, 2.0, 3.0, 4.0, 10.0]);
        assert_eq!(moments.mean(), Some(4.0));
        assert_eq!(moments.variance(), Some(10.0));
        assert!((moments.skewness().unwrap() - 36.0 / 10f64.powf(1.5)).abs() < 1e-12);
        assert!((moments.kurtosis().unwrap() - 278.8 / 100.0).abs() < 1e-12);
        assert_eq!(moments.range(), Some(9.0));
    }

    #[test]
    fn empty_and_constant_samples_have_no_shape() {
        assert_eq!(of(&[]).mean(), None);
        assert_eq!(of(&[]).range(), None);
        let constant = of(&[0.1; 7]);
        assert_eq!(constant.variance(), Some(0.0));
        assert_eq!(constant.skewness(), None);
        assert_eq!(constant.kurtosis(), None);
    }
}
