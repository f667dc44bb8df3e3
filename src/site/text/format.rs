//! Numbers for readers and for JSON.

/// A number with three significant digits, `–` if there is none; whole from a thousand on. It is that of the files, with
/// six digits, which scripts show as well: the same as in tokens.js.
pub(crate) fn number(value: Option<f64>) -> String {
    value
        .and_then(round)
        .map_or_else(|| "–".into(), three_digits_text)
}

/// A share as a percentage.
pub(crate) fn percent(value: Option<f64>) -> String {
    match value.and_then(round) {
        Some(value) => three_digits_text(value * 100.0) + " %",
        None => "–".into(),
    }
}

/// A band of the population, whose ends are shares of values below, in per cent.
pub(crate) fn band((low, high): (f64, f64)) -> String {
    let [low, high] = [low, high].map(|share| round(100.0 * share).unwrap_or_default());
    format!("{low}–{high} %")
}

fn three_digits_text(value: f64) -> String {
    let (mantissa, exponent) = three_digits(value.abs());
    let sign = if value < 0.0 { "-" } else { "" };
    let [first, others] = [mantissa / 100, mantissa % 100];
    match exponent {
        _ if mantissa == 0 => "0".into(),
        0 => format!("{sign}{first}.{others:02}"),
        1 => format!("{sign}{}.{}", mantissa / 10, mantissa % 10),
        2 => format!("{sign}{mantissa}"),
        -3..0 => format!("{sign}0.{}{mantissa}", &"00"[..(-1 - exponent) as usize]),
        3..6 => format!("{sign}{}", value.abs().round()),
        _ => format!("{sign}{first}.{others:02}e{exponent}"),
    }
}

/// The first three digits of a finite number that is not negative, as a number from 100 to 999, and the exponent of the
/// first; `(0, 0)` for zero. Halves are rounded up, as JavaScript does it.
pub(crate) fn three_digits(magnitude: f64) -> (i32, i32) {
    if magnitude == 0.0 {
        return (0, 0);
    }
    let exponent = magnitude.log10().floor();
    let scaled = magnitude * 10f64.powi(2 - exponent as i32);
    // unless it is so near to a half that the product may be on its other side
    let is_clear = (scaled.fract() - 0.5).abs() > 1e-9 && (100.0..999.0).contains(&scaled);
    match is_clear && exponent.abs() < 20.0 {
        true => (scaled.round() as i32, exponent as i32),
        false => three_digits_exactly(magnitude),
    }
}

/// The same, slowly.
fn three_digits_exactly(magnitude: f64) -> (i32, i32) {
    let text = format!("{magnitude:.2e}");
    let (digits, exponent) = text.split_once('e').unwrap_or(("0", "0"));
    let digits = digits.bytes().filter(u8::is_ascii_digit);
    let mantissa = digits.fold(0, |n, digit| 10 * n + i32::from(digit - b'0'));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    // halves have gone to even digits; only such numbers have three digits, a half and no remainder
    let half = f64::from(mantissa) + 0.5;
    let power = 10f64.powi((exponent - 2).abs());
    let is_half = match exponent < 2 {
        true => magnitude.mul_add(power, -half) == 0.0,
        false => half.mul_add(power, -magnitude) == 0.0,
    };
    match (is_half, mantissa) {
        (true, 999) => (100, exponent + 1),
        (true, _) => (mantissa + 1, exponent),
        (false, _) => (mantissa, exponent),
    }
}

/// A count with thin groups of three, unless it has but four digits: `1 234 567`, `1536`.
pub(crate) fn count(value: u64) -> String {
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
pub(crate) fn human(value: u64) -> String {
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
pub(crate) fn round(value: f64) -> Option<f64> {
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
            -0.0,
            9.996,
            -0.00099996,
            0.00042,
            1.125,
            1.135,
            100.5,
            99.95,
            0.7545,
            2500.5,
            999_999.6,
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
                "0", "0", "10.0", "-0.00100", "4.20e-4", "1.13", "1.14", "101", "100", "0.754",
                "2501", "1.00e6", "1.00", "-12.3", "123", "1235", "0.0123", "1.00e-9", "1.00e9",
                "–"
            ]
        );
        assert_eq!(
            [Some(0.12345), Some(1.4e-6), Some(1e-8), None].map(percent),
            ["12.3 %", "1.40e-4 %", "1.00e-6 %", "–"]
        );
        assert_eq!(
            [(0.001, 0.01), (0.0, 0.5), (0.99, 0.999)].map(band),
            ["0.1–1 %", "0–50 %", "99–99.9 %"]
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
        fn three_digits_are_exact(value in 1e-12f64..1e12, digits in 3..6usize) {
            for value in [value, format!("{value:.digits$e}").parse().unwrap()] {
                proptest::prop_assert_eq!(three_digits(value), three_digits_exactly(value), "{}", value);
            }
        }

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
