//! What a walk through a model's layers can do besides reading: continue, change, differentiate, load as it goes.

use std::collections::BTreeSet;

use candle_core::{DType, Device, Tensor, Var};
use neuroscope::load::ModelFiles;
use neuroscope::model::walk::{Executor, LayerHooks, Visitor, Walk, Written};
use neuroscope::model::{
    Compute, Config, Entry, KvCache, Model, ModelError, PANEL_NEURONS, Position, RopeScaling,
    Stream, Unembedding,
};

use crate::conformance::{Expected, FAMILIES, Reader, largest_error};
use crate::support;

/// A fixture with its unembedding and its text.
struct Fixture {
    files: ModelFiles,
    model: Model,
    unembedding: Unembedding,
    ids: Vec<u32>,
}

impl Fixture {
    fn load(name: &str, compute: Compute) -> Self {
        Self::load_first(usize::MAX, name, compute, |_| {})
    }

    /// The first blocks only, and another config.
    fn load_first(
        n_blocks: usize,
        name: &str,
        compute: Compute,
        change: impl Fn(&mut Config),
    ) -> Self {
        let files = ModelFiles::open(support::model(name).to_str().unwrap()).unwrap();
        let checkpoint = files.checkpoint().unwrap();
        let mut config = files.config().unwrap();
        change(&mut config);
        let n_ctx = config.n_ctx;
        let model = Model::load_first(n_blocks, config, &checkpoint, n_ctx, DType::F32, compute);
        let model = model.unwrap();
        let unembedding = model.unembedding(&checkpoint).unwrap();
        drop(checkpoint);
        Self {
            files,
            model,
            unembedding,
            ids: Expected::read(name).ids,
        }
    }

    /// The rows of the embedding of the fixture's text.
    fn rows(&self) -> Tensor {
        let ids = Tensor::new(self.ids.as_slice(), &Device::Cpu).unwrap();
        self.model.w_e().embedding(&ids).unwrap()
    }

    fn logits(&self, streams: &[Stream]) -> Tensor {
        let hidden = self.model.final_hidden(&streams[0]).unwrap();
        self.model.logits(&self.unembedding, &hidden).unwrap()
    }

    /// `[rows][d_vocab]`
    fn whole(&self, ids: &[u32]) -> Vec<Vec<f32>> {
        let streams = Walk::new(&self.model).through(&[Entry::Ids(&[ids])], &mut ());
        self.logits(&streams.unwrap()).to_vec2().unwrap()
    }

    /// The logits of what continues a cache.
    fn continued(&self, ids: &[u32], cache: &mut KvCache) -> Result<Vec<Vec<f32>>, ModelError> {
        let n = cache.len() + ids.len();
        let walk = Walk::new(&self.model).continuing(cache);
        let streams = walk.through(&[Entry::Ids(&[ids])], &mut ())?;
        assert_eq!(cache.len(), n);
        Ok(self.logits(&streams).to_vec2().unwrap())
    }
}

/// The length up to which the short factors of LongRoPE count.
fn original_length(config: &Config) -> Option<usize> {
    let Position::Rotary { rope, .. } = &config.position else {
        return None;
    };
    match rope.scaling {
        RopeScaling::Long { original, .. } => Some(original),
        _ => None,
    }
}

fn both() -> [Compute; 2] {
    [Compute::on(&Device::Cpu), Compute::Tensors(Device::Cpu)]
}

fn assert_close(found: &[Vec<f32>], expected: &[Vec<f32>], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, expected) in found.iter().zip(expected) {
        let error = largest_error(found, expected);
        assert!(error <= 2e-5, "{what}: off by {error}");
    }
}

