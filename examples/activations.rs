//! Prints the strongest neurons of a model's middle layer at every token of a text.
//!
//! ```sh
//! cargo run --example activations -- tests/conformance/llama "the text"
//! ```

use std::env;
use std::error::Error;

use candle_core::{DType, Device};
use neuroscope::load::ModelFiles;
use neuroscope::model::walk::{Executor, LayerHooks, Visitor, Walk, Written};
use neuroscope::model::{Compute, Entry, Model, ModelError};
use neuroscope::tokens::BosPolicy;

/// Neurons printed for each token.
const N_STRONGEST: usize = 5;

/// Keeps `hook_post` of one layer.
struct Reader {
    layer: usize,
    post: Vec<Vec<f32>>, // [pos, d_mlp]
}

impl Visitor for Reader {
    type Error = ModelError;

    fn hooks<E: Executor>(&mut self, hooks: LayerHooks<'_, E>) -> Result<Written, ModelError> {
        if hooks.layer() == self.layer {
            self.post = hooks.activations()?[0].post.to_vec2()?;
        }
        hooks.pass()
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [model, text] = args.as_slice() else {
        return Err("usage: activations MODEL TEXT".into());
    };
    let files = ModelFiles::open(model)?;
    let (config, tokenizer) = (files.config()?, files.tokenizer()?);
    let bos = tokenizer.bos(BosPolicy::Auto, config.bos_token_id, config.expects_bos())?;
    let tokens: Vec<_> = bos.into_iter().chain(tokenizer.encode(text)?).collect();
    let ids: Vec<u32> = tokens.iter().map(|token| token.0).collect();

    let layer = config.n_layers / 2;
    let (checkpoint, on) = (files.checkpoint()?, Compute::on(&Device::Cpu));
    let model = Model::load(config, &checkpoint, ids.len(), DType::F32, on)?;
    let mut reader = Reader {
        layer,
        post: Vec::new(),
    };
    let walk = Walk::new(&model).stop_after(layer);
    walk.visit(&[Entry::Ids(&[&ids])], &mut reader)?;

    for (token, post) in tokens.iter().zip(&reader.post) {
        let mut order: Vec<usize> = (0..post.len()).collect();
        order.sort_by(|&a, &b| post[b].abs().total_cmp(&post[a].abs()));
        let strongest = order.iter().take(N_STRONGEST);
        let strongest = strongest.map(|&n| format!("{layer}.{n} {:+.3}", post[n]));
        let text = format!("{:?}", tokenizer.vocabulary().text(*token));
        println!("{text:12} {}", strongest.collect::<Vec<_>>().join("  "));
    }
    Ok(())
}
