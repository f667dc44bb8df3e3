//! An MLP panel by panel of neurons, so that activations can be looked at while they are in the cache.
//!
//! ```text
//! rows ──► MlpInput ──► PanelValues, by panel and tiles ──► MlpOutput ──► times W_out
//! ```
//!
//! The next panel overwrites the values of a panel; only `hook_post` stays, packed for the product with `W_out`.

use std::ops::Range;

use candle_core::{Result, Tensor};

use super::cpu::{self, GROUP_ROWS, PANEL, Packed, PackedRows, PanelRows};
use super::mlp::Mlp;
use super::ops::{Compute, Linear, on_host, pack};
use crate::lanes::Isa;

/// Neurons of a panel.
pub const PANEL_NEURONS: usize = PANEL;

/// An MLP whose neurons can be computed independently.
#[derive(Clone, Copy)]
pub(super) struct Neurons<'m> {
    mlp: &'m Mlp,
    input: &'m Packed,
    gate: Option<&'m Packed>,
    isa: Isa,
}

/// Rows that are computed together, and the tiles that hold them.
pub(super) struct RowGroup {
    pub(super) tiles: Range<usize>,
    pub(super) rows: Range<usize>,
}

/// The input of an MLP, packed.
pub(super) struct MlpInput(PackedRows);

/// `hook_post` of an MLP, packed for the product with `W_out`.
#[derive(Default)]
pub(super) struct MlpOutput(Option<PackedRows>);

/// The part of an output that one panel of neurons writes.
pub(super) struct PanelOutput<'a>(PanelRows<'a>);

/// Hooks of one panel of neurons at some rows, each `[rows, PANEL_NEURONS]`. The last panel of a layer may have columns without
/// a neuron; their values mean nothing.
pub struct PanelValues {
    n_rows: usize,
    pre: Vec<f32>,
    pre_linear: Vec<f32>,
    act: Vec<f32>,
    post: Vec<f32>,
}

impl Default for PanelValues {
    fn default() -> Self {
        let zeros = || vec![0.0; GROUP_ROWS * PANEL];
        Self {
            n_rows: 0,
            pre: zeros(),
            pre_linear: zeros(),
            act: zeros(),
            post: zeros(),
        }
    }
}

impl PanelValues {
    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// `hook_pre`
    pub fn pre(&self) -> &[f32] {
        &self.pre[..self.n_rows * PANEL]
    }

    /// `hook_pre_linear`, of gated MLPs.
    pub fn pre_linear(&self) -> &[f32] {
        &self.pre_linear[..self.n_rows * PANEL]
    }

    /// `act_fn(hook_pre)`, of gated MLPs.
    pub fn act(&self) -> &[f32] {
        &self.act[..self.n_rows * PANEL]
    }

    /// `hook_post`
    pub fn post(&self) -> &[f32] {
        &self.post[..self.n_rows * PANEL]
    }

    /// `hook_post`, to be changed: `W_out` multiplies these values.
    pub fn post_mut(&mut self) -> &mut [f32] {
        &mut self.post[..self.n_rows * PANEL]
    }
}

impl<'m> Neurons<'m> {
    /// The MLP of a block, panel by panel: on the CPU's kernels, where neurons do not depend on one another as those of a
    /// SoLU MLP do.
    pub(super) fn of(mlp: &'m Mlp, compute: &Compute) -> Option<Self> {
        let Compute::Kernels(isa) = *compute else {
            return None;
        };
        let gate = match &mlp.gate {
            Some(gate) => Some(gate.weight.packed()?),
            None => None,
        };
        (mlp.mid_norm.is_none()).then_some(Neurons {
            mlp,
            input: mlp.input.weight.packed()?,
            gate,
            isa,
        })
    }

    /// Number of neurons.
    pub(super) fn n(&self) -> usize {
        self.input.n_out()
    }

    /// Packs the input of the MLP, `[rows, d_model]`.
    pub(super) fn input(&self, read: &Tensor) -> Result<MlpInput> {
        Ok(MlpInput(pack(read, self.input)?))
    }

    /// Divides `n_rows` rows of input into groups.
    pub(super) fn groups(&self, n_rows: usize) -> impl Iterator<Item = RowGroup> {
        let groups = self.input.groups(n_rows);
        groups.map(|(tiles, rows)| RowGroup { tiles, rows })
    }

    /// Computes the hooks of the neurons `PANEL_NEURONS · panel ..` at some tiles of rows.
    pub(super) fn compute(
        &self,
        panel: usize,
        input: &MlpInput,
        tiles: Range<usize>,
        values: &mut PanelValues,
    ) -> Result<()> {
        let n_rows = input.0.rows_of(&tiles).len();
        values.n_rows = n_rows;
        let n = n_rows * PANEL;
        let read = |weights: &Packed, linear: &Linear, to: &mut [f32]| {
            cpu::multiply_neurons(&input.0, tiles.clone(), weights, panel, to);
            let Some(bias) = &linear.bias else {
                return Ok(());
            };
            on_host(bias, |bias| {
                let bias = &bias[panel * PANEL..bias.len().min((panel + 1) * PANEL)];
                for row in to[..n].chunks_exact_mut(PANEL) {
                    cpu::add(self.isa, &mut row[..bias.len()], bias);
                }
            })
        };
        let PanelValues {
            pre,
            pre_linear,
            act,
            post,
            ..
        } = values;
        match (self.gate, &self.mlp.gate) {
            (Some(weights), Some(gate)) => {
                read(weights, gate, pre)?;
                read(self.input, &self.mlp.input, pre_linear)?;
                let both = (&pre[..n], &pre_linear[..n]);
                cpu::gated(
                    self.isa,
                    self.mlp.act_fn,
                    both,
                    &mut act[..n],
                    &mut post[..n],
                );
            }
            _ => {
                read(self.input, &self.mlp.input, pre)?;
                cpu::activate(self.isa, self.mlp.act_fn, &pre[..n], &mut post[..n]);
            }
        }
        Ok(())
    }
}

impl MlpOutput {
    /// Makes room for the `hook_post` of an input. All its panels must then be written.
    pub(super) fn make_room(&mut self, input: &MlpInput, d_mlp: usize) {
        let rows = self.0.get_or_insert_with(|| input.0.alike());
        rows.in_blocks(input.0.n_rows(), d_mlp);
    }

    /// Its parts, panel by panel, to be written in parallel.
    pub(super) fn panels(&mut self) -> impl Iterator<Item = PanelOutput<'_>> {
        self.0
            .iter_mut()
            .flat_map(PackedRows::blocks)
            .map(PanelOutput)
    }

    pub(super) fn rows(&self) -> Option<&PackedRows> {
        self.0.as_ref()
    }
}

impl PanelOutput<'_> {
    /// Keeps `hook_post` of some tiles.
    pub(super) fn keep(&mut self, tiles: Range<usize>, values: &PanelValues) {
        self.0.pack(tiles, values.post());
    }
}