#[test]
fn a_window_read_in_steps_has_the_logits_of_the_whole() {
    for name in FAMILIES {
        for compute in both() {
            let what = format!("{name} on {compute:?}");
            let mut fixture = Fixture::load(name, compute);
            // with LongRoPE, a cache cannot be continued past the original length
            if let Some(original) = original_length(fixture.model.config()) {
                fixture.ids.truncate(original);
            }
            let (ids, mut cache) = (fixture.ids.as_slice(), KvCache::new());
            let whole = fixture.whole(ids);
            let mut steps = [3, 1, 1, 4, 1, 2].into_iter();
            while cache.len() < ids.len() {
                let first = cache.len();
                let end = ids.len().min(first + steps.next().unwrap_or(1));
                let found = fixture.continued(&ids[first..end], &mut cache).unwrap();
                assert_close(&found, &whole[first..end], &what);
            }
            // another text from the middle on, and then the text again
            let half = ids.len() / 2;
            let mut other = ids[..half].to_vec();
            other.extend(ids[half..].iter().rev());
            for text in [other.as_slice(), ids] {
                cache.trim(half);
                let found = fixture.continued(&text[half..], &mut cache).unwrap();
                assert_close(&found, &fixture.whole(text)[half..], &what);
            }
        }
    }
}

/// Makes LongRoPE's original length 8.
fn shorten(config: &mut Config) {
    let Position::Rotary { rope, .. } = &mut config.position else {
        panic!("no rotation");
    };
    let RopeScaling::Long { original, .. } = &mut rope.scaling else {
        panic!("no LongRoPE");
    };
    *original = 8;
}

/// Each window is rotated by the angles of its own length, whatever windows are computed with it.
#[test]
fn a_windows_angles_do_not_depend_on_its_neighbours() {
    for compute in both() {
        let fixture = Fixture::load_first(usize::MAX, "phi3_long", compute, shorten);
        let ids = fixture.ids.as_slice();
        let windows = [&ids[..6], &ids[..12], &ids[3..9]];
        let entries: Vec<_> = windows
            .iter()
            .map(std::slice::from_ref)
            .map(Entry::Ids)
            .collect();
        let alone = Walk::new(&fixture.model)
            .through(&entries, &mut ())
            .unwrap();
        let together = [Entry::Ids(&windows)];
        let together = Walk::new(&fixture.model)
            .through(&together, &mut ())
            .unwrap();
        let alone: Vec<_> = alone.iter().map(|stream| stream.tensor().clone()).collect();
        let alone = Tensor::cat(&alone, 0).unwrap();
        let difference = (alone - together[0].tensor()).unwrap().abs().unwrap();
        let difference = difference.max_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(difference < 1e-4, "{difference}");
    }
}

/// Windows without tokens are passed over; an entry of nothing else is an error, wherever it stands.
#[test]
fn an_entry_without_tokens_is_refused() {
    for compute in both() {
        let fixture = Fixture::load("llama", compute);
        let ids = fixture.ids.as_slice();
        let (some, none) = ([ids, &ids[..0]], [&ids[..0]]);
        let entries = [Entry::Ids(&some), Entry::Ids(&none), Entry::Ids(&[])];
        for refused in 1..3 {
            let entries = [entries[0], entries[refused]];
            let walk = Walk::new(&fixture.model).through(&entries, &mut ());
            assert!(matches!(walk, Err(ModelError::NoTokens)), "{walk:?}");
        }
        let found = Walk::new(&fixture.model).through(&entries[..1], &mut ());
        assert_eq!(found.unwrap()[0].tensor().dims()[0], ids.len());
    }
}

/// What a visitor writes has a row for every row and a value for every neuron.
#[test]
fn a_hook_of_another_shape_is_refused() {
    struct Writes([usize; 2]);
    impl Visitor for Writes {
        type Error = ModelError;

        fn hooks<E: Executor>(&mut self, hooks: LayerHooks<'_, E>) -> Result<Written, ModelError> {
            hooks.write(vec![Tensor::zeros(&self.0, DType::F32, &Device::Cpu)?])
        }
    }
    for compute in both() {
        let fixture = Fixture::load("llama", compute);
        let (n, d_mlp) = (fixture.ids.len(), fixture.model.config().d_mlp);
        let walk = |shape| {
            let windows = [fixture.ids.as_slice()];
            Walk::new(&fixture.model).visit(&[Entry::Ids(&windows)], &mut Writes(shape))
        };
        walk([n, d_mlp]).unwrap();
        for shape in [[1, d_mlp], [n, d_mlp - 1], [n, d_mlp + 1], [n + 1, d_mlp]] {
            let error = walk(shape).unwrap_err().to_string();
            assert!(error.contains("wrong shape"), "{error}");
        }
    }
}

