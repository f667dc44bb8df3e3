//! Input-output classes of neurons (DEFINITIONS 7; Gerstner and Schütze).

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::directions::dot;
use crate::ids::{DocId, Pos};
use crate::stats::hash;
use crate::stats::quantile::quantile;

/// Size of a cosine from which two directions count as aligned.
pub const ALIGNED: f32 = 0.5;

/// Mismatched pairs that chance is estimated from, about.
const PAIRS: usize = 100_000;

/// What a neuron does with what it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// Writes what it reads, gated by the same.
    Strengthening,
    /// Writes what it reads, gated by something else.
    ConditionalStrengthening,
    /// Writes its gate, by something else.
    ProportionalChange,
    /// Writes something else.
    OrthogonalOutput,
    /// Takes off what it reads, gated by the same.
    Weakening,
    /// Takes off what it reads, gated by something else.
    ConditionalWeakening,
}

impl Class {
    /// All, in the order of the paper's table.
    pub const ALL: [Self; 6] = [
        Self::Strengthening,
        Self::ConditionalStrengthening,
        Self::ProportionalChange,
        Self::OrthogonalOutput,
        Self::Weakening,
        Self::ConditionalWeakening,
    ];

    /// Name in files and on pages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Strengthening => "strengthening",
            Self::ConditionalStrengthening => "conditional strengthening",
            Self::ProportionalChange => "proportional change",
            Self::OrthogonalOutput => "orthogonal output",
            Self::Weakening => "weakening",
            Self::ConditionalWeakening => "conditional weakening",
        }
    }

    /// The class of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.name() == name)
    }
}

/// The cosines between a neuron's weights; `None` where one has no direction, or there is no gate. A norm after the MLP is
/// not folded into w_out, except into the last two, which only models with such a norm have.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cosines {
    /// cos(w_in, w_out)
    pub in_out: Option<f32>,
    /// cos(w_gate, w_out)
    pub gate_out: Option<f32>,
    /// cos(w_gate, w_in)
    pub gate_in: Option<f32>,
    /// cos(w_in, w_out), the norm after the MLP folded into w_out
    pub in_written: Option<f32>,
    /// cos(w_gate, w_out), the norm after the MLP folded into w_out
    pub gate_written: Option<f32>,
}

/// A class, and whether it is typical: what gate and input have in common follows from what each has with the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Classed {
    /// The class.
    pub class: Class,
    /// Whether it is typical; so is every neuron without a gate.
    pub typical: bool,
}

impl Cosines {
    /// Makes them those of before 0.3: with any norm after the MLP folded into w_out, and none beside.
    pub(super) fn fold_norm(&mut self) {
        self.in_out = self.in_written.take().or(self.in_out);
        self.gate_out = self.gate_written.take().or(self.gate_out);
    }

    /// The class; `None` if a cosine is missing. It is the same whether `refactor_glu` turned the weights or not: turning
    /// changes the signs of cos(w_gate, w_in) and cos(w_gate, w_out) together, and not that of cos(w_in, w_out).
    pub fn class(&self, gated: bool) -> Option<Classed> {
        let aligned = |cosine: f32| i8::from(cosine > ALIGNED) - i8::from(cosine < -ALIGNED);
        let in_out = aligned(self.in_out?);
        if !gated {
            let class = match in_out {
                1 => Class::Strengthening,
                0 => Class::OrthogonalOutput,
                _ => Class::Weakening,
            };
            return Some(Classed {
                class,
                typical: true,
            });
        }
        let (gate_out, gate_in) = (aligned(self.gate_out?), aligned(self.gate_in?));
        let class = match (in_out, gate_out.abs()) {
            (1, 1) => Class::Strengthening,
            (1, _) => Class::ConditionalStrengthening,
            (0, 1) => Class::ProportionalChange,
            (0, _) => Class::OrthogonalOutput,
            (_, 1) => Class::Weakening,
            _ => Class::ConditionalWeakening,
        };
        let typical = (in_out == 0 && gate_out == 0) || gate_in == in_out * gate_out;
        Some(Classed { class, typical })
    }
}

/// The range of a layer's cosines that chance explains: quantiles of those of mismatched neurons, 2.5 and 97.5 %.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Region {
    /// 2.5 % lie below; of cos(w_gate, w_in), whose sign is a convention, the negative of the upper end.
    pub low: f32,
    /// 2.5 % lie above; of cos(w_gate, w_in), 5 % of the sizes.
    pub high: f32,
}

impl Region {
    /// Finds the band of the cosines of `a[i]` and `b[j]`, `i ≠ j`, unit vectors `[n, d]`. `None` with fewer than two neurons.
    pub(super) fn of(a: &[f32], b: &[f32], d: usize, seed: u64, of_sizes: bool) -> Option<Self> {
        let n = a.len() / d;
        // each shift pairs every neuron with the one so far behind it
        let mut shifts: Vec<usize> = (1..n).collect();
        shifts.sort_by_key(|&shift| hash::position(seed, DocId(n as u32), Pos(shift as u32)));
        shifts.truncate(PAIRS.div_ceil(n.max(1)));
        let of_shift = |shift: usize| {
            (0..n).map(move |i| {
                let j = (i + shift) % n;
                let cosine = dot(&a[i * d..(i + 1) * d], &b[j * d..(j + 1) * d]);
                if of_sizes { cosine.abs() } else { cosine }
            })
        };
        let mut found: Vec<f64> = shifts.into_par_iter().flat_map_iter(of_shift).collect();
        found.par_sort_unstable_by(f64::total_cmp);
        let at = |q: f64| quantile(&found, q).map(|cosine| cosine as f32);
        Some(match of_sizes {
            true => {
                let high = at(0.95)?;
                Self { low: -high, high }
            }
            false => Self {
                low: at(0.025)?,
                high: at(0.975)?,
            },
        })
    }

