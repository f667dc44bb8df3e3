//! The residual stream, and how it is entered.

use candle_core::{Error, Tensor};

use super::error::ModelError;
use super::windows::Windows;

/// Windows of text that enter a model together, one after the other.
#[derive(Clone, Copy, Debug)]
pub enum Entry<'e> {
    /// Token ids, window by window.
    Ids(&'e [&'e [u32]]),
    /// Rows of the token embedding or other rows in their place, `[rows, d_embed]`, and the length of each window. The model
    /// scales and projects them and adds positions, as it does with its own embedding.
    Embeddings(&'e Tensor, &'e [usize]),
}

impl Entry<'_> {
    /// Rows of each window.
    pub(super) fn lengths(&self) -> Vec<usize> {
        match self {
            Self::Ids(windows) => windows.iter().map(|window| window.len()).collect(),
            Self::Embeddings(_, lengths) => lengths.to_vec(),
        }
    }
}

/// The residual stream of some windows, one after the other.
#[derive(Clone, Debug)]
pub struct Stream {
    pub(super) x: Tensor, // [rows, d_model]
    pub(super) windows: Windows,
}

impl Stream {
    /// `[rows, d_model]`
    pub fn tensor(&self) -> &Tensor {
        &self.x
    }

    /// Replaces its values with those of another tensor of the same shape.
    pub fn replace(&mut self, x: &Tensor) -> Result<(), ModelError> {
        check_shape(x, self.x.dims())?;
        self.x = x.to_dtype(self.x.dtype())?.contiguous()?;
        Ok(())
    }
}

/// Fails unless a tensor from a caller has the expected shape.
pub(super) fn check_shape(x: &Tensor, expected: &[usize]) -> Result<(), ModelError> {
    match x.dims() == expected {
        true => Ok(()),
        false => Err(Error::UnexpectedShape {
            msg: "a tensor given to a walk has the wrong shape".into(),
            expected: expected.into(),
            got: x.shape().clone(),
        }
        .into()),
    }
}