/// With LongRoPE, all positions get other angles once a window is longer than the original length, so cached keys are of no use.
#[test]
fn a_window_that_outgrows_its_angles_must_be_read_anew() {
    for compute in both() {
        let fixture = Fixture::load_first(usize::MAX, "phi3_long", compute, shorten);
        let (ids, mut cache) = (fixture.ids.as_slice(), KvCache::new());
        let refuses = |cache: &mut KvCache, until: usize| {
            let kept = cache.len();
            match fixture.continued(&ids[kept..until], cache) {
                Err(ModelError::OtherAngles { n_positions }) => assert_eq!(n_positions, until),
                other => panic!("{other:?}"),
            }
            assert_eq!(cache.len(), kept);
        };
        fixture.continued(&ids[..6], &mut cache).unwrap();
        refuses(&mut cache, 9);
        let found = fixture.continued(&ids[6..8], &mut cache).unwrap();
        assert_close(&found, &fixture.whole(&ids[..8])[6..], "short");
        cache.trim(0);
        fixture.continued(&ids[..10], &mut cache).unwrap();
        let found = fixture.continued(&ids[10..], &mut cache).unwrap();
        assert_close(&found, &fixture.whole(ids)[10..], "long");
        cache.trim(5);
        refuses(&mut cache, 8);
    }
}

#[test]
fn a_cache_is_of_one_window_and_as_many_layers_as_are_walked() {
    for compute in both() {
        let fixture = Fixture::load("llama", compute);
        let (ids, mut cache) = (fixture.ids.as_slice(), KvCache::new());
        let walk = |windows: &[&[u32]], last: usize, cache: &mut KvCache| {
            let walk = Walk::new(&fixture.model).continuing(cache).stop_after(last);
            walk.visit(&[Entry::Ids(windows)], &mut ())
        };
        let error = walk(&[&ids[..2], &ids[2..3]], 2, &mut cache).unwrap_err();
        assert!(
            matches!(error, ModelError::OneWindow { found: 2 }),
            "{error}"
        );
        for windows in [&[][..], &[&[][..]]] {
            let error = walk(windows, 2, &mut cache).unwrap_err();
            assert!(matches!(error, ModelError::NoTokens), "{error}");
        }
        walk(&[&ids[..5]], 1, &mut cache).unwrap();
        walk(&[&ids[5..7]], 1, &mut cache).unwrap();
        let error = walk(&[&ids[7..9]], 2, &mut cache).unwrap_err();
        assert!(
            matches!(
                error,
                ModelError::FewerLayers {
                    found: 2,
                    expected: 3
                }
            ),
            "{error}"
        );
        assert_eq!(cache.len(), 7);
        let n_ctx = fixture.model.config().n_ctx;
        let error = walk(&[&vec![1; n_ctx - 6]], 1, &mut cache).unwrap_err();
        assert!(matches!(error, ModelError::TooLong { found, .. } if found == n_ctx + 1));

        // a cancelled walk adds nothing to the cache
        let layer = std::cell::Cell::new(0);
        let cancelled = || layer.replace(layer.get() + 1) == 1;
        let error = Walk::new(&fixture.model)
            .continuing(&mut cache)
            .stop_after(1)
            .cancel_if(&cancelled)
            .visit(&[Entry::Ids(&[&ids[9..12]])], &mut ())
            .unwrap_err();
        assert!(
            matches!(error, ModelError::Cancelled { layer: 1 }),
            "{error}"
        );
        assert_eq!((cache.len(), layer.get()), (7, 2));
        cache.trim(4);
        walk(&[&ids[4..8]], 1, &mut cache).unwrap();
        let mut fresh = KvCache::new();
        walk(&[&ids[..8]], 1, &mut fresh).unwrap();
        let next = |cache: &mut KvCache| {
            let walk = Walk::new(&fixture.model).continuing(cache).stop_after(1);
            let streams = walk.through(&[Entry::Ids(&[&ids[8..]])], &mut ());
            streams.unwrap()[0].tensor().to_vec2::<f32>().unwrap()
        };
        assert_close(
            &next(&mut cache),
            &next(&mut fresh),
            "after a cancelled walk",
        );
    }
}

