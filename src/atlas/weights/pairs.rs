//! Neuron to neuron: whose weights point the same way, and who feeds whom (DEFINITIONS 8).
//!
//! Every pair is looked at once, [`ROWS`] times 64 cosines at a time, and offered to both neurons; nothing else of it stays.

use std::ops::Range;

use parking_lot::MutexGuard;
use rayon::prelude::*;

use super::TOP_NEURONS;
use super::best::{Best, Shared};
use super::chunks::{ROWS, TileValues, first_panel};
use super::directions::Directions;
use crate::ids::NeuronId;
use crate::lanes::{Isa, Kernel, LANES, Lanes};
use crate::model::{Columns, Rows};

/// Columns that are looked at together.
const PANEL: usize = Columns::PANEL;

/// What one neuron is to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// Neurons that read and write alike, by the mean of cos(w_in, w_in) and cos(w_out, w_out), where that is positive. A gated
    /// neuron is the same with both signs turned, so there it is the size of the mean.
    Alike,
    /// Neurons of the layer, by cos(w_in, w_in).
    InInLayer,
    /// Neurons of other layers, by cos(w_in, w_in).
    InInOthers,
    /// Neurons of the layer, by cos(w_out, w_out).
    OutOutLayer,
    /// Neurons of other layers, by cos(w_out, w_out).
    OutOutOthers,
    /// Neurons of earlier layers, by the cosine of their w_out with this neuron's w_in; here and below, any norm after the MLP is
    /// folded into w_out.
    UpstreamIn,
    /// Neurons of earlier layers, by the cosine of their w_out with this neuron's w_gate.
    UpstreamGate,
    /// Neurons of later layers, by the cosine of their w_in with this neuron's w_out.
    DownstreamIn,
    /// Neurons of later layers, by the cosine of their w_gate with this neuron's w_out.
    DownstreamGate,
}

impl Relation {
    /// Every one, in the order of files and pages.
    pub const ALL: [Self; 9] = [
        Self::Alike,
        Self::InInLayer,
        Self::InInOthers,
        Self::OutOutLayer,
        Self::OutOutOthers,
        Self::UpstreamIn,
        Self::UpstreamGate,
        Self::DownstreamIn,
        Self::DownstreamGate,
    ];

    /// Name in files and records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Alike => "alike",
            Self::InInLayer => "in_in_layer",
            Self::InInOthers => "in_in_others",
            Self::OutOutLayer => "out_out_layer",
            Self::OutOutOthers => "out_out_others",
            Self::UpstreamIn => "upstream_in",
            Self::UpstreamGate => "upstream_gate",
            Self::DownstreamIn => "downstream_in",
            Self::DownstreamGate => "downstream_gate",
        }
    }
}

/// The directions of a layer, packed.
pub(super) struct PackedDirections {
    input: Columns,
    gate: Option<Columns>,
    out: Columns,
    /// 1 for a neuron that reads and writes, else 0, up to the end of the last panel.
    both: Vec<f32>,
}

impl PackedDirections {
    pub(super) fn new(isa: Isa, directions: &Directions, d: usize) -> Self {
        let pack = |vectors: &Vec<f32>| Columns::new(isa, vectors, d);
        Self {
            input: pack(&directions.input),
            gate: directions.gate.as_ref().map(pack),
            out: pack(&directions.out),
            both: both(directions, d),
        }
    }
}

/// 1 for each neuron whose w_in and w_out have a direction, else 0, up to the end of the last panel.
fn both(directions: &Directions, d: usize) -> Vec<f32> {
    let has_direction = |vector: &[f32]| vector.iter().any(|&x| x != 0.0);
    let neurons = directions.input.chunks(d).zip(directions.out.chunks(d));
    let both = neurons.map(|(input, out)| has_direction(input) && has_direction(out));
    let mut both: Vec<f32> = both.map(|both| f32::from(u8::from(both))).collect();
    both.resize(both.len().next_multiple_of(PANEL), 0.0);
    both
}

/// Lists of all neurons, layer by layer.
type Lists = Vec<Shared<Best>>;

/// What is found of one kind of pairs, for the neuron that is the row and for the one that is the column.
struct Found {
    of_rows: Lists,
    of_columns: Lists,
}

