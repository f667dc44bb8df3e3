//! TransformerLens' layout: heads have a dimension of their own, and matrices are stored `[in, out]`.
//!
//! The oldest SoLU models have most matrices the other way round and say `norm` for `ln`; which way a matrix lies is
//! seen from its shape, and where that does not tell, from the number of layers, as TransformerLens decides it. It knows
//! the oldest by the name of their repository; here they are known by their vocabulary.

use candle_core::Tensor;

use super::loader::{Dim, Loader, Result};
use crate::model::config::Position;
use crate::model::ends::{Embedding, Unembedding};
use crate::model::ops::Linear;

/// Size of the vocabulary of all the oldest models, and of no later one.
const OLD_D_VOCAB: usize = 50_278;

/// Models of at most so many layers have their matrices the other way round, if they are of the oldest.
const REVERSED_LAYERS: usize = 6;

/// And of at most so many, their positions.
const REVERSED_POSITIONS_LAYERS: usize = 8;

impl Loader<'_> {
    /// `ln1.w`, or what the oldest models call it.
    pub(super) fn lens_name(&self, norm: &str, parameter: &str) -> String {
        let name = format!("{norm}.{parameter}");
        let old = match name.strip_prefix("ln_final") {
            Some(rest) => format!("norm{rest}"),
            None => name.replace("ln", "norm"),
        };
        match self.contains(&old) {
            true => old,
            false => name,
        }
    }

    /// A matrix whose last two dimensions are these, or these reversed.
    fn lens_matrix(&self, name: &str, shape: &[Dim<'_>], reversed_layers: usize) -> Result<Tensor> {
        let n = shape.len();
        let mut other = shape.to_vec();
        other.swap(n - 2, n - 1);
        let sizes = |shape: &[Dim<'_>]| shape.iter().map(|(_, size)| *size).collect::<Vec<_>>();
        let found = self.shape(name);
        let old = || self.config().d_vocab == OLD_D_VOCAB || self.contains("norm.w");
        let reversed = match sizes(shape) == sizes(&other) {
            true => old() && self.config().n_layers <= reversed_layers,
            false => found.is_some_and(|found| found == sizes(&other)),
        };
        match reversed {
            true => {
                let tensor = self.tensor(name, &other)?;
                self.own(tensor.transpose(n - 2, n - 1)?)
            }
            false => self.tensor(name, shape),
        }
    }

    /// A bias. TransformerLens takes one that is missing as zero.
    fn lens_bias(&self, name: &str, shape: &[Dim<'_>]) -> Result<Option<Tensor>> {
        match self.contains(name) {
            true => Ok(Some(self.tensor(name, shape)?)),
            false => Ok(None),
        }
    }

    fn lens_linear(
        &self,
        weight: &str,
        bias: &str,
        out: Dim<'_>,
        input: Dim<'_>,
    ) -> Result<Linear> {
        let matrix = self.lens_matrix(weight, &[input, out], REVERSED_LAYERS)?;
        Ok(Linear::new(
            self.own(matrix.t()?)?,
            self.lens_bias(bias, &[out])?,
        ))
    }

    pub(super) fn lens_embedding(&self) -> Result<Embedding> {
        let c = self.config();
        let (d_vocab, d_model) = (("d_vocab", c.d_vocab), ("d_model", c.d_model));
        let positions = match c.position {
            Position::Rotary { .. } => None,
            Position::Learned { .. } | Position::Shortformer => {
                let shape = [("n_ctx", c.n_ctx), d_model];
                let name = "pos_embed.W_pos";
                Some(self.lens_matrix(name, &shape, REVERSED_POSITIONS_LAYERS)?)
            }
        };
        Ok(Embedding {
            tokens: self.lens_matrix("embed.W_E", &[d_vocab, d_model], REVERSED_LAYERS)?,
            positions,
            project: None,
        })
    }

    pub(super) fn lens_unembedding(&self) -> Result<Unembedding> {
        let c = self.config();
        let (d_vocab, d_model) = (("d_vocab", c.d_vocab), ("d_model", c.d_model));
        Ok(Unembedding {
            project: None,
            w_u: self.lens_linear("unembed.W_U", "unembed.b_U", d_vocab, d_model)?,
            softcap: None,
        })
    }

    /// Query, key, value and output.
    pub(super) fn lens_attention(&self, prefix: &str) -> Result<(Linear, Linear, Linear, Linear)> {
        let (c, a) = (self.config(), &self.config().attention);
        let (n_heads, d_head) = (("n_heads", a.n_heads), ("d_head", a.d_head));
        let d_model = ("d_model", c.d_model);
        let rows = a.n_heads * a.d_head;
        let read = |letter: &str| -> Result<Linear> {
            let weight = format!("{prefix}attn.W_{letter}");
            let shape = [n_heads, d_model, d_head];
            let weight = self.lens_matrix(&weight, &shape, REVERSED_LAYERS)?;
            let weight = self.own(weight.transpose(1, 2)?)?;
            let bias = self.lens_bias(&format!("{prefix}attn.b_{letter}"), &[n_heads, d_head])?;
            Ok(Linear::new(
                self.reshape(&weight, &[rows, c.d_model])?,
                bias.map(|bias| self.reshape(&bias, &[rows])).transpose()?,
            ))
        };
        let weight = format!("{prefix}attn.W_O");
        let weight = self.lens_matrix(&weight, &[n_heads, d_head, d_model], REVERSED_LAYERS)?;
        let out = Linear::new(
            self.own(self.reshape(&weight, &[rows, c.d_model])?.t()?)?,
            self.lens_bias(&format!("{prefix}attn.b_O"), &[d_model])?,
        );
        Ok((read("Q")?, read("K")?, read("V")?, out))
    }

    /// Input and output.
    pub(super) fn lens_mlp(&self, prefix: &str) -> Result<(Linear, Linear)> {
        let c = self.config();
        let (d_model, d_mlp) = (("d_model", c.d_model), ("d_mlp", c.d_mlp));
        let load = |end: &str, out, input| {
            let [weight, bias] = ["W", "b"].map(|letter| format!("{prefix}mlp.{letter}_{end}"));
            self.lens_linear(&weight, &bias, out, input)
        };
        Ok((load("in", d_mlp, d_model)?, load("out", d_model, d_mlp)?))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use candle_core::{DType, Device};
    use safetensors::Dtype;
    use safetensors::tensor::TensorView;

    use crate::model::Config;
    use crate::model::weights::{Checkpoint, SafetensorsFile};

    /// The oldest models of eight layers have their positions the other way round, which a square does not show.
    #[test]
    fn square_positions_of_the_oldest_models_are_turned() {
        let load = |d_vocab: usize| -> Vec<f32> {
            let config = format!(
                r#"{{"n_layers": 8, "d_model": 4, "d_mlp": 6, "d_head": 2, "n_heads": 1, "n_ctx": 4, "d_vocab": {d_vocab},
                "act_fn": "solu_ln", "attn_only": false, "normalization": "LNPre"}}"#
            );
            let mut shapes = BTreeMap::from([
                ("embed.W_E".to_owned(), vec![d_vocab, 4]),
                ("pos_embed.W_pos".to_owned(), vec![4, 4]),
                ("unembed.W_U".to_owned(), vec![4, d_vocab]),
            ]);
            for layer in 0..8 {
                for (name, shape) in [
                    ("attn.W_Q", vec![1, 4, 2]),
                    ("attn.W_K", vec![1, 4, 2]),
                    ("attn.W_V", vec![1, 4, 2]),
                    ("attn.W_O", vec![1, 2, 4]),
                    ("mlp.W_in", vec![4, 6]),
                    ("mlp.W_out", vec![6, 4]),
                ] {
                    shapes.insert(format!("blocks.{layer}.{name}"), shape);
                }
            }
            let bytes = shapes.iter().map(|(name, shape)| {
                let n: usize = shape.iter().product();
                let values = (0..n).map(|i| {
                    if name == "pos_embed.W_pos" {
                        i as f32
                    } else {
                        0.0
                    }
                });
                (
                    name,
                    shape,
                    values.flat_map(f32::to_le_bytes).collect::<Vec<u8>>(),
                )
            });
            let bytes: Vec<_> = bytes.collect();
            let views = bytes.iter().map(|(name, shape, bytes)| {
                let view = TensorView::new(Dtype::F32, shape.to_vec(), bytes);
                (name.as_str(), view.unwrap())
            });
            let file = safetensors::serialize(views, None).unwrap();
            let file = SafetensorsFile::new("model".into(), &file).unwrap();
            let checkpoint = Checkpoint::new(vec![Box::new(file)]).unwrap();
            let config = Config::from_json(config.as_bytes()).unwrap();
            let loader = checkpoint.loader(&config, DType::F32, &Device::Cpu);
            let embedding = loader.embedding().unwrap();
            let positions = embedding.positions.unwrap().narrow(0, 0, 2).unwrap();
            positions.flatten_all().unwrap().to_vec1().unwrap()
        };
        assert_eq!(load(50_278), [0.0, 4.0, 8.0, 12.0, 1.0, 5.0, 9.0, 13.0]);
        assert_eq!(load(48_262), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
    }
}
