//! Ranks of neurons by facts (DEFINITIONS 5).

/// A neuron's ranks by a fact, from 1; without a value there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Ranks {
    /// Rank among the neurons of the layer that have a value.
    pub in_layer: Option<u32>,
    /// Rank among the neurons of the model that have a value.
    pub in_model: Option<u32>,
}

/// Ranks of values, largest first, from 1; equal values keep their order.
pub(super) fn ranks(values: &[Option<f64>]) -> Vec<Option<u32>> {
    let mut order: Vec<(f64, usize)> = values
        .iter()
        .enumerate()
        .filter_map(|(at, value)| Some(((*value)?, at)))
        .collect();
    order.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let mut ranks = vec![None; values.len()];
    for (rank, (_, at)) in (1..).zip(order) {
        ranks[at] = Some(rank);
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_descending_and_ties_keep_their_order() {
        let values = [Some(1.0), None, Some(3.0), Some(1.0), Some(-2.0)];
        assert_eq!(ranks(&values), [Some(2), None, Some(1), Some(3), Some(4)]);
    }
}
