//! Weights as an analysis wants them: rows are neurons, and what stands between them and the stream is given.

use candle_core::{Device, Tensor};

use super::loader::Loader;
use crate::model::config::{Layout, NormKind};
use crate::model::error::ModelError;
use crate::model::norm::Norm;

/// A norm's parameters, for folding. Without a weight it only scales a row, which changes no direction.
#[derive(Clone, Debug)]
pub struct NormWeights {
    /// Which norm; `None` where there is none.
    pub kind: Option<NormKind>,
    /// Scale, `[d_model]`.
    pub weight: Option<Tensor>,
}

impl NormWeights {
    const NONE: Self = Self {
        kind: None,
        weight: None,
    };

    fn of(norm: Option<Norm>) -> Self {
        norm.map_or(Self::NONE, |norm| Self {
            kind: Some(norm.kind),
            weight: Some(norm.weight),
        })
    }
}

/// One layer's MLP weights as TransformerLens has them: a neuron is a row.
#[derive(Clone, Debug)]
pub struct MlpWeights {
    /// `[d_mlp, d_model]`; gated only.
    pub w_gate: Option<Tensor>,
    /// `[d_mlp, d_model]`
    pub w_in: Tensor,
    /// `[d_mlp, d_model]`; of a SoLU MLP with its own norm folded in.
    pub w_out: Tensor,
    /// The norm in front of the MLP.
    pub norm: NormWeights,
    /// The norm between the MLP and the residual stream.
    pub out_norm: NormWeights,
}

/// Access to weights for analysis.
pub struct Analysis<'c> {
    loader: Loader<'c>,
}

impl<'c> Analysis<'c> {
    pub(super) fn new(loader: Loader<'c>) -> Self {
        Self { loader }
    }

    /// A layer's MLP.
    pub fn mlp(&self, layer: usize) -> Result<MlpWeights, ModelError> {
        let layout = self.loader.config().layout;
        let mlp = self.loader.mlp(layer)?;
        let out_norm = match layout {
            Layout::PostNorm | Layout::Sandwich => self.loader.mlp_out_norm(layer)?,
            _ => None,
        };
        let w_out = mlp.out.weight.t()?.contiguous()?;
        let w_out = match &mlp.mid_norm {
            // what leaves the norm has no mean, so that of the rows does nothing
            Some(norm) => {
                let w_out = w_out.broadcast_mul(&norm.weight.unsqueeze(1)?)?;
                w_out.broadcast_sub(&w_out.mean_keepdim(0)?)?
            }
            None => w_out,
        };
        Ok(MlpWeights {
            w_gate: mlp.gate.map(|gate| gate.weight),
            w_in: mlp.input.weight,
            w_out,
            norm: NormWeights::of(self.loader.norm_before_mlp(layer)?),
            out_norm: NormWeights::of(out_norm),
        })
    }

    /// The unembedding `[d_vocab, d_model]` and the norm in front of it.
    pub fn unembed(&self) -> Result<(Tensor, NormWeights), ModelError> {
        let unembedding = self.loader.unembedding(None)?;
        let w_u = unembedding.w_u.weight;
        let w_u = match unembedding.project {
            Some(project) => w_u.matmul(&project.weight)?,
            None => w_u,
        };
        Ok((w_u, NormWeights::of(self.loader.final_norm()?)))
    }

    /// Where the weights are loaded to.
    pub fn device(&self) -> &Device {
        self.loader.device()
    }
}
