//! Neuron to neuron: whose weights point the same way, and who feeds whom (DEFINITIONS 8).
//!
//! Every pair is looked at once, [`ROWS`] times 64 cosines at a time, and offered to both neurons; nothing else of it stays.

use rayon::prelude::*;

use super::TOP_NEURONS;
use super::best::{Best, Shared};
use super::chunks::{ROWS, RowChunk, TileValues};
use super::directions::Directions;
use crate::ids::NeuronId;
use crate::lanes::{Isa, Kernel, LANES, Lanes};
use crate::model::{Columns, Rows};

/// Columns that are looked at together.
const PANEL: usize = Columns::PANEL;

/// What one neuron is to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
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
    pub const ALL: [Self; 8] = [
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
}

impl PackedDirections {
    pub(super) fn new(isa: Isa, directions: &Directions, d: usize) -> Self {
        let pack = |vectors: &Vec<f32>| Columns::new(isa, vectors, d);
        Self {
            input: pack(&directions.input),
            gate: directions.gate.as_ref().map(pack),
            out: pack(&directions.out),
        }
    }
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
    in_in_layer: Lists,
    in_in_others: Found,
    out_out_layer: Lists,
    out_out_others: Found,
    out_in: Found,
    out_gate: Option<Found>,
}

/// Rows of one layer against one kind of columns.
struct Job<'a> {
    rows: &'a [f32],
    columns: fn(&PackedDirections) -> Option<&Columns>,
    /// Where pairs within the layer go, if they are wanted.
    within: Option<&'a Lists>,
    others: &'a Found,
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
        let job = |rows, columns, within, others| Job {
            rows,
            columns,
            within,
            others,
        };
        let (input, out) = (rows.input.as_slice(), rows.out.as_slice());
        let written = rows.written().as_slice();
        let mut jobs = vec![
            job(
                input,
                |c| Some(&c.input),
                Some(&self.in_in_layer),
                &self.in_in_others,
            ),
            job(
                out,
                |c| Some(&c.out),
                Some(&self.out_out_layer),
                &self.out_out_others,
            ),
            job(written, |c| Some(&c.input), None, &self.out_in),
        ];
        if let Some(out_gate) = &self.out_gate {
            jobs.push(job(written, |c| c.gate.as_ref(), None, out_gate));
        }
        let jobs = jobs.iter();
        let tasks = jobs.flat_map(|job| {
            let chunks = job.rows.chunks(ROWS * self.d).enumerate();
            chunks.map(move |(at, vectors)| (job, at * ROWS, vectors))
        });
        let tasks: Vec<_> = tasks.collect();
        tasks.into_par_iter().for_each(|(job, first, vectors)| {
            let chunk = RowChunk {
                first: (layer * self.d_mlp + first) as u32,
                vectors,
            };
            self.of_chunk(job, layer, first, &chunk, columns);
        });
    }

    fn of_chunk(
        &self,
        job: &Job<'_>,
        layer: usize,
        first: usize,
        chunk: &RowChunk<'_>,
        columns: &[(usize, PackedDirections)],
    ) {
        let mut packed: Option<Rows> = None;
        for (other, directions) in columns.iter().filter(|(other, _)| *other >= layer) {
            let Some(columns) = (job.columns)(directions) else {
                continue;
            };
            let (of_rows, of_columns) = match (*other == layer, job.within) {
                (false, _) => (&job.others.of_rows, Some(&job.others.of_columns[*other])),
                (true, Some(within)) => (within, None),
                (true, None) => continue,
            };
            let rows = packed.get_or_insert_with(|| columns.rows(chunk.vectors));
            let mut of_rows = of_rows[layer].part(first).lock();
            let first_column = (other * self.d_mlp) as u32;
            self.of_panels(
                chunk,
                rows,
                (columns, first_column),
                &mut of_rows,
                of_columns,
            );
        }
    }

    fn of_panels(
        &self,
        chunk: &RowChunk<'_>,
        rows: &Rows,
        (columns, first_column): (&Columns, u32),
        of_rows: &mut Best,
        of_columns: Option<&Shared<Best>>,
    ) {
        let mut values = TileValues::new();
        let mut hits = Vec::new();
        let n_panels = columns.n_panels();
        let begin = chunk.first_panel(n_panels);
        for (tiles, own) in rows.groups() {
            for panel in (0..n_panels).map(|panel| (begin + panel) % n_panels) {
                let values = values.multiply(rows, tiles.clone(), columns, panel);
                let from = panel * PANEL;
                let mut of_columns = of_columns.map(|lists| lists.part(from).lock());
                hits.clear();
                self.isa.run(Look {
                    values: &values[..own.len() * PANEL],
                    row_bounds: &of_rows.bounds()[own.clone()],
                    bounds: of_columns.as_ref().map(|best| best.bounds()),
                    hits: &mut hits,
                });
                for &(row, first) in &hits {
                    let neuron = chunk.first + (own.start + row) as u32;
                    for at in (first..first + LANES).take_while(|at| from + at < columns.n()) {
                        let cosine = values[row * PANEL + at];
                        let other = first_column + (from + at) as u32;
                        let size = cosine.abs();
                        if neuron == other || size == 0.0 {
                            continue;
                        }
                        of_rows.offer(own.start + row, signed(other, cosine), size);
                        if let Some(best) = &mut of_columns {
                            best.offer(at, signed(neuron, cosine), size);
                        }
                    }
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
            let (own, theirs) = match relation {
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
                let cosine = dot(&own, &row(theirs, at));
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
