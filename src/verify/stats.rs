//! Whether statistics of a neuron can be: sums against counts, extremes and the histogram.

use crate::scan::Counts;
use crate::shard::ScanIdentity;
use crate::stats::MlpKind;
use crate::stats::histogram::{bin, edges};
use crate::stats::moments::Moments;
use crate::stats::neuron::NeuronStats;
use crate::stats::signs::{CaseStats, QUANTITIES, SignCase};
use crate::stats::starts::Starts;
use crate::stats::sums::SUMS;

/// What rounding may change of a sum, as a share of the largest that it could be.
const ROUNDING: f64 = 1e-9;

/// Lists what is wrong with the statistics of a neuron over the positions of a text, as far as these are known.
pub(super) fn wrong_stats(
    stats: &NeuronStats,
    scan: &ScanIdentity,
    counts: Option<&Counts>,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let moments = &stats.moments;
    let n_counted = counts.map_or(scan.policy.n_counted, |counts| Some(counts.n_counted));
    if let (Some(not_finite), Some(n_counted)) = (stats.not_finite, n_counted) {
        let n = moments.count + not_finite;
        if n != n_counted {
            wrong.push(format!(
                "`count` and `not_finite` add up to {n}; {n_counted} positions count"
            ));
        }
    }
    if let Some(n) = n_counted.filter(|n| stats.not_finite.is_none() && moments.count > *n) {
        let count = moments.count;
        wrong.push(format!("`count` is {count}; {n} positions count"));
    }
    // at positions that do not count, what is not finite is left out without a word
    let may_overflow = stats.not_finite != Some(0) || scan.policy.dtype == "f16";
    if let (Some(Moments { count, .. }), Some(counts)) = (stats.special, counts)
        && (count > counts.n_special || (count < counts.n_special && !may_overflow))
    {
        wrong.push(format!(
            "`special_count` is {count}; {} positions do not count",
            counts.n_special
        ));
    }
    if let Some(starts) = &stats.starts {
        wrong.extend(wrong_starts(starts, stats, counts));
    }
    for (prefix, moments) in [
        ("", Some(moments)),
        (
            "start_",
            stats.starts.as_ref().map(|starts| &starts.moments),
        ),
        ("special_", stats.special.as_ref()),
        ("post_", stats.post.as_ref()),
    ] {
        let Some(moments) = moments else { continue };
        wrong.extend(wrong_moments(moments).map(|what| format!("`{prefix}{what}")));
    }
    if let Some(post) = &stats.post
        && post.count != moments.count
    {
        wrong.push(format!("`post_count` is {}", post.count));
    }
    for (name, found) in [("firing", stats.n_firing), ("above_tau", stats.n_above_tau)] {
        if let Some(found) = found.filter(|found| *found > moments.count) {
            wrong.push(format!("`{name}` is {found} of {}", moments.count));
        }
    }
    for (sum, found) in SUMS.iter().zip(stats.sums) {
        if let (Some(found), Some([low, high])) = (found, (sum.bounds)(moments)) {
            let slack = ROUNDING * low.abs().max(high.abs());
            if !(low - slack..=high + slack).contains(&found) {
                wrong.push(format!("`{}` does not fit the other sums", sum.column));
            }
        }
    }
    wrong.extend(wrong_histogram(stats, scan));
    if let Some(cases) = &stats.cases {
        wrong.extend(wrong_cases(cases, stats));
    }
    wrong
}

/// What is wrong with the values where windows start, next to all values.
fn wrong_starts(starts: &Starts, stats: &NeuronStats, counts: Option<&Counts>) -> Vec<String> {
    let mut wrong = Vec::new();
    let (of_starts, all) = (&starts.moments, &stats.moments);
    let count = of_starts.count;
    let is_complete = stats.not_finite == Some(0);
    if let Some(n) = counts.map(|counts| counts.n_starts)
        && (count > n || (is_complete && count < n))
    {
        wrong.push(format!(
            "`start_count` is {count}; windows start at {n} counted positions"
        ));
    }
    if count > all.count {
        wrong.push(format!("`start_count` is {count} of {}", all.count));
    }
    for (name, found, expected) in [
        ("min", starts.elsewhere_min.min(of_starts.min), all.min),
        ("max", starts.elsewhere_max.max(of_starts.max), all.max),
    ] {
        if found != expected {
            wrong.push(format!(
                "`start_{name}` and `elsewhere_{name}` give {found}; `{name}` is {expected}"
            ));
        }
    }
    if (starts.elsewhere_min > starts.elsewhere_max) != (count == all.count) {
        wrong.push("`elsewhere_min` does not fit `start_count`".into());
    }
    // what is left to the other positions must lie between their extremes
    if let (Some(sums), Some(own)) = (all.sums, of_starts.sums) {
        let rest = Moments {
            count: all.count.saturating_sub(count),
            sums: Some(std::array::from_fn(|at| sums[at] - own[at])),
            min: starts.elsewhere_min,
            max: starts.elsewhere_max,
        };
        // what is left over by many values, or by far larger ones, is mostly rounding
        if rest.count > count && of_starts.largest() < 30.0 * rest.largest() {
            let what = wrong_moments(&rest);
            wrong.extend(what.map(|what| format!("elsewhere, `{what}")));
        }
    }
    wrong
}