/// A layer past the last one means the last one.
#[test]
fn a_walk_stops_after_the_layer_that_it_is_given() {
    let fixture = Fixture::load("llama", Compute::on(&Device::Cpu));
    let n_layers = fixture.model.config().n_layers;
    for (layer, n_walked) in [(0, 1), (1, 2), (n_layers, n_layers), (usize::MAX, n_layers)] {
        let mut reader = Reader::default();
        let walk = Walk::new(&fixture.model).stop_after(layer);
        walk.visit(&[Entry::Ids(&[&fixture.ids])], &mut reader)
            .unwrap();
        assert_eq!(reader.layers.len(), n_walked, "stopped after {layer}");
    }
}

#[test]
fn layers_are_loaded_as_the_walk_comes_to_them() {
    for name in ["llama", "gpt2", "solu_old", "opt_350m"] {
        for compute in both() {
            let whole = Fixture::load(name, compute.clone());
            let expected = whole.whole(&whole.ids);
            for n_blocks in [0, 1] {
                let part = Fixture::load_first(n_blocks, name, compute.clone(), |_| {});
                let entry = [Entry::Ids(&[&part.ids])];
                let checkpoint = part.files.checkpoint().unwrap();
                let walk = Walk::new(&part.model).load_from(&checkpoint);
                let streams = walk.through(&entry, &mut ()).unwrap();
                let found: Vec<Vec<f32>> = part.logits(&streams).to_vec2().unwrap();
                assert_eq!(found, expected, "{name} on {compute:?}");
                let error = Walk::new(&part.model).visit(&entry, &mut ()).unwrap_err();
                assert!(
                    matches!(error, ModelError::NotLoaded { layer } if layer == n_blocks),
                    "{error}"
                );
            }
        }
    }
}

/// Adds to a direction of the stream before a layer, and silences neurons of that layer.
struct Change {
    layer: usize,
    direction: f32,
    silent: Vec<usize>,
    /// Layers whose hooks were handed over.
    seen: Vec<usize>,
}

impl Visitor for Change {
    type Error = ModelError;

    fn residual(&mut self, layer: usize, streams: &mut [Stream]) -> Result<(), ModelError> {
        if layer != self.layer || self.direction == 0.0 {
            return Ok(());
        }
        for stream in streams {
            let x = stream.tensor();
            let direction: Vec<f32> = (0..x.dim(1)?).map(|i| i as f32 * self.direction).collect();
            let x = x.broadcast_add(&Tensor::new(direction, x.device())?)?;
            stream.replace(&x)?;
        }
        Ok(())
    }

    fn hooks<E: Executor>(&mut self, hooks: LayerHooks<'_, E>) -> Result<Written, ModelError> {
        self.seen.push(hooks.layer());
        if hooks.layer() != self.layer {
            return hooks.pass();
        }
        match hooks.in_panels() {
            Ok(panels) => {
                let mut n_silenced = vec![0; panels.n_panels()];
                panels.each(&mut n_silenced, |_, place, values| {
                    let silent = self.silent.iter();
                    for &neuron in silent.filter(|neuron| place.neurons.contains(neuron)) {
                        let column = values.post_mut().iter_mut();
                        let column = column.skip(neuron - place.neurons.start);
                        column.step_by(PANEL_NEURONS).for_each(|x| *x = 0.0);
                    }
                })
            }
            Err(hooks) => {
                let silence = |post: Tensor| -> candle_core::Result<Tensor> {
                    let mut kept = vec![1f32; post.dim(1)?];
                    self.silent.iter().for_each(|&neuron| kept[neuron] = 0.0);
                    post.broadcast_mul(&Tensor::new(kept, post.device())?)
                };
                let post = hooks.activations()?.into_iter();
                let post = post.map(|found| silence(found.post));
                hooks.write(post.collect::<Result<_, _>>()?)
            }
        }
    }
}