/// The neighbours of all neurons of a model, by the size of their cosines.
pub(super) struct Neighbours {
    isa: Isa,
    d: usize,
    d_mlp: usize,
    /// Those of rows have pairs within the layer as well.
    alike: Found,
    in_in_layer: Lists,
    in_in_others: Found,
    out_out_layer: Lists,
    out_out_others: Found,
    out_in: Found,
    out_gate: Option<Found>,
}

/// Where pairs of one kind go.
#[derive(Clone, Copy)]
struct Goal<'a> {
    /// Those within a layer, if they are wanted.
    within: Option<&'a Lists>,
    others: &'a Found,
}

/// Rows of one layer against one kind of columns.
struct Product<'a> {
    rows: &'a [f32],
    columns: fn(&PackedDirections) -> Option<&Columns>,
    goal: Goal<'a>,
}

/// What is looked at together: products, and their mean.
struct Job<'a> {
    products: Vec<Product<'a>>,
    mean: Option<Goal<'a>>,
}

/// The lists of a [`Goal`] for a chunk of rows and the columns of one layer.
struct Open<'a> {
    of_rows: MutexGuard<'a, Best>,
    of_columns: Option<&'a Shared<Best>>,
}

impl<'a> Goal<'a> {
    /// Opens the lists of the rows of a layer that begin with `first`; none if pairs within the layer are not wanted.
    fn open(&self, layer: usize, first: usize, other: usize) -> Option<Open<'a>> {
        let (of_rows, of_columns) = match other == layer {
            false => (&self.others.of_rows, Some(&self.others.of_columns[other])),
            true => (self.within?, None),
        };
        Some(Open {
            of_rows: of_rows[layer].part(first).lock(),
            of_columns,
        })
    }
}

/// Some rows of one layer and the columns of another, product by product.
struct Chunk<'a> {
    /// Number of the first row's neuron in the model.
    first: u32,
    rows: &'a [Rows],
    columns: &'a [&'a Columns],
    /// Number of the first column's neuron in the model.
    first_column: u32,
    /// 1 for a row and for a column whose neuron reads and writes, else 0.
    both: (&'a [f32], &'a [f32]),
}

/// A neuron as [`Best`] knows it: its score is the size of a cosine, and the last bit is the sign.
fn signed(neuron: u32, cosine: f32) -> u32 {
    neuron << 1 | u32::from(cosine < 0.0)
}

impl Neighbours {
    pub(super) fn new(isa: Isa, (n_layers, d_mlp): (usize, usize), d: usize, gated: bool) -> Self {
        let lists = |step: usize| -> Lists {
            let part = |n| Best::of_some(step, n, TOP_NEURONS);
            (0..n_layers)
                .map(|_| Shared::new(d_mlp, step, part))
                .collect()
        };
        let found = || Found {
            of_rows: lists(ROWS),
            of_columns: lists(PANEL),
        };
        Self {
            isa,
            d,
            d_mlp,
            alike: found(),
            in_in_layer: lists(ROWS),
            in_in_others: found(),
            out_out_layer: lists(ROWS),
            out_out_others: found(),
            out_in: found(),
            out_gate: gated.then(found),
        }
    }

    /// Looks at all pairs of a layer's neurons with those of some layers, of which only this and later ones count.
    pub(super) fn offer(
        &self,
        layer: usize,
        rows: &Directions,
        columns: &[(usize, PackedDirections)],
    ) {
        let both = both(rows, self.d);
        let written = rows.written().as_slice();
        let input = Product {
            rows: &rows.input,
            columns: |c| Some(&c.input),
            goal: Goal {
                within: Some(&self.in_in_layer),
                others: &self.in_in_others,
            },
        };
        let out = Product {
            rows: &rows.out,
            columns: |c| Some(&c.out),
            goal: Goal {
                within: Some(&self.out_out_layer),
                others: &self.out_out_others,
            },
        };
        let alike = Goal {
            within: Some(&self.alike.of_rows),
            others: &self.alike,
        };
        let feeds = |columns, others| Job {
            products: vec![Product {
                rows: written,
                columns,
                goal: Goal {
                    within: None,
                    others,
                },
            }],
            mean: None,
        };
        let mut jobs = vec![
            Job {
                products: vec![input, out],
                mean: Some(alike),
            },
            feeds(|c| Some(&c.input), &self.out_in),
        ];
        if let Some(out_gate) = &self.out_gate {
            jobs.push(feeds(|c| c.gate.as_ref(), out_gate));
        }
        let firsts = || (0..self.d_mlp).step_by(ROWS);
        let tasks: Vec<_> = jobs
            .iter()
            .flat_map(|job| firsts().map(move |first| (job, first)))
            .collect();
        tasks.into_par_iter().for_each(|(job, first)| {
            self.of_chunk(job, (layer, first), &both, columns);
        });
    }

