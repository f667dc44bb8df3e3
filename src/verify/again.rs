//! Examples of some neurons, computed again from weights and corpus.

use std::collections::BTreeMap;

use candle_core::{DType, Tensor};

use super::examples::is_ranked;
use super::tables::TOKENS;
use super::{Findings, Recomputed, TOKEN_ROWS, VerifyError, VerifyOptions};
use crate::atlas::{
    Atlas, ExampleRow, TokenBatches, WeightsSample, different_from_model, layer_file,
};
use crate::ids::{DocId, NeuronId, Pos};
use crate::load::ModelFiles;
use crate::model::walk::{Executor, LayerHooks, Visitor, Walk, Written};
use crate::model::{Config, Entry, Hook, Model, ModelError};
use crate::shard::AtlasManifest;
use crate::stats::hash;
use crate::stats::window::Window;
use crate::tokens::Windowing;
use crate::tokens::store::TokenStore;

/// Tokens that go through the model at one go.
const BATCH_TOKENS: usize = 8192;

/// Neurons of a model, drawn at random without repetition.
fn draw(manifest: &AtlasManifest, options: &VerifyOptions) -> Vec<NeuronId> {
    let scan = &manifest.scan;
    let (layers, d_mlp) = (scan.layers(), u64::from(scan.model.d_mlp));
    let id = |at: u64| NeuronId {
        layer: layers[(at / d_mlp) as usize],
        neuron: (at % d_mlp) as u32,
    };
    let drawn = drawn(scan.n_neurons(), options.neurons, options.seed);
    drawn.into_iter().map(id).collect()
}

/// Some of `n` numbers, drawn at random without repetition, in order.
fn drawn(n: u64, wanted: usize, seed: u64) -> Vec<u64> {
    let hashed = (0..n).map(|at| {
        let (doc, pos) = (DocId((at >> 32) as u32), Pos(at as u32));
        (hash::position(seed, doc, pos), at)
    });
    let mut hashed: Vec<_> = hashed.collect();
    let wanted = wanted.min(hashed.len());
    if wanted < hashed.len() {
        hashed.select_nth_unstable(wanted);
    }
    let mut drawn: Vec<u64> = hashed[..wanted].iter().map(|hashed| hashed.1).collect();
    drawn.sort_unstable();
    drawn
}

pub(super) fn recompute(
    atlas: &Atlas,
    model: &Model,
    store: &TokenStore,
    options: &VerifyOptions,
) -> Result<Recomputed, VerifyError> {
    let again = Recomputer {
        hook: model.config().ranking_hook(),
        model,
        store,
        windowing: atlas.windowing(),
    };
    let mut out = Recomputed::default();
    for id in draw(atlas.manifest(), options) {
        let neuron = atlas.layer(id.layer)?.nth(id.neuron as usize).transpose()?;
        let Some(neuron) = neuron else { continue };
        let largest = neuron.stats.moments.largest();
        let largest = if largest > 0.0 { largest } else { 1.0 };
        let of_ranked =
            |row: &&ExampleRow| (row.rank as usize) < options.examples && is_ranked(&row.list);
        let rows: Vec<&ExampleRow> = neuron.examples.iter().filter(of_ranked).collect();
        let values = again.values(id, &rows)?;
        for (row, values) in rows.iter().zip(values) {
            let example = &row.example;
            let at = (example.pos.0 - example.window.start) as usize;
            let difference = |stored: f32, found: f32| f64::from((stored - found).abs());
            let peak = difference(example.value, values[at][0]) / largest;
            // how far a window is off, relative to the largest value of its hook
            let off = |window: &Window, hook: usize, largest: f64| {
                let both = window.values().zip(&values);
                let both = both.filter_map(|(stored, found)| Some((stored?, found[hook])));
                let half = f64::from(window.scale) / 2.0;
                let off = both.map(|(s, f)| (difference(s, f) - half).max(0.0) / largest);
                off.fold(0.0, f64::max)
            };
            let mut around = off(&example.window, 0, largest);
            let hooks = example.hooks.iter().flat_map(|hooks| hooks.iter());
            for (at, hook) in hooks.enumerate() {
                let cases = neuron.stats.cases.iter().flatten();
                let largest = cases.map(|case| case.extremes[at].abs());
                let largest = largest.fold(hook.scale * 127.0, f32::max);
                if largest > 0.0 {
                    around = around.max(off(hook, at + 1, largest.into()));
                }
                out.n_values += values.len();
            }
            out.n_values += values.len();
            out.n_examples += 1;
            out.peak_error = out.peak_error.max(peak);
            out.window_error = out.window_error.max(around);
            if !(peak <= options.tolerance && around <= options.tolerance) {
                let (list, rank) = (&row.list, row.rank);
                out.off.push(format!("{id} {list} {rank}"));
            }
        }
        out.neurons.push(id);
    }
    Ok(out)
}

/// A model that computes what was scanned once more.
struct Recomputer<'a> {
    model: &'a Model,
    store: &'a TokenStore,
    windowing: Windowing,
    hook: Hook,
}