/// `gpt2_by_layer` has more neurons than a panel.
#[test]
fn neurons_and_streams_that_are_changed_are_so_on_kernels_and_tensors() {
    for name in ["gpt2_by_layer", "gemma2", "solu"] {
        let changed = |direction, silent: &[usize]| {
            both().map(|compute| {
                let fixture = Fixture::load(name, compute);
                let mut change = Change {
                    layer: 1,
                    direction,
                    silent: silent.to_vec(),
                    seen: Vec::new(),
                };
                let entry = [Entry::Ids(&[&fixture.ids])];
                let streams = Walk::new(&fixture.model)
                    .through(&entry, &mut change)
                    .unwrap();
                let n_layers = fixture.model.config().n_layers;
                assert_eq!(change.seen, (0..n_layers).collect::<Vec<_>>());
                let logits: Vec<Vec<f32>> = fixture.logits(&streams).to_vec2().unwrap();
                logits
            })
        };
        let [plain, on_tensors] = changed(0.0, &[]);
        assert_close(&plain, &on_tensors, name);
        let fixture = Fixture::load(name, Compute::on(&Device::Cpu));
        assert_close(&plain, &fixture.whole(&fixture.ids), name);
        let d_mlp = fixture.model.config().d_mlp;
        for (direction, silent) in [
            (0.0, vec![3]),
            (0.0, vec![2, d_mlp - 1]),
            (0.02, vec![]),
            (0.02, vec![0]),
        ] {
            let [found, on_tensors] = changed(direction, &silent);
            assert_close(&found, &on_tensors, name);
            let apart = found.iter().zip(&plain).map(|(a, b)| largest_error(a, b));
            assert!(
                apart.fold(0.0, f32::max) > 1e-3,
                "{name}: nothing has changed"
            );
        }
    }
}

/// What gradients are taken with respect to.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Input {
    /// The rows of the embedding.
    Embeddings,
    /// The residual stream before layer 1, as [`Stream::replace`] takes it.
    Residual,
    /// `hook_post` of layer 0, as [`LayerHooks::write`] takes it.
    Post,
}

impl Input {
    const ALL: [Self; 3] = [Self::Embeddings, Self::Residual, Self::Post];

    /// Differences are taken at every so many values; the number has no factor in common with any width.
    fn step(self) -> usize {
        match self {
            Self::Embeddings => 1,
            Self::Residual | Self::Post => 7,
        }
    }

    /// Its values in a walk through the fixture's text.
    fn values(self, fixture: &Fixture) -> Tensor {
        #[derive(Default)]
        struct Recorder {
            residual: Option<Tensor>,
            post: Option<Tensor>,
        }
        impl Visitor for Recorder {
            type Error = ModelError;

            fn residual(&mut self, layer: usize, streams: &mut [Stream]) -> Result<(), ModelError> {
                if layer == 1 {
                    self.residual = Some(streams[0].tensor().clone());
                }
                Ok(())
            }

            fn hooks<E: Executor>(
                &mut self,
                hooks: LayerHooks<'_, E>,
            ) -> Result<Written, ModelError> {
                if hooks.layer() == 0 {
                    self.post = Some(hooks.activations()?.remove(0).post);
                }
                hooks.pass()
            }
        }
        let mut recorder = Recorder::default();
        let walk = Walk::new(&fixture.model).stop_after(1);
        let entry = [Entry::Ids(&[&fixture.ids])];
        walk.visit(&entry, &mut recorder).unwrap();
        match self {
            Self::Embeddings => fixture.rows(),
            Self::Residual => recorder.residual.unwrap(),
            Self::Post => recorder.post.unwrap(),
        }
    }
}

/// The outputs that are differentiated: the last layer's `hook_pre` of some neuron, and a logit, each at the last position of
/// each window.
struct Outputs<'a> {
    input: Input,
    /// The values of the input, `[windows * pos, d]`.
    values: &'a Tensor,
    last: usize,
    n_windows: usize,
    pre: Option<Tensor>,
}

const NEURON: usize = 5;
const TOKEN: usize = 11;

