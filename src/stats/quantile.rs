//! Quantiles of values that are all there.

/// The quantile of sorted values, linear between neighbours as numpy's; `None` without values.
pub fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let at = q * sorted.len().checked_sub(1)? as f64;
    let (below, share) = (sorted[at.floor() as usize], at.fract());
    let above = sorted[at.ceil() as usize];
    Some(below + (above - below) * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_neighbours() {
        let sorted = [1.0, 2.0, 3.0, 4.0];
        let found = [0.0, 0.25, 0.5, 1.0].map(|q| quantile(&sorted, q).unwrap());
        assert_eq!(found, [1.0, 1.75, 2.5, 4.0]);
        assert_eq!(
            (quantile(&[7.0], 0.3), quantile(&[], 0.5)),
            (Some(7.0), None)
        );
    }
}
