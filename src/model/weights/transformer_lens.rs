//! TransformerLens' layout: heads have a dimension of their own, and matrices are stored `[in, out]`.
//!
//! The oldest SoLU models have most matrices the other way round and say `norm` for `ln`; which way a matrix lies is
//! seen from its shape, and where that does not tell, from the number of layers, as TransformerLens decides it. It knows
//! the oldest by the name of their repository; here they are known by their vocabulary.

use candle_core::Tensor;

use super::loader::{Dim, Loader, Result};
use crate::model::attention::Linear;
use crate::model::config::Position;
use crate::model::forward::{Embedding, Unembedding};

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
        match self.checkpoint().contains(&old) {
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
        let found = self.checkpoint().shape(name);
        let old = || self.config().d_vocab == OLD_D_VOCAB || self.checkpoint().contains("norm.w");
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
        match self.checkpoint().contains(name) {
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
        Ok(Linear {
            weight: self.own(matrix.t()?)?,
            bias: self.lens_bias(bias, &[out])?,
        })
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
            Ok(Linear {
                weight: self.reshape(&weight, &[rows, c.d_model])?,
                bias: bias.map(|bias| self.reshape(&bias, &[rows])).transpose()?,
            })
        };
        let weight = format!("{prefix}attn.W_O");
        let weight = self.lens_matrix(&weight, &[n_heads, d_head, d_model], REVERSED_LAYERS)?;
        let out = Linear {
            weight: self.own(self.reshape(&weight, &[rows, c.d_model])?.t()?)?,
            bias: self.lens_bias(&format!("{prefix}attn.b_O"), &[d_model])?,
        };
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
