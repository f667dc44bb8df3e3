//! One layer of a walk, between its attention and what its MLP writes.

use std::ops::Range;

use candle_core::{Error, Tensor};

use super::executor::Executor;
use crate::model::block::{Attended, Block};
use crate::model::error::ModelError;
use crate::model::mlp::{MlpActivations, MlpProducts};
use crate::model::ops::Ops;
use crate::model::panels::{MlpOutput, Neurons, PANEL_NEURONS, PanelOutput, PanelValues};
use crate::model::stream::{Stream, check_shape};

/// The residual streams after a layer. Only going on from a layer's hooks makes one.
#[derive(Debug)]
pub struct Written(pub(super) Vec<Stream>);

/// The hooks of a layer's MLP, not yet computed. A visitor looks at them in one of three ways, and goes on:
///
/// - panel by panel, where [`in_panels`](Self::in_panels) allows it: only `hook_post`, packed for `W_out`, is kept for
///   the whole layer;
/// - as tensors, with [`activations`](Self::activations) or [`products`](Self::products), and then [`write`](Self::write);
/// - not at all, with [`pass`](Self::pass).
pub struct LayerHooks<'w, E> {
    pub(super) ops: &'w Ops,
    pub(super) block: &'w Block,
    pub(super) layer: usize,
    pub(super) d_mlp: usize,
    /// Whether what the layer writes is wanted.
    pub(super) goes_on: bool,
    /// What the attention left of each entry.
    pub(super) attended: Vec<Attended>,
    /// Memory that every layer uses again.
    pub(super) outputs: &'w mut Vec<MlpOutput>,
    pub(super) executor: &'w E,
}

impl<'w, E: Executor> LayerHooks<'w, E> {
    /// The layer, counted from 0.
    pub fn layer(&self) -> usize {
        self.layer
    }

    /// Every hook, for every entry. Sums stay as they come out of the products and are not rounded again on the way.
    pub fn activations(&self) -> Result<Vec<MlpActivations>, ModelError> {
        self.each(|attended| self.block.mlp.activations(self.ops, &attended.read))
    }

    /// The results of the MLP's products, for every entry: enough for a visitor that computes `hook_post` itself.
    pub fn products(&self) -> Result<Vec<MlpProducts>, ModelError> {
        self.each(|attended| self.block.mlp.products(self.ops, &attended.read))
    }

    fn each<R: Send>(
        &self,
        task: impl Fn(&Attended) -> candle_core::Result<R> + Send + Sync,
    ) -> Result<Vec<R>, ModelError> {
        let attended = self.attended.iter().collect();
        Ok((self.executor).map(attended, || (), |(), attended| task(attended))?)
    }

    /// Goes on with these values of `hook_post`, `[rows, d_mlp]` for every entry.
    pub fn write(self, post: Vec<Tensor>) -> Result<Written, ModelError> {
        if post.len() != self.attended.len() {
            return Err(ModelError::OtherEntries {
                found: post.len(),
                expected: self.attended.len(),
            });
        }
        for (attended, post) in self.attended.iter().zip(&post) {
            check_shape(post, &[attended.read.dim(0)?, self.d_mlp])?;
        }
        if !self.goes_on {
            return Ok(Written(Vec::new()));
        }
        let both = self.attended.into_iter().zip(post).collect();
        let write = |_: &mut (), (attended, post): (Attended, Tensor)| {
            self.block.write(self.ops, attended, &post)
        };
        Ok(Written(self.executor.map(both, || (), write)?))
    }

    /// The panels of the MLP, or the hooks again if it is not computed in panels: on tensors, and where its neurons depend on
    /// one another, as those of a SoLU MLP do.
    pub fn in_panels(self) -> Result<LayerPanels<'w, E>, Self> {
        match Neurons::of(&self.block.mlp, &self.ops.compute) {
            Some(neurons) => Ok(LayerPanels {
                hooks: self,
                neurons,
            }),
            None => Err(self),
        }
    }

    /// Goes on without a look, in as few operations as it takes.
    pub fn pass(self) -> Result<Written, ModelError> {
        if !self.goes_on {
            return Ok(Written(Vec::new()));
        }
        match self.in_panels() {
            Ok(panels) => {
                let mut nobody = vec![(); panels.n_panels()];
                panels.each(&mut nobody, |(), _, _| {})
            }
            Err(hooks) => {
                let post = |attended: &Attended| hooks.block.mlp.post(hooks.ops, &attended.read);
                let post = hooks.each(post)?;
                hooks.write(post)
            }
        }
    }
}