    fn of_chunk(
        &self,
        job: &Job<'_>,
        (layer, first): (usize, usize),
        both: &[f32],
        columns: &[(usize, PackedDirections)],
    ) {
        let until = (first + ROWS).min(self.d_mlp);
        let mut packed: Vec<Rows> = Vec::new();
        for (other, directions) in columns.iter().filter(|(other, _)| *other >= layer) {
            let products = job.products.iter();
            let columns: Option<Vec<&Columns>> =
                products.map(|one| (one.columns)(directions)).collect();
            let goals = job.products.iter().map(|one| &one.goal).chain(&job.mean);
            let open: Option<Vec<Open<'_>>> =
                goals.map(|goal| goal.open(layer, first, *other)).collect();
            let (Some(columns), Some(open)) = (columns, open) else {
                continue;
            };
            if packed.is_empty() {
                let rows = job.products.iter().zip(&columns);
                let pack = |(product, columns): (&Product<'_>, &&Columns)| {
                    columns.rows(&product.rows[first * self.d..until * self.d])
                };
                packed = rows.map(pack).collect();
            }
            let chunk = Chunk {
                first: (layer * self.d_mlp + first) as u32,
                rows: &packed,
                columns: &columns,
                first_column: (other * self.d_mlp) as u32,
                both: (&both[first..], &directions.both),
            };
            self.of_panels(&chunk, open);
        }
    }

    fn of_panels(&self, chunk: &Chunk<'_>, mut open: Vec<Open<'_>>) {
        let (rows, columns) = (chunk.rows, chunk.columns);
        let mut buffers: Vec<_> = open.iter().map(|_| TileValues::new()).collect();
        let mut hits = Vec::new();
        let is_gated = self.out_gate.is_some();
        let n_panels = columns[0].n_panels();
        let begin = first_panel(chunk.first, n_panels);
        for (tiles, own) in rows[0].groups() {
            let n = own.len() * PANEL;
            for panel in (0..n_panels).map(|panel| (begin + panel) % n_panels) {
                for ((values, rows), columns) in buffers.iter_mut().zip(rows).zip(columns) {
                    values.multiply(rows, tiles.clone(), columns, panel);
                }
                if let [a, b, mean] = buffers.as_mut_slice() {
                    let of_columns = &chunk.both.1[panel * PANEL..][..PANEL];
                    for (row, of_row) in chunk.both.0[own.clone()].iter().enumerate() {
                        let row = row * PANEL..(row + 1) * PANEL;
                        let products = a.first(n)[row.clone()].iter().zip(&b.first(n)[row.clone()]);
                        let means = mean.first_mut(n)[row].iter_mut().zip(of_columns);
                        for ((mean, of_column), (a, b)) in means.zip(products) {
                            let sum = if is_gated {
                                (a + b).abs()
                            } else {
                                (a + b).max(0.0)
                            };
                            *mean = 0.5 * sum * of_row * of_column;
                        }
                    }
                }
                for (values, open) in buffers.iter().zip(&mut open) {
                    self.look(
                        chunk,
                        open,
                        (values.first(n), own.clone()),
                        panel,
                        &mut hits,
                    );
                }
            }
        }
    }

    /// Offers the values of some rows and a panel of columns to both.
    fn look(
        &self,
        chunk: &Chunk<'_>,
        open: &mut Open<'_>,
        (values, own): (&[f32], Range<usize>),
        panel: usize,
        hits: &mut Vec<(usize, usize)>,
    ) {
        let from = panel * PANEL;
        let mut of_columns = open.of_columns.map(|lists| lists.part(from).lock());
        hits.clear();
        self.isa.run(Look {
            values,
            row_bounds: &open.of_rows.bounds()[own.clone()],
            bounds: of_columns.as_ref().map(|best| best.bounds()),
            hits,
        });
        let n_columns = chunk.columns[0].n();
        for &(row, first) in hits.iter() {
            let neuron = chunk.first + (own.start + row) as u32;
            for at in (first..first + LANES).take_while(|at| from + at < n_columns) {
                let cosine = values[row * PANEL + at];
                let other = chunk.first_column + (from + at) as u32;
                let size = cosine.abs();
                if neuron == other || size == 0.0 {
                    continue;
                }
                open.of_rows
                    .offer(own.start + row, signed(other, cosine), size);
                if let Some(best) = &mut of_columns {
                    best.offer(at, signed(neuron, cosine), size);
                }
            }
        }
    }

