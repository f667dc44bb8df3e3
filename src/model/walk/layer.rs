//! One layer of a walk: its hooks, and going on to the next layer.

use std::ops::Range;

use candle_core::{Error, Tensor};

use super::executor::Executor;
use crate::model::block::{Attended, Block};
use crate::model::error::ModelError;
use crate::model::mlp::{MlpActivations, MlpProducts};
use crate::model::ops::Ops;
use crate::model::panels::{MlpOutput, Neurons, PANEL_NEURONS, PanelOutput, PanelValues, RowGroup};
use crate::model::stream::{Stream, check_shape};

/// The residual streams after a layer, as the methods of [`LayerHooks`] and [`LayerPanels`] compute them.
#[derive(Debug)]
pub struct Written(pub(super) Vec<Stream>);

/// The hooks of a layer's MLP, not yet computed. A visitor reads them in one of three ways, and goes on:
///
/// - panel by panel, where [`in_panels`](Self::in_panels) allows it: only `hook_post`, packed for `W_out`, is kept for
///   the whole layer;
/// - as tensors, with [`activations`](Self::activations) or [`products`](Self::products), and then
///   [`write_activations`](Self::write_activations) or [`write`](Self::write);
/// - not at all, with [`pass`](Self::pass).
pub struct LayerHooks<'w, E> {
    pub(super) ops: &'w Ops,
    pub(super) block: &'w Block,
    pub(super) layer: usize,
    pub(super) d_mlp: usize,
    /// Whether the residual streams after the layer are wanted.
    pub(super) goes_on: bool,
    /// Each entry after the layer's attention.
    pub(super) attended: Vec<Attended>,
    /// Memory that is used again in every layer.
    pub(super) outputs: &'w mut Vec<MlpOutput>,
    pub(super) executor: &'w E,
}

impl<'w, E: Executor> LayerHooks<'w, E> {
    /// The layer, counted from 0.
    pub fn layer(&self) -> usize {
        self.layer
    }

    /// Computes every hook, for every entry. The results of products are not rounded to the model's type on the way.
    pub fn activations(&self) -> Result<Vec<MlpActivations>, ModelError> {
        self.each(|attended| self.block.mlp.activations(self.ops, &attended.read))
    }

    /// Computes the MLP's products, for every entry: enough for a visitor that computes `hook_post` itself.
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

    /// Goes on with the `hook_post` of these activations, one set for every entry.
    pub fn write_activations(
        self,
        activations: Vec<MlpActivations>,
    ) -> Result<Written, ModelError> {
        let post = activations.into_iter().map(|activations| activations.post);
        self.write(post.collect())
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

    /// The panels of the MLP, or the hooks again if it cannot be computed in panels: on tensors, and where its neurons depend on
    /// one another, as those of a SoLU MLP do.
    pub fn in_panels(self) -> Result<LayerPanels<'w, E>, Self> {
        let Some(neurons) = Neurons::of(&self.block.mlp, &self.ops.compute) else {
            return Err(self);
        };
        let groups = |attended: &Attended| neurons.groups(attended.read.dims()[0]).collect();
        Ok(LayerPanels {
            groups: self.attended.iter().map(groups).collect(),
            hooks: self,
            neurons,
        })
    }

    /// Goes on without reading any hook, in as few operations as possible.
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
    /// For every entry, the rows that are visited together.
    groups: Vec<Vec<RowGroup>>,
}

/// Position of a panel's values in the layer.
#[derive(Clone, Debug)]
pub struct PanelPlace {
    /// Number of the entry.
    pub entry: usize,
    /// Number of the group of rows, within the entry.
    pub group: usize,
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

    /// For every entry, the rows that are visited together; they are the same in every layer.
    pub fn groups(&self) -> Vec<Vec<Range<usize>>> {
        let rows = |groups: &Vec<RowGroup>| groups.iter().map(|group| group.rows.clone()).collect();
        self.groups.iter().map(rows).collect()
    }

    /// Computes the panels in parallel, and goes on. `states` holds one state for every panel. `visit` is called with it and
    /// the panel's values, one group of rows after the other, while the values are in the CPU's cache; it may replace
    /// `hook_post`.
    ///
    /// # Panics
    /// If there is not one state for every panel.
    pub fn each<S: Send>(
        self,
        states: &mut [S],
        visit: impl Fn(&mut S, &PanelPlace, &mut PanelValues) + Send + Sync,
    ) -> Result<Written, ModelError> {
        assert_eq!(states.len(), self.n_panels(), "one state for every panel");
        let (neurons, groups) = (self.neurons, self.groups);
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
        // by panel, its part of every entry's output
        let parts: Vec<Vec<PanelOutput<'_>>> = {
            let mut entries: Vec<_> = outputs.iter_mut().map(MlpOutput::panels).collect();
            let of_panel = |_| entries.iter_mut().filter_map(Iterator::next).collect();
            (0..states.len()).map(of_panel).collect()
        };
        let panels = states.iter_mut().zip(parts).enumerate().collect();
        let compute = |values: &mut PanelValues, (panel, (state, mut parts)): Panel<'_, '_, S>| {
            let first = panel * PANEL_NEURONS;
            for (entry, input) in inputs.iter().enumerate() {
                for (group, RowGroup { tiles, .. }) in groups[entry].iter().enumerate() {
                    neurons.compute(panel, input, tiles.clone(), values)?;
                    let place = PanelPlace {
                        entry,
                        group,
                        neurons: first..neurons.n().min(first + PANEL_NEURONS),
                    };
                    visit(state, &place, values);
                    if let Some(part) = parts.get_mut(entry) {
                        part.keep(tiles.clone(), values);
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