/// The hooks of a layer's MLP, to be computed panel by panel of neurons.
pub struct LayerPanels<'w, E> {
    hooks: LayerHooks<'w, E>,
    neurons: Neurons<'w>,
}

/// Where the values of a panel are from.
#[derive(Clone, Debug)]
pub struct PanelPlace {
    /// Number of the entry.
    pub entry: usize,
    /// Number of the group of rows, within the entry.
    pub group: usize,
    /// The rows of the group, within the entry.
    pub rows: Range<usize>,
    /// Neurons of the panel.
    pub neurons: Range<usize>,
}

impl<E: Executor> LayerPanels<'_, E> {
    /// The layer, counted from 0.
    pub fn layer(&self) -> usize {
        self.hooks.layer
    }

    /// Number of panels.
    pub fn n_panels(&self) -> usize {
        self.neurons.n().div_ceil(PANEL_NEURONS)
    }

    /// Rows that are visited together, for every entry; the same in every layer.
    pub fn groups(&self) -> Vec<Vec<Range<usize>>> {
        let of = |attended: &Attended| {
            let n_rows = attended.read.dims()[0];
            self.neurons.groups(n_rows).collect()
        };
        self.hooks.attended.iter().map(of).collect()
    }

    /// Computes the panels side by side, and goes on. `states` holds one state for every panel. `visit` is called with it and
    /// the panel's values, one group of rows after the other, while the values are in the cache; it may replace `hook_post`.
    ///
    /// # Panics
    /// If there is not one state for every panel.
    pub fn each<S: Send>(
        self,
        states: &mut [S],
        visit: impl Fn(&mut S, &PanelPlace, &mut PanelValues) + Send + Sync,
    ) -> Result<Written, ModelError> {
        assert_eq!(states.len(), self.n_panels(), "one state for every panel");
        let neurons = self.neurons;
        let LayerHooks {
            ops,
            block,
            goes_on,
            attended,
            outputs,
            executor,
            ..
        } = self.hooks;
        let input = |_: &mut (), attended: &Attended| neurons.input(&attended.read);
        let inputs = executor.map(attended.iter().collect(), || (), input)?;
        match goes_on {
            true => {
                outputs.resize_with(inputs.len(), MlpOutput::default);
                for (output, input) in outputs.iter_mut().zip(&inputs) {
                    output.make_room(input, neurons.n());
                }
            }
            false => outputs.clear(),
        }
        // for each panel, its part of every entry's output
        let parts: Vec<Vec<PanelOutput<'_>>> = {
            let mut entries: Vec<_> = outputs.iter_mut().map(MlpOutput::panels).collect();
            let of_panel = |_| entries.iter_mut().filter_map(Iterator::next).collect();
            (0..states.len()).map(of_panel).collect()
        };
        let panels = states.iter_mut().zip(parts).enumerate().collect();
        let compute = |values: &mut PanelValues, (panel, (state, mut parts)): Panel<'_, '_, S>| {
            let first = panel * PANEL_NEURONS;
            for (entry, input) in inputs.iter().enumerate() {
                for (group, (tiles, rows)) in input.groups().enumerate() {
                    neurons.compute(panel, input, tiles.clone(), values)?;
                    let place = PanelPlace {
                        entry,
                        group,
                        rows,
                        neurons: first..neurons.n().min(first + PANEL_NEURONS),
                    };
                    visit(state, &place, values);
                    if let Some(part) = parts.get_mut(entry) {
                        part.keep(tiles, values);
                    }
                }
            }
            Ok::<(), Error>(())
        };
        executor.map(panels, PanelValues::default, compute)?;
        drop(inputs);
        if !goes_on {
            return Ok(Written(Vec::new()));
        }
        let write = |_: &mut (), (attended, output): (Attended, &MlpOutput)| {
            block.write_panels(ops, attended, output)
        };
        let both = attended.into_iter().zip(&*outputs).collect();
        Ok(Written(executor.map(both, || (), write)?))
    }
}

/// A panel with its state and its parts of the entries' outputs.
type Panel<'s, 'o, S> = (usize, (&'s mut S, Vec<PanelOutput<'o>>));
