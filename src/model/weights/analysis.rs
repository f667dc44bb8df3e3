//! Weights as an analysis wants them: rows are neurons, and norms are folded in (DEFINITIONS 6).

use candle_core::{D, DType, Tensor};

use super::loader::Loader;
use crate::model::config::NormKind;
use crate::model::error::ModelError;

/// One layer's MLP weights as TransformerLens has them, a neuron being a row, folded.
#[derive(Clone, Debug)]
pub struct MlpWeights {
    /// `[d_mlp, d_model]`; gated only.
    pub w_gate: Option<Tensor>,
    /// `[d_mlp, d_model]`
    pub w_in: Tensor,
    /// `[d_mlp, d_model]`; a norm after the MLP is not folded in, as in TransformerLens.
    pub w_out: Tensor,
    /// `w_out` with the norm after the MLP folded in, if there is one.
    pub normed_w_out: Option<Tensor>,
}

impl MlpWeights {
    /// What reaches the residual stream: `w_out` with any norm after the MLP folded in.
    pub fn written(&self) -> &Tensor {
        self.normed_w_out.as_ref().unwrap_or(&self.w_out)
    }
}

/// Access to weights for analysis.
pub struct Analysis<'c> {
    loader: Loader<'c>,
}

impl<'c> Analysis<'c> {
    pub(super) fn new(loader: Loader<'c>) -> Self {
        Self { loader }
    }

    /// A layer's MLP: the norm before it is folded into w_gate and w_in, the norm inside it, which SoLU has, into w_out.
    pub fn mlp(&self, layer: usize) -> Result<MlpWeights, ModelError> {
        let config = self.loader.config();
        let mlp = self.loader.mlp(layer)?;
        let w_out = mlp.out.weight.tensor()?.t()?.contiguous()?;
        let w_out = match &mlp.mid_norm {
            // what leaves the norm has no mean, so that of the rows does nothing
            Some(norm) => {
                let w_out = w_out.broadcast_mul(&norm.weight.unsqueeze(1)?)?;
                w_out.broadcast_sub(&w_out.mean_keepdim(0)?)?
            }
            None => w_out,
        };
        let out_norm = match config.has_norm_after_mlp() {
            true => self.loader.mlp_out_norm(layer)?,
            false => None,
        };
        let normed_w_out = out_norm.map(|norm| w_out.broadcast_mul(&norm.weight));
        let normed_w_out = normed_w_out.transpose()?;
        // where all that reads the stream takes its mean off, the mean of what is written does nothing
        let readers = [Some(config.norm), config.final_norm];
        let mut kinds = readers.iter().flatten().map(|norm| norm.kind);
        let is_centred = kinds.all(|kind| kind == NormKind::Layer);
        let centre = |w: Tensor| match is_centred {
            true => w.broadcast_sub(&w.mean_keepdim(D::Minus1)?),
            false => Ok(w),
        };
        let fold_in = |w: &Tensor| self.loader.fold_in(w, layer);
        let w_gate = mlp
            .gate
            .map(|gate| fold_in(gate.weight.tensor()?))
            .transpose()?;
        Ok(MlpWeights {
            w_gate,
            w_in: fold_in(mlp.input.weight.tensor()?)?,
            w_out: centre(w_out)?,
            normed_w_out: normed_w_out.map(centre).transpose()?,
        })
    }

    /// The unembedding, the last norm folded in, centred over the vocabulary: `[d_vocab, d_model]`.
    pub fn unembed(&self) -> Result<Tensor, ModelError> {
        let unembedding = self.loader.unembedding(None)?;
        let w_u = unembedding.w_u.weight.tensor()?;
        let w_u = match unembedding.project {
            Some(project) => w_u.matmul(project.weight.tensor()?)?,
            None => w_u.clone(),
        };
        let w_u = match self.loader.final_norm()? {
            Some(norm) => norm.fold_into(&w_u)?,
            None => w_u,
        };
        // so many tokens are summed in f64, some at a time
        const ROWS: usize = 1024;
        let n = w_u.dim(0)?;
        let mut sum = Tensor::zeros((1, w_u.dim(1)?), DType::F64, w_u.device())?;
        for first in (0..n).step_by(ROWS) {
            let rows = w_u.narrow(0, first, ROWS.min(n - first))?;
            sum = (sum + rows.to_dtype(DType::F64)?.sum_keepdim(0)?)?;
        }
        let mean = (sum / n as f64)?.to_dtype(DType::F32)?;
        Ok(w_u.broadcast_sub(&mean)?)
    }

    /// Whether the unembedding reads nothing of the mean over d_model.
    pub fn unembed_is_centred(&self) -> bool {
        let final_norm = self.loader.config().final_norm;
        final_norm.is_some_and(|norm| norm.kind == NormKind::Layer)
    }

    /// The embedding of each token, without scale and positions: `[d_vocab, d_model]`.
    pub fn embed(&self) -> Result<Tensor, ModelError> {
        let embedding = self.loader.embedding()?;
        Ok(match embedding.project {
            Some(project) => embedding.tokens.matmul(&project.weight.tensor()?.t()?)?,
            None => embedding.tokens,
        })
    }
}