impl Recomputer<'_> {
    /// The values of a neuron over the windows of some examples.
    fn values(&self, id: NeuronId, rows: &[&ExampleRow]) -> Result<Vec<Vec<Values>>, VerifyError> {
        // of every window that is needed, how far: nothing after that changes it
        let mut needed: BTreeMap<(DocId, usize), u32> = BTreeMap::new();
        let positions = |row: &ExampleRow| {
            let start = row.example.window.start;
            start..start + row.example.window.steps.len() as u32
        };
        for row in rows {
            for pos in positions(row) {
                let window = (row.example.doc, self.windowing.window_of(Pos(pos)));
                let until = needed.entry(window).or_default();
                *until = (*until).max(pos + 1);
            }
        }
        let mut ids = Vec::new();
        for (&(doc, at), &until) in &needed {
            let mut windows = self.windowing.windows(self.store.len(doc));
            let Some(window) = windows.nth(at) else {
                continue;
            };
            let own = self.store.tokens(doc, window.tokens.clone())?;
            let all: Vec<u32> = (self.windowing.front().chain(own)).map(|id| id.0).collect();
            let n = (until - window.start.0) as usize + window.skip;
            ids.push(((doc, at), window, all[..n.min(all.len())].to_vec()));
        }
        let mut found: BTreeMap<(DocId, u32), Values> = BTreeMap::new();
        let mut rest = ids.as_slice();
        while !rest.is_empty() {
            let (mut n, mut n_tokens) = (0, 0);
            while n < rest.len() && (n == 0 || n_tokens + rest[n].2.len() <= BATCH_TOKENS) {
                n_tokens += rest[n].2.len();
                n += 1;
            }
            let (batch, after) = rest.split_at(n);
            rest = after;
            let windows: Vec<&[u32]> = batch.iter().map(|(_, _, ids)| ids.as_slice()).collect();
            let column = self.column(id, &windows)?;
            let mut row = 0;
            for ((doc, _), window, ids) in batch {
                let own = column[row..row + ids.len()].iter().skip(window.skip);
                for (pos, value) in (window.start.0..).zip(own) {
                    found.insert((*doc, pos), *value);
                }
                row += ids.len();
            }
        }
        let value = |row: &ExampleRow, pos| {
            found
                .get(&(row.example.doc, pos))
                .copied()
                .unwrap_or([f32::NAN; 4])
        };
        let of_row = |row: &&ExampleRow| positions(row).map(|pos| value(row, pos)).collect();
        Ok(rows.iter().map(of_row).collect())
    }

    /// A neuron's values at all rows of some windows.
    fn column(&self, id: NeuronId, windows: &[&[u32]]) -> Result<Vec<Values>, ModelError> {
        let mut column = Column {
            id,
            hook: self.hook,
            values: Vec::new(),
        };
        let walk = Walk::new(self.model).stop_after(id.layer as usize);
        walk.visit(&[Entry::Ids(windows)], &mut column)?;
        Ok(column.values)
    }
}

/// The ranked value of a neuron at a position; if it is gated, then gate, act(gate) and in.
type Values = [f32; 4];

/// Reads the values of one neuron.
struct Column {
    id: NeuronId,
    hook: Hook,
    values: Vec<Values>,
}

impl Visitor for Column {
    type Error = ModelError;

    fn hooks<E: Executor>(&mut self, hooks: LayerHooks<'_, E>) -> Result<Written, ModelError> {
        if hooks.layer() != self.id.layer as usize {
            return hooks.pass();
        }
        let found = hooks.activations()?;
        for found in &found {
            let column = |tensor: &Tensor| -> Result<Vec<f32>, ModelError> {
                let column = tensor.narrow(1, self.id.neuron as usize, 1)?;
                let column = column.flatten_all()?.to_dtype(DType::F32)?;
                Ok(column.to_vec1()?)
            };
            let ranked = found.hook(self.hook).unwrap_or(&found.post);
            let gated = found.act.as_ref().zip(found.pre_linear.as_ref());
            let hooks = gated.map(|(act, input)| [&found.pre, act, input]);
            let mut values: Vec<Values> = Vec::new();
            values.extend(
                column(ranked)?
                    .into_iter()
                    .map(|value| [value, 0.0, 0.0, 0.0]),
            );
            for (at, hook) in (1..).zip(hooks.into_iter().flatten()) {
                for (values, value) in values.iter_mut().zip(column(hook)?) {
                    values[at] = value;
                }
            }
            self.values.extend(values);
        }
        hooks.write_activations(found)
    }
}

/// Compares what the weights say of all neurons, of the tokens of some and of the neurons of some tokens with the model.
pub(super) fn weights(
    atlas: &Atlas,
    (files, config): (&ModelFiles, &Config),
    options: &VerifyOptions,
    findings: &mut Findings,
) -> Result<(), VerifyError> {
    if atlas.weights_info().is_none() {
        return Ok(());
    }
    let scan = &atlas.manifest().scan;
    let wanted = drawn(u64::from(scan.model.d_vocab), options.neurons, options.seed);
    let mut tokens = Vec::new();
    let batches = atlas.tokens(TOKEN_ROWS)?;
    let have_firing = batches.as_ref().is_some_and(TokenBatches::have_firing);
    let orientations = have_firing.then(|| atlas.orientations()).transpose()?;
    for batch in batches.into_iter().flatten() {
        for row in batch? {
            if wanted.binary_search(&u64::from(row.token.0)).is_ok() {
                tokens.push((row.token, row.neurons));
            }
        }
    }
    let sample = WeightsSample {
        neurons: &draw(atlas.manifest(), options),
        norm_is_apart: atlas
            .weights_info()
            .is_some_and(|info| info.norm_after_mlp.is_some()),
        tokens: &tokens,
        layers: atlas.manifest().scan.layers(),
        orientations: orientations.as_deref(),
    };
    let of_layer = |layer| Ok(atlas.weights(layer)?.unwrap_or_default());
    let checkpoint = files.checkpoint()?;
    let different = different_from_model(config, &checkpoint, &sample, of_layer)?;
    for (layer, what) in different {
        let file = match layer {
            Some(layer) => format!("atlas/{}", layer_file(layer)),
            None => TOKENS.into(),
        };
        findings.add(file, what);
    }
    Ok(())
}
