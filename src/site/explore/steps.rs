//! Numbers as they are shown, with three digits, as whole numbers in their order.
//!
//! Steps lead away from zero, -1 and 1 being the least numbers that are told from it: 900 numbers of three digits to a
//! decade, then the whole numbers from 1000 to 999,999, then 900 to a decade again.

use crate::site::text::format::three_digits;

/// What stands for no number.
pub(super) const NONE: i32 = i32::MIN;
/// Exponent of the least numbers that are not taken for zero.
const LEAST: i32 = -60;
const DECADE: i32 = 900;
const WHOLE: i32 = 999_000;

/// A number as steps from zero.
pub(super) fn steps(value: Option<f64>) -> i32 {
    let Some(value) = value.filter(|value| value.is_finite()) else {
        return NONE;
    };
    let (mantissa, exponent) = three_digits(value.abs());
    if mantissa == 0 || exponent < LEAST {
        return 0;
    }
    let thousand = (3 - LEAST) * DECADE + 1;
    let n = match exponent {
        ..3 => (exponent - LEAST) * DECADE + mantissa - 99,
        3..6 => thousand + value.abs().round() as i32 - 1000,
        _ => thousand + WHOLE + (exponent - 6) * DECADE + mantissa - 100,
    };
    if value < 0.0 { -n } else { n }
}

/// Steps of many numbers, from a decade on that the least of them needs.
#[derive(Debug)]
pub(super) struct Codes {
    /// Exponent of the numbers one step from zero.
    pub(super) exponent: i32,
    /// How many steps code 1 is from zero.
    pub(super) first: i32,
    /// 0 for no number.
    pub(super) codes: Vec<u32>,
}

impl Codes {
    /// `None` if there is no number.
    pub(super) fn of(steps: &[i32]) -> Option<Self> {
        let some = || steps.iter().copied().filter(|&n| n != NONE);
        let nearest = some().map(i32::abs).filter(|&n| n > 0).min();
        let exponent = nearest.map_or(0, |n| (LEAST + (n - 1) / DECADE).min(3));
        let shift = (exponent - LEAST) * DECADE;
        let near = |n: i32| n - n.signum() * shift;
        let first = near(some().min()?);
        let code = |&n: &i32| match n {
            NONE => 0,
            n => (near(n) - first + 1) as u32,
        };
        Some(Self {
            exponent,
            first,
            codes: steps.iter().map(code).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::text::format::{number, round};
    use proptest::prelude::*;

    impl Codes {
        /// What readers of the file make of a code.
        fn value(&self, code: u32) -> f64 {
            let n = self.first + code as i32 - 1;
            let (size, thousand) = (n.abs(), (3 - self.exponent) * DECADE + 1);
            let decimal = |step: i32, exponent: i32| {
                let text = format!("{}e{}", 100 + step % DECADE, exponent + step / DECADE - 2);
                text.parse::<f64>().unwrap()
            };
            let magnitude = match size {
                0 => 0.0,
                size if size < thousand => decimal(size - 1, self.exponent),
                size if size < thousand + WHOLE => f64::from(size - thousand + 1000),
                size => decimal(size - thousand - WHOLE, 6),
            };
            if n < 0 { -magnitude } else { magnitude }
        }
    }

    proptest! {
        #[test]
        fn codes_keep_order_and_what_is_shown(
            mut values in prop::collection::vec((-1e3..1e3f64, -12i32..7), 1..300),
        ) {
            for (value, exponent) in &mut values {
                *value = round(*value * 10f64.powi(*exponent)).unwrap();
            }
            let mut values: Vec<f64> = values.into_iter().map(|(value, _)| value).collect();
            values.sort_by(f64::total_cmp);
            let all: Vec<i32> = values.iter().map(|&value| steps(Some(value))).collect();
            let coded = Codes::of(&all).unwrap();
            prop_assert_eq!(coded.codes[0], 1);
            prop_assert!(coded.codes.windows(2).all(|pair| pair[0] <= pair[1]));
            for (&value, &code) in values.iter().zip(&coded.codes) {
                prop_assert_eq!(number(Some(coded.value(code))), number(Some(value)), "{}", value);
            }
        }
    }

    #[test]
    fn the_ends_of_ranges_meet() {
        let values = [
            -2e6, -1000.4, -999.9, -0.1, 0.0, 9.996, 10.0, 999.4, 999.6, 1001.0, 999_499.0,
            999_500.0, 1.01e6,
        ];
        let all: Vec<i32> = values.iter().map(|&value| steps(Some(value))).collect();
        let coded = Codes::of(&all).unwrap();
        let read: Vec<f64> = coded.codes.iter().map(|&code| coded.value(code)).collect();
        assert_eq!(
            read,
            [
                -2e6, -1000.0, -1000.0, -0.1, 0.0, 10.0, 10.0, 999.0, 1000.0, 1001.0, 999_499.0,
                1e6, 1.01e6
            ]
        );
    }

    #[test]
    fn no_number_has_no_step() {
        let none = [None, Some(f64::NAN), Some(f64::INFINITY)].map(steps);
        assert_eq!(none, [NONE; 3]);
        assert!(Codes::of(&none).is_none());
        let zero = Codes::of(&[NONE, 0]).unwrap();
        assert_eq!((zero.first, zero.codes), (0, vec![0, 1]));
    }
}