/// Whether any numbers between the extremes have these sums of powers: what is known of moments on an interval.
fn wrong_moments(of: &Moments) -> Option<String> {
    if of.count == 0 {
        return None; // the reader has seen that all is empty
    }
    let sums = of.sums?;
    let n = of.count as f64;
    let (min, max) = (f64::from(of.min), f64::from(of.max));
    let largest = of.largest();
    if largest == 0.0 {
        let is_zero = sums == [0.0; 4];
        return (!is_zero).then(|| "sum1` and others are not 0, but all values are".into());
    }
    // of values between -1 and 1, so that no power is too small or too large
    let (low, high) = (min / largest, max / largest);
    let m: Vec<f64> = (1..)
        .zip(sums)
        .map(|(order, sum)| sum / n / largest.powi(order))
        .collect();
    let (a, b) = (low + high, low * high);
    let inside = [
        a * m[0] - b - m[1],
        a * m[1] - b * m[0] - m[2],
        a * m[2] - b * m[1] - m[3],
    ];
    let variance = m[1] - m[0] * m[0];
    let positive = [
        ("sum1", m[0] - low),
        ("sum1", high - m[0]),
        ("sum2", variance),
        ("sum2", inside[0]),
        ("sum4", m[3] - m[1] * m[1]),
        ("sum4", inside[2]),
        (
            "sum3",
            variance * (m[3] - m[1] * m[1]) - (m[2] - m[0] * m[1]).powi(2),
        ),
        ("sum3", inside[0] * inside[2] - inside[1] * inside[1]),
    ];
    let mut wrong = positive
        .into_iter()
        .filter(|(_, value)| value.is_nan() || *value < -ROUNDING);
    if let Some((name, _)) = wrong.next() {
        return Some(format!("{name}` does not fit the other sums and extremes"));
    }
    // few values are known by their extremes
    if of.count <= 2 {
        let both = |power: i32| match of.count {
            1 => low.powi(power),
            _ => (low.powi(power) + high.powi(power)) / 2.0,
        };
        let exact = (1..)
            .zip(&m)
            .all(|(power, m)| (m - both(power)).abs() < 1e-6);
        let one = of.count > 1 || of.min == of.max;
        return (!exact || !one).then(|| format!("sum1` to `sum4` are not of {} values", of.count));
    }
    // both extremes are among the values
    let least = (low.powi(4) + high.powi(4)) / n;
    (m[3] < least - ROUNDING).then(|| "sum4` leaves out an extreme".into())
}

fn wrong_histogram(stats: &NeuronStats, scan: &ScanIdentity) -> Option<String> {
    let (moments, histogram) = (&stats.moments, stats.histogram.as_ref()?);
    let total = histogram.total();
    if total != moments.count {
        return Some(format!(
            "`histogram_counts` add up to {total}; `count` is {}",
            moments.count
        ));
    }
    let (first, last) = (histogram.bins().next()?.0, histogram.bins().last()?.0);
    if (first, last) != (bin(moments.min), bin(moments.max)) {
        return Some("`histogram_bins` do not begin and end at `min` and `max`".into());
    }
    let mut sums = [[0f64; 2]; 2];
    let (mut above, mut maybe_above) = (0, 0);
    let tau = f64::from(scan.policy.stats.tau);
    for (at, count) in histogram.bins() {
        let (low, high) = edges(usize::from(at));
        let (low, high) = (
            low.max(f64::from(moments.min)),
            high.min(f64::from(moments.max)),
        );
        let n = count as f64;
        let (small, large) = match low >= 0.0 {
            true => (low, high),
            false => (high.min(0.0).abs(), low.abs()),
        };
        for (sum, values) in sums
            .iter_mut()
            .zip([[low, high], [small * small, large * large]])
        {
            sum[0] += values[0] * n;
            sum[1] += values[1] * n;
        }
        above += if small > tau { count } else { 0 };
        maybe_above += if large >= tau { count } else { 0 };
    }
    let known = moments.sums.into_iter().flatten();
    for ((name, [low, high]), found) in ["sum1", "sum2"].into_iter().zip(sums).zip(known) {
        let slack = ROUNDING * low.abs().max(high.abs());
        if !(low - slack..=high + slack).contains(&found) {
            return Some(format!("`{name}` does not fit the histogram"));
        }
    }
    // of SoLU neurons another hook is compared with τ
    let known = scan.kind() != MlpKind::Solu;
    let found = stats.n_above_tau?;
    (known && !(above..=maybe_above).contains(&found))
        .then(|| format!("`above_tau` is {found}; the histogram has {above} to {maybe_above}"))
}

