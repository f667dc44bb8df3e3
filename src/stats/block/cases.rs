use serde::{Deserialize, Serialize};

use super::super::signs::CaseStats;
use super::WIDTH;

/// Statistics of one sign case, by lane.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Case {
    pub(super) count: Vec<u32>,
    pub(super) sums: [Vec<f64>; 4],
    pub(super) extremes: [Vec<f32>; 4],
}

impl Case {
    pub(super) fn new() -> Self {
        Self {
            count: vec![0; WIDTH],
            sums: std::array::from_fn(|_| vec![0.0; WIDTH]),
            extremes: std::array::from_fn(|_| vec![0.0; WIDTH]),
        }
    }

    pub(super) fn of_lane(&self, lane: usize) -> CaseStats {
        CaseStats {
            count: u64::from(self.count[lane]),
            sums: self.sums.each_ref().map(|sums| sums[lane]),
            extremes: self.extremes.each_ref().map(|values| values[lane]),
        }
    }
}
