//! The values around a peak, in eight bits.

use serde::{Deserialize, Serialize};

/// Values of consecutive positions, quantised with one scale: at most `scale / 2` off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// Position of the first value in its document.
    pub start: u32,
    /// Value of one step: the largest magnitude divided by 127.
    pub scale: f32,
    /// Steps; [`Window::NOT_FINITE`] where the value was NaN or infinite.
    pub steps: Box<[i8]>,
}

impl Window {
    /// The step that stands for a value that is not a finite number.
    pub const NOT_FINITE: i8 = i8::MIN;

    /// Quantises values.
    pub fn new(start: u32, values: &[f32]) -> Self {
        let largest = values
            .iter()
            .filter(|v| v.is_finite())
            .fold(0f32, |max, v| max.max(v.abs()));
        let scale = largest / 127.0;
        let steps = values.iter().map(|value| Self::step(*value, scale));
        Self {
            start,
            scale,
            steps: steps.collect(),
        }
    }

    /// The step that stands for a value.
    pub fn step(value: f32, scale: f32) -> i8 {
        // to the nearest, as a number so large has no room for a fraction; there is no function to call
        const SHIFT: f32 = 12_582_912.0; // 1.5 · 2²³
        match value.is_finite() {
            false => Self::NOT_FINITE,
            true if scale > 0.0 => ((value / scale).clamp(-127.0, 127.0) + SHIFT - SHIFT) as i8,
            true => 0,
        }
    }

    /// The values, `None` where they were not finite.
    pub fn values(&self) -> impl ExactSizeIterator<Item = Option<f32>> + '_ {
        self.steps
            .iter()
            .map(|&step| (step != Self::NOT_FINITE).then(|| f32::from(step) * self.scale))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn not_finite_values_stay_apart() {
        let window = Window::new(3, &[f32::NAN, 1.0, f32::INFINITY, -0.5, -0.0]);
        let values: Vec<_> = window.values().collect();
        assert_eq!((values[0], values[2]), (None, None));
        assert_eq!(values[1], Some(1.0));
        assert!((values[3].unwrap() + 0.5).abs() <= window.scale / 2.0);
    }

    proptest! {
        #[test]
        fn at_most_half_a_step_off(values in prop::collection::vec(-1e6f32..1e6, 0..61)) {
            let window = Window::new(0, &values);
            for (found, exact) in window.values().zip(&values) {
                prop_assert!((found.unwrap() - exact).abs() <= window.scale * 0.501);
            }
        }
    }
}