impl<'a> Outputs<'a> {
    /// `[2, windows]`, of windows that all have the fixture's length, given the values of an input: `[windows * pos, d]`
    fn compute(fixture: &Fixture, input: Input, values: &'a Tensor) -> Tensor {
        let length = fixture.ids.len();
        let n_windows = values.dim(0).unwrap() / length;
        let mut outputs = Self {
            input,
            values,
            last: fixture.model.config().n_layers - 1,
            n_windows,
            pre: None,
        };
        let (windows, lengths) = (
            vec![fixture.ids.as_slice(); n_windows],
            vec![length; n_windows],
        );
        let entry = match input {
            Input::Embeddings => Entry::Embeddings(values, &lengths),
            Input::Residual | Input::Post => Entry::Ids(&windows),
        };
        let streams = Walk::new(&fixture.model)
            .through(&[entry], &mut outputs)
            .unwrap();
        let logits = outputs.last_rows(&fixture.model.final_hidden(&streams[0]).unwrap());
        let logits = fixture.model.logits(&fixture.unembedding, &logits).unwrap();
        let logits = logits.narrow(1, TOKEN, 1).unwrap().flatten_all().unwrap();
        Tensor::stack(&[outputs.pre.unwrap(), logits], 0).unwrap()
    }

    /// `[windows * pos, d]` → `[windows, d]`
    fn last_rows(&self, x: &Tensor) -> Tensor {
        let (n_rows, d) = x.dims2().unwrap();
        let x = x
            .reshape((self.n_windows, n_rows / self.n_windows, d))
            .unwrap();
        let last = x.narrow(1, n_rows / self.n_windows - 1, 1).unwrap();
        last.squeeze(1).unwrap().contiguous().unwrap()
    }
}

impl Visitor for Outputs<'_> {
    type Error = ModelError;

    fn residual(&mut self, layer: usize, streams: &mut [Stream]) -> Result<(), ModelError> {
        match (self.input, layer) {
            (Input::Residual, 1) => streams[0].replace(self.values),
            _ => Ok(()),
        }
    }

    fn hooks<E: Executor>(&mut self, hooks: LayerHooks<'_, E>) -> Result<Written, ModelError> {
        if (self.input, hooks.layer()) == (Input::Post, 0) {
            return hooks.write(vec![self.values.clone()]);
        }
        if hooks.layer() != self.last {
            return hooks.pass();
        }
        let activations = hooks.activations()?;
        let pre = self.last_rows(&activations[0].pre);
        self.pre = Some(pre.narrow(1, NEURON, 1)?.flatten_all()?);
        hooks.write_activations(activations)
    }
}

/// Sizes of the steps that differences are taken with, as shares of the root mean square of the values. Rounding errors are
/// smaller for a large step and the error from curvature for a small one, so some models need the one and some the other.
const STEPS: [f32; 2] = [0.005, 0.02];

/// Distance of a gradient from the nearer differences, as a share of its length.
const TOLERANCE: f64 = 2e-2;

/// The places of an input's values at which differences are taken.
fn places(input: Input, values: &Tensor) -> Vec<usize> {
    (0..values.elem_count()).step_by(input.step()).collect()
}

/// Central differences with a step and twice the step, extrapolated (Richardson): the error is of the fourth order. For each
/// output and each step, one for every place.
fn differences(fixture: &Fixture, input: Input, values: &Tensor) -> [[Vec<f64>; 2]; 2] {
    let (n_rows, d) = values.dims2().unwrap();
    let x: Vec<f32> = values.flatten_all().unwrap().to_vec1().unwrap();
    let mean_square = x.iter().map(|x| x * x).sum::<f32>() / x.len() as f32;
    let times = [-2.0, -1.0, 1.0, 2.0].map(|times: f32| times * mean_square.sqrt());
    let steps: Vec<f32> = STEPS
        .iter()
        .flat_map(|step| times.map(|t| t * step))
        .collect();
    let mut found: [[Vec<f64>; 2]; 2] = Default::default();
    const AT_ONCE: usize = 64;
    for places in places(input, values).chunks(AT_ONCE) {
        let moved = |(at, step): (usize, f32)| {
            let mut x = x.clone();
            x[at] += step;
            x
        };
        let each = places.iter();
        let each = each.flat_map(|&at| steps.iter().map(move |step| (at, *step)));
        let windows: Vec<f32> = each.flat_map(moved).collect();
        let shape = (places.len() * steps.len() * n_rows, d);
        let windows = Tensor::from_vec(windows, shape, &Device::Cpu).unwrap();
        let outputs: Vec<Vec<f32>> = Outputs::compute(fixture, input, &windows)
            .to_vec2()
            .unwrap();
        for (found, outputs) in found.iter_mut().zip(outputs) {
            for (&at, outputs) in places.iter().zip(outputs.chunks_exact(steps.len())) {
                for (way, found) in found.iter_mut().enumerate() {
                    // the steps as they were taken, rounded to f32
                    let taken = |i: usize| f64::from(x[at] + steps[4 * way + i]);
                    let value = |i: usize| f64::from(outputs[4 * way + i]);
                    let slope = |low, high| (value(high) - value(low)) / (taken(high) - taken(low));
                    found.push((4.0 * slope(1, 2) - slope(0, 3)) / 3.0);
                }
            }
        }
    }
    found
}