    /// What a neuron has of a relation, by the size of the cosine; empty without a gate where that is read.
    pub(super) fn of(
        &self,
        relation: Relation,
        layer: usize,
        neuron: usize,
    ) -> Vec<(NeuronId, f32)> {
        let list =
            |lists: &Lists| lists[layer].of(neuron, |best, at| best.of(at).collect::<Vec<_>>());
        let found = match (relation, &self.out_gate) {
            (Relation::Alike, _) => joined(list(&self.alike.of_rows), list(&self.alike.of_columns)),
            (Relation::InInLayer, _) => list(&self.in_in_layer),
            (Relation::OutOutLayer, _) => list(&self.out_out_layer),
            (Relation::InInOthers, _) => joined(
                list(&self.in_in_others.of_rows),
                list(&self.in_in_others.of_columns),
            ),
            (Relation::OutOutOthers, _) => joined(
                list(&self.out_out_others.of_rows),
                list(&self.out_out_others.of_columns),
            ),
            (Relation::UpstreamIn, _) => list(&self.out_in.of_columns),
            (Relation::DownstreamIn, _) => list(&self.out_in.of_rows),
            (Relation::UpstreamGate, Some(out_gate)) => list(&out_gate.of_columns),
            (Relation::DownstreamGate, Some(out_gate)) => list(&out_gate.of_rows),
            (Relation::UpstreamGate | Relation::DownstreamGate, None) => Vec::new(),
        };
        let d_mlp = self.d_mlp as u32;
        let named = |(id, size): (u32, f32)| {
            let (id, negative) = (id >> 1, id & 1 == 1);
            let (layer, neuron) = (id / d_mlp, id % d_mlp);
            let cosine = if negative { -size } else { size };
            (NeuronId { layer, neuron }, cosine.clamp(-1.0, 1.0))
        };
        found.into_iter().map(named).collect()
    }
}

/// The best of two lists of different neurons.
fn joined(mut a: Vec<(u32, f32)>, b: Vec<(u32, f32)>) -> Vec<(u32, f32)> {
    a.extend(b);
    a.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    a.truncate(TOP_NEURONS);
    a
}

/// Says where any cosine of some rows and a panel may be large enough for either.
struct Look<'a> {
    /// `[rows, PANEL]`
    values: &'a [f32],
    row_bounds: &'a [f32],
    bounds: Option<&'a [f32]>,
    /// Row, and the first of sixteen columns.
    hits: &'a mut Vec<(usize, usize)>,
}

