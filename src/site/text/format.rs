//! Numbers for readers and for JSON.

/// A number with three significant digits, `–` if there is none.
pub(in crate::site) fn number(value: Option<f64>) -> String {
    let Some(value) = value.filter(|value| value.is_finite()) else {
        return "–".into();
    };
    let magnitude = value.abs();
    if magnitude == 0.0 {
        return "0".into();
    }
    if !(1e-4..1e6).contains(&magnitude) {
        return format!("{value:.2e}");
    }
    let decimals = (2 - magnitude.log10().floor() as i32).max(0) as usize;
    format!("{value:.decimals$}")
}

/// A share as a percentage.
pub(in crate::site) fn percent(value: Option<f64>) -> String {
    match value {
        Some(value) if value > 0.0 && value < 1e-4 => format!("{:.1e} %", value * 100.0),
        Some(value) => format!("{} %", number(Some(value * 100.0))),
        None => "–".into(),
    }
}

/// A count with thin groups of three, unless it has but four digits: `1 234 567`, `1536`.
pub(in crate::site) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && digits.len() > 4 && (digits.len() - i).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

/// A large count in words of one letter: `2.7M`.
pub(in crate::site) fn human(value: u64) -> String {
    let scales = [(1e9, "B"), (1e6, "M"), (1e3, "k")];
    match scales.into_iter().find(|(scale, _)| value as f64 >= *scale) {
        Some((scale, unit)) => {
            let scaled = value as f64 / scale;
            if scaled >= 100.0 {
                format!("{scaled:.0}{unit}")
            } else {
                format!("{scaled:.1}{unit}")
            }
        }
        None => value.to_string(),
    }
}

/// A number rounded to six significant digits, for JSON; `None` if it is not finite.
pub(in crate::site) fn round(value: f64) -> Option<f64> {
    if value == 0.0 || !value.is_finite() {
        return value.is_finite().then_some(0.0);
    }
    let magnitude = value.abs();
    // powers of ten up to 10²² are exact, and so is a whole number of six digits: the quotient is the nearest to
    // what the six digits say
    let decimals = 5 - magnitude.log10().floor() as i32;
    let rounded = match decimals {
        0..=22 => {
            let power = 10f64.powi(decimals);
            (value * power).round() / power
        }
        -15..0 => {
            let power = 10f64.powi(-decimals);
            (value / power).round() * power
        }
        _ => format!("{value:.5e}").parse().unwrap_or(0.0),
    };
    Some(rounded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        let texts = [
            0.0,
            1.0,
            -12.345,
            123.456,
            1234.5,
            0.012345,
            1e-9,
            1e9,
            f64::NAN,
        ]
        .map(|n| number(Some(n)));
        assert_eq!(
            texts,
            [
                "0", "1.00", "-12.3", "123", "1234", "0.0123", "1.00e-9", "1.00e9", "–"
            ]
        );
        assert_eq!(
            [1234567, 12345, 1234, 12].map(count),
            ["1\u{202f}234\u{202f}567", "12\u{202f}345", "1234", "12"]
        );
        assert_eq!(
            (human(2_705_088), human(640), human(352_256)),
            ("2.7M".into(), "640".into(), "352k".into())
        );
        assert_eq!(
            (round(-0.0), round(f64::INFINITY), round(1.0 / 3.0)),
            (Some(0.0), None, Some(0.333333))
        );
    }

    proptest::proptest! {
        #[test]
        fn rounding_keeps_six_digits(value in proptest::num::f64::NORMAL) {
            let (rounded, digits) = (round(value).unwrap(), format!("{value:.5e}"));
            // both are six digits; where the seventh is a five they may go either way
            proptest::prop_assert_eq!(format!("{rounded:.5e}").parse::<f64>().unwrap(), rounded);
            let off = (rounded - digits.parse::<f64>().unwrap()).abs() / value.abs();
            proptest::prop_assert!(off == 0.0 || (value - rounded).abs() <= value.abs() * 5.01e-6);
        }
    }
}