fn length(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|x| x * x).sum::<f64>().sqrt()
}

fn check_gradients(fixture: &Fixture, input: Input, name: &str) {
    let values = Var::from_tensor(&input.values(fixture)).unwrap();
    let outputs = Outputs::compute(fixture, input, values.as_tensor());
    let expected = differences(fixture, input, &values.as_detached_tensor());
    let (places, d) = (places(input, &values), values.dim(1).unwrap());
    for (at, what) in ["hook_pre", "logit"].into_iter().enumerate() {
        let gradients = outputs.get(at).unwrap().sum_all().unwrap().backward();
        let gradients = gradients.unwrap();
        let found = gradients.get(&values).expect("a gradient").flatten_all();
        let found: Vec<f32> = found.unwrap().to_vec1().unwrap();
        let found: Vec<f32> = places.iter().map(|&place| found[place]).collect();
        let error = |expected: &Vec<f64>| {
            let apart = found.iter().zip(expected);
            let apart = length(apart.map(|(f, e)| f64::from(*f) - e));
            apart / length(expected.iter().copied())
        };
        let error = expected[at].iter().map(error).fold(f64::INFINITY, f64::min);
        println!("{name:22} {input:12?} {what:8} {error:.1e}");
        assert!(
            error <= TOLERANCE,
            "{name}: the gradient of {what} with respect to {input:?} is off by {error}"
        );
        // windows of attention may not reach back to the first positions
        let reached = |is_zero: &dyn Fn(usize) -> bool| -> BTreeSet<usize> {
            let places = places.iter().enumerate();
            let places = places.filter(|(i, _)| !is_zero(*i));
            places.map(|(_, place)| place / d).collect()
        };
        assert_eq!(
            reached(&|i| found[i] == 0.0),
            reached(&|i| expected[at][1][i] == 0.0),
            "{name}: positions where {what} has a gradient with respect to {input:?}"
        );
    }
}

#[test]
fn gradients_are_what_differences_say() {
    for name in FAMILIES {
        let mut fixture = Fixture::load(name, Compute::Tensors(Device::Cpu));
        fixture.ids.truncate(12);
        for input in Input::ALL {
            check_gradients(&fixture, input, name);
        }
    }
}

#[test]
fn embeddings_lead_where_their_ids_do() {
    for name in FAMILIES {
        for compute in both() {
            let fixture = Fixture::load(name, compute);
            let (rows, lengths) = (fixture.rows(), [fixture.ids.len()]);
            let walk = |entry| Walk::new(&fixture.model).through(&[entry], &mut ());
            let streams = walk(Entry::Embeddings(&rows, &lengths)).unwrap();
            let found: Vec<Vec<f32>> = fixture.logits(&streams).to_vec2().unwrap();
            assert_eq!(found, fixture.whole(&fixture.ids), "{name}");
            // one row less than the lengths say
            let fewer = rows.narrow(0, 1, lengths[0] - 1).unwrap();
            assert!(walk(Entry::Embeddings(&fewer, &lengths)).is_err());
        }
    }
}

#[test]
fn kernels_refuse_what_has_gradients() {
    let fixture = Fixture::load("llama", Compute::on(&Device::Cpu));
    let rows = Var::from_tensor(&fixture.rows()).unwrap();
    let entry = [Entry::Embeddings(rows.as_tensor(), &[fixture.ids.len()])];
    let error = Walk::new(&fixture.model)
        .visit(&entry, &mut ())
        .unwrap_err();
    assert!(error.to_string().contains("no gradients"), "{error}");
}