fn wrong_cases(cases: &[CaseStats; 4], stats: &NeuronStats) -> Vec<String> {
    let mut wrong = Vec::new();
    let moments = &stats.moments;
    let n: u64 = cases.iter().map(|case| case.count).sum();
    if n > moments.count {
        wrong.push(format!(
            "sign cases have {n} positions of {}",
            moments.count
        ));
    }
    let firing: u64 = cases[..2].iter().map(|case| case.count).sum();
    let not_firing: u64 = cases[2..].iter().map(|case| case.count).sum();
    if let Some(n_firing) = stats.n_firing {
        if firing > n_firing || not_firing > moments.count - n_firing.min(moments.count) {
            wrong.push(format!(
                "the gate is positive at {firing} positions of sign cases; `firing` is {n_firing}"
            ));
        }
        if n == moments.count && firing != n_firing {
            wrong.push(format!("`firing` is {n_firing}; sign cases have {firing}"));
        }
    }
    // where gate or input is 0, so is the product
    if let Some([sum1, sum2, ..]) = moments.sums {
        let post: f64 = cases.iter().map(|case| case.sums[3]).sum();
        let slack = 1e-6 * (moments.count as f64 * sum2).sqrt();
        if (post - sum1).abs() > slack + f64::MIN_POSITIVE {
            wrong.push("the sums of sign cases do not add up to `sum1`".into());
        }
    }
    for (case, of) in SignCase::ALL.into_iter().zip(cases) {
        let name = case.name();
        if of.count == 0 {
            if *of != CaseStats::default() {
                wrong.push(format!("`{name}_count` is 0, but there are other values"));
            }
            continue;
        }
        let n = of.count as f64;
        let (gate, input) = match case {
            SignCase::PosPos => (1.0, 1.0),
            SignCase::PosNeg => (1.0, -1.0),
            SignCase::NegPos => (-1.0, 1.0),
            SignCase::NegNeg => (-1.0, -1.0),
        };
        // the signs of act(gate) and of the product are not checked: they follow from each other
        for (at, sign) in [(0, gate), (2, input)] {
            if of.sums[at] * sign <= 0.0 || f64::from(of.extremes[at]) * sign <= 0.0 {
                wrong.push(format!(
                    "`{name}_{}_sum` has the wrong sign",
                    QUANTITIES[at]
                ));
            }
        }
        for (at, quantity) in QUANTITIES.into_iter().enumerate() {
            let (sum, extreme) = (of.sums[at], f64::from(of.extremes[at]));
            let most = extreme.abs() * n;
            if sum.abs() > most * (1.0 + ROUNDING) {
                wrong.push(format!(
                    "`{name}_{quantity}_sum` does not fit its extreme and count"
                ));
            }
            // all of one sign, so that the largest is a part of the sum
            if matches!(at, 0 | 2) && sum.abs() < extreme.abs() * (1.0 - ROUNDING) {
                wrong.push(format!(
                    "`{name}_{quantity}_extreme` is larger than the sum"
                ));
            }
        }
        let [_, act, input, post] = of.extremes.map(|extreme| f64::from(extreme.abs()));
        if post > act * input * 1.01 {
            wrong.push(format!("`{name}_post_extreme` is larger than its factors"));
        }
        let product = of.extremes[3];
        if product > moments.max || product < moments.min {
            wrong.push(format!("`{name}_post_extreme` is beyond `min` and `max`"));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn moments(values: &[f32]) -> Moments {
        let mut moments = Moments::default();
        values.iter().for_each(|value| moments.push(*value));
        moments
    }

    proptest! {
        #[test]
        fn sums_of_values_are_not_accused(values in prop::collection::vec(-1e4f32..1e4, 0..40), few in 0usize..4, scale in -30i32..30) {
            let scaled: Vec<f32> = values.iter().map(|value| value * (scale as f32).exp2()).collect();
            for values in [&scaled[..], &scaled[..few.min(scaled.len())]] {
                prop_assert_eq!(wrong_moments(&moments(values)), None);
            }
        }
    }

    #[test]
    fn sums_that_no_values_have_are_found() {
        let right = moments(&[1.0, -2.0, 3.5, 0.25, 7.0]);
        assert_eq!(wrong_moments(&right), None);
        for at in 0..4 {
            for factor in [2.0, -1.5] {
                let mut wrong = right;
                wrong.sums.as_mut().unwrap()[at] *= factor;
                assert!(wrong_moments(&wrong).is_some(), "{at} {factor}");
            }
        }
        let one = moments(&[3.0]);
        assert_eq!(wrong_moments(&one), None);
        assert!(wrong_moments(&Moments { min: 2.0, ..one }).is_some());
        assert_eq!(wrong_moments(&moments(&[0.0, -0.0])), None);
    }
}