    /// Whether chance does not explain a cosine.
    pub fn is_outside(&self, cosine: f32) -> bool {
        cosine < self.low || cosine > self.high
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cosines(in_out: f32, gate_out: f32, gate_in: f32) -> Cosines {
        Cosines {
            in_out: Some(in_out),
            gate_out: Some(gate_out),
            gate_in: Some(gate_in),
            ..Cosines::default()
        }
    }

    /// The table of DEFINITIONS 7, every cell.
    #[test]
    fn every_combination_has_its_class() {
        let size = |a: i8| f32::from(a) * 0.75;
        for in_out in [-1i8, 0, 1] {
            for gate_out in [-1i8, 0, 1] {
                for gate_in in [-1i8, 0, 1] {
                    let of = cosines(size(in_out), size(gate_out), size(gate_in));
                    let name = match (in_out, gate_out.abs()) {
                        (1, 1) => "strengthening",
                        (1, 0) => "conditional strengthening",
                        (0, 1) => "proportional change",
                        (0, 0) => "orthogonal output",
                        (-1, 1) => "weakening",
                        _ => "conditional weakening",
                    };
                    let typical = (in_out, gate_out) == (0, 0) || gate_in == in_out * gate_out;
                    let found = of.class(true).unwrap();
                    assert_eq!((found.class.name(), found.typical), (name, typical));
                    // turning the signs turns both cosines with the gate
                    let turned = cosines(size(in_out), -size(gate_out), -size(gate_in));
                    assert_eq!(turned.class(true), Some(found));
                    let plain = of.class(false).unwrap();
                    let name = match in_out {
                        1 => "strengthening",
                        0 => "orthogonal output",
                        _ => "weakening",
                    };
                    assert_eq!((plain.class.name(), plain.typical), (name, true));
                }
            }
        }
    }

    #[test]
    fn a_half_is_not_yet_aligned() {
        let half = cosines(0.5, -0.5, 0.5).class(true).unwrap();
        assert_eq!(half.class, Class::OrthogonalOutput);
        let more = cosines(0.500_001, -0.5, 0.0).class(true).unwrap();
        assert_eq!(more.class, Class::ConditionalStrengthening);
        assert_eq!(
            cosines(0.9, 0.9, 0.9).class(true).map(|of| of.typical),
            Some(true)
        );
        let missing = Cosines {
            gate_in: None,
            ..cosines(0.9, 0.9, 0.0)
        };
        assert_eq!(
            (missing.class(true), missing.class(false).is_some()),
            (None, true)
        );
    }

    #[test]
    fn names_are_names_of_classes() {
        for class in Class::ALL {
            assert_eq!(Class::from_name(class.name()), Some(class));
        }
    }

    /// Unit vectors of a circle: all mismatched pairs are known.
    #[test]
    fn regions_are_quantiles_of_mismatched_pairs() {
        let n = 50;
        let angle = |at: usize| at as f32 * 0.9;
        let vectors: Vec<f32> = (0..n)
            .flat_map(|at| [angle(at).cos(), angle(at).sin()])
            .collect();
        let mut pairs: Vec<f64> = Vec::new();
        for i in 0..n {
            for j in (0..n).filter(|j| *j != i) {
                pairs.push(f64::from((angle(i) - angle(j)).cos()));
            }
        }
        let quantile = |values: &mut Vec<f64>, q: f64| {
            values.sort_by(f64::total_cmp);
            values[(q * (values.len() - 1) as f64).round() as usize]
        };
        let found = Region::of(&vectors, &vectors, 2, 0, false).unwrap();
        assert!((f64::from(found.low) - quantile(&mut pairs, 0.025)).abs() < 1e-2);
        assert!((f64::from(found.high) - quantile(&mut pairs, 0.975)).abs() < 1e-2);
        let sizes = Region::of(&vectors, &vectors, 2, 0, true).unwrap();
        pairs.iter_mut().for_each(|x| *x = x.abs());
        assert!((f64::from(sizes.high) - quantile(&mut pairs, 0.95)).abs() < 1e-2);
        assert_eq!(sizes.low, -sizes.high);
        assert_eq!(Region::of(&vectors[..2], &vectors[..2], 2, 0, false), None);
        assert!(found.is_outside(found.high + 1e-3) && !found.is_outside(found.high));
    }

    #[test]
    fn regions_of_many_pairs_depend_on_the_seed_alone() {
        let n = 700; // more pairs than are drawn
        let vectors: Vec<f32> = (0..n)
            .flat_map(|at: usize| [(at as f32).cos(), (at as f32).sin()])
            .collect();
        let of = |seed| Region::of(&vectors, &vectors, 2, seed, false).unwrap();
        assert_eq!(of(3), of(3));
        assert_ne!(of(3), of(4));
    }
}