impl Kernel for Look<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        assert!(self.values.len() == self.row_bounds.len() * PANEL);
        let none = [f32::INFINITY; PANEL];
        let bounds = self.bounds.unwrap_or(&none);
        assert!(bounds.len() == PANEL);
        let zero = L::splat(0.0);
        for row in 0..self.row_bounds.len() {
            let row_bound = L::splat(self.row_bounds[row]);
            let mut at = 0;
            while at < PANEL {
                // SAFETY: `bounds` has as many values as a panel, and `values` a panel for each row
                let (x, bound) = unsafe {
                    (
                        L::load(self.values.as_ptr().add(row * PANEL + at)),
                        L::load(bounds.as_ptr().add(at)),
                    )
                };
                let size = x.max(zero.sub(x));
                if L::any(row_bound.min(bound).less(size)) {
                    self.hits.push((row, at));
                }
                at += LANES;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::atlas::weights::directions::dot;
    use crate::ids::{DocId, Pos};
    use crate::stats::hash;

    const D: usize = 20;

    /// Unit vectors of a layer that is neither a multiple of a panel nor of a chunk; neuron 1 has no direction.
    fn directions(layer: usize, n: usize, gated: bool) -> Directions {
        let vectors = |kind: u64| -> Vec<f32> {
            let rows = (0..n).flat_map(|neuron| {
                let value = |at: usize| {
                    let drawn =
                        hash::position(kind, DocId((layer * n + neuron) as u32), Pos(at as u32));
                    (drawn % 2001) as f32 / 1000.0 - 1.0
                };
                let row: Vec<f32> = (0..D).map(value).collect();
                let length = if neuron == 1 {
                    f64::INFINITY
                } else {
                    dot(&row, &row).sqrt()
                };
                row.into_iter().map(move |x| (f64::from(x) / length) as f32)
            });
            rows.collect()
        };
        Directions {
            input: vectors(1),
            gate: gated.then(|| vectors(2)),
            out: vectors(3),
            normed_out: gated.then(|| vectors(4)),
        }
    }

    /// All pairs of a relation, one by one.
    fn naive(
        layers: &[Directions],
        relation: Relation,
        (layer, neuron): (usize, usize),
    ) -> Vec<(NeuronId, f64)> {
        let row = |vectors: &[f32], at: usize| vectors[at * D..(at + 1) * D].to_vec();
        let mut found = Vec::new();
        for (other, of_other) in layers.iter().enumerate() {
            let alike = |at: usize| {
                let [input, out] = [
                    |of: &Directions| of.input.clone(),
                    |of: &Directions| of.out.clone(),
                ]
                .map(|kind| {
                    dot(
                        &row(&kind(&layers[layer]), neuron),
                        &row(&kind(of_other), at),
                    )
                });
                let mean = (input + out) / 2.0;
                if layers[layer].gate.is_some() {
                    mean.abs()
                } else {
                    mean.max(0.0)
                }
            };
            let (own, theirs) = match relation {
                Relation::Alike => (&layers[layer].input, &of_other.input),
                Relation::InInLayer if other == layer => (&layers[layer].input, &of_other.input),
                Relation::InInOthers if other != layer => (&layers[layer].input, &of_other.input),
                Relation::OutOutLayer if other == layer => (&layers[layer].out, &of_other.out),
                Relation::OutOutOthers if other != layer => (&layers[layer].out, &of_other.out),
                Relation::UpstreamIn if other < layer => (&layers[layer].input, of_other.written()),
                Relation::DownstreamIn if other > layer => {
                    (layers[layer].written(), &of_other.input)
                }
                Relation::UpstreamGate if other < layer => match &layers[layer].gate {
                    Some(gate) => (gate, of_other.written()),
                    None => continue,
                },
                Relation::DownstreamGate if other > layer => match &of_other.gate {
                    Some(gate) => (layers[layer].written(), gate),
                    None => continue,
                },
                _ => continue,
            };
            let own = row(own, neuron);
            for at in (0..theirs.len() / D).filter(|at| (other, *at) != (layer, neuron)) {
                let cosine = match relation {
                    Relation::Alike => alike(at),
                    _ => dot(&own, &row(theirs, at)),
                };
                let id = NeuronId {
                    layer: other as u32,
                    neuron: at as u32,
                };
                if cosine != 0.0 {
                    found.push((id, cosine));
                }
            }
        }
        found.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()).then(a.0.cmp(&b.0)));
        found.truncate(TOP_NEURONS);
        found
    }

    #[test]
    fn neighbours_are_those_of_all_pairs() {
        for (n, gated) in [(150, true), (64, false), (7, true)] {
            let layers: Vec<_> = (0..3).map(|layer| directions(layer, n, gated)).collect();
            for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
                // columns in two batches, as when memory does not hold all
                let neighbours = Neighbours::new(isa, (3, n), D, gated);
                for batch in [0..2, 2..3] {
                    let pack = |layer| (layer, PackedDirections::new(isa, &layers[layer], D));
                    let columns: Vec<_> = batch.clone().map(pack).collect();
                    for (layer, rows) in layers.iter().enumerate().take(batch.end) {
                        neighbours.offer(layer, rows, &columns);
                    }
                }
                for relation in Relation::ALL {
                    for (layer, neuron) in
                        (0..3).flat_map(|layer| (0..n).map(move |neuron| (layer, neuron)))
                    {
                        let found = neighbours.of(relation, layer, neuron);
                        let expected = naive(&layers, relation, (layer, neuron));
                        assert_eq!(found.len(), expected.len(), "{relation:?} {layer}.{neuron}");
                        for ((id, cosine), (other, exact)) in found.into_iter().zip(expected) {
                            assert!(
                                (f64::from(cosine) - exact).abs() < 1e-6,
                                "{isa:?} {relation:?} {layer}.{neuron}: {id} {cosine}, {other} {exact}"
                            );
                        }
                    }
                }
            }
        }
    }
}
