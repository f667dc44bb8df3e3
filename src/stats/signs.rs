//! Statistics by sign case of a gated neuron (DEFINITIONS 3, GLUScope's table).

use serde::{Deserialize, Serialize};

/// The sign of the gate and of the linear input. Exact zero belongs to no case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SignCase {
    /// `gate+_in+`
    PosPos,
    /// `gate+_in-`
    PosNeg,
    /// `gate-_in+`
    NegPos,
    /// `gate-_in-`
    NegNeg,
}

impl SignCase {
    /// All four, in the order of their indices.
    pub const ALL: [Self; 4] = [Self::PosPos, Self::PosNeg, Self::NegPos, Self::NegNeg];

    /// The case of a gate and an input value; NaN and zero have none.
    #[inline(always)]
    pub fn of(gate: f32, input: f32) -> Option<Self> {
        if gate > 0.0 {
            if input > 0.0 {
                Some(Self::PosPos)
            } else if input < 0.0 {
                Some(Self::PosNeg)
            } else {
                None
            }
        } else if gate < 0.0 {
            if input > 0.0 {
                Some(Self::NegPos)
            } else if input < 0.0 {
                Some(Self::NegNeg)
            } else {
                None
            }
        } else {
            None
        }
    }

    /// The value of larger magnitude; of two that differ in sign only, the positive one.
    #[inline(always)]
    pub(super) fn larger(a: f32, b: f32) -> f32 {
        if b.abs() > a.abs() || (b.abs() == a.abs() && b > a) {
            b
        } else {
            a
        }
    }

    /// Name in records and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::PosPos => "gate+_in+",
            Self::PosNeg => "gate+_in-",
            Self::NegPos => "gate-_in+",
            Self::NegNeg => "gate-_in-",
        }
    }
}

/// The four quantities of a gated neuron, in the order of the arrays below.
pub const QUANTITIES: [&str; 4] = ["gate", "act", "in", "post"];

/// Count, and sum and extreme of gate, act(gate), in and post, over the positions of one sign case.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CaseStats {
    /// Number of positions.
    pub count: u64,
    /// Sums, by [`QUANTITIES`].
    pub sums: [f64; 4],
    /// Values of largest magnitude, by [`QUANTITIES`]; 0 without positions.
    pub extremes: [f32; 4],
}

impl CaseStats {
    /// Adds one position's `[gate, act, in, post]`.
    #[inline(always)]
    pub fn push(&mut self, values: [f32; 4]) {
        self.count += 1;
        for (i, value) in values.into_iter().enumerate() {
            self.sums[i] += f64::from(value);
            self.extremes[i] = SignCase::larger(self.extremes[i], value);
        }
    }

    /// Adds the positions of another set.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        for i in 0..4 {
            self.sums[i] += other.sums[i];
            self.extremes[i] = SignCase::larger(self.extremes[i], other.extremes[i]);
        }
    }
}
