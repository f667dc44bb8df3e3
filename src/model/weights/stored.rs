//! What weights are stored as, where that is not what a model computes with.

use super::TensorInfo;
use crate::model::error::ModelError;

/// Ends of names that only quantised checkpoints have; the first that fits tells the method.
const QUANTISED: [(&str, &str); 25] = [
    (".g_idx", "GPTQ"),
    (".qzeros", "GPTQ or AWQ"),
    (".qweight", "GPTQ or AWQ"),
    (".SCB", "bitsandbytes, 8 bit"),
    (".quant_state.bitsandbytes__nf4", "bitsandbytes, 4 bit"),
    (".quant_state.bitsandbytes__fp4", "bitsandbytes, 4 bit"),
    (".weight.absmax", "bitsandbytes, 4 bit"),
    (".weight.quant_map", "bitsandbytes, 4 bit"),
    (".weight_format", "bitsandbytes, 8 bit"),
    (".weight_scale_inv", "FP8"),
    (".weight_packed", "compressed-tensors"),
    (".weight_zero_point", "compressed-tensors"),
    (".weight_scale", "FP8 or compressed-tensors"),
    (".input_scale", "FP8"),
    (".weight_scales", "EETQ"),
    (".W_q", "HQQ"),
    (".codebooks", "AQLM"),
    (".weight._data", "quanto"),
    (".weight._scale", "quanto"),
    ("_proj_blocks", "MXFP4"),
    ("_proj_scales", "MXFP4"),
    (".centroids", "VPTQ"),
    (".SVD", "SVDQuant"),
    (".biases", "MLX"),
    (".scales", "MLX, GPTQ or AWQ"),
];

/// Parts of names that only adapters have.
const ADAPTER: [&str; 6] = [
    ".lora_A.",
    ".lora_B.",
    ".lora_embedding_A",
    ".lora_magnitude_vector",
    ".hada_w1_a",
    ".base_layer.",
];

/// Types that cannot be used as weights directly.
const WHOLE: [&str; 9] = ["BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64"];

/// Fails if tensors are those of a quantised model or of an adapter.
pub(super) fn check<'t>(tensors: impl Iterator<Item = &'t TensorInfo>) -> Result<(), ModelError> {
    let mut tensors: Vec<&TensorInfo> = tensors.collect();
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    let adapter = tensors.iter().find(|info| {
        let mut parts = ADAPTER.iter();
        parts.any(|part| info.name.contains(part))
    });
    if let Some(info) = adapter {
        return Err(ModelError::Adapter {
            tensor: info.name.clone(),
        });
    }
    for (end, method) in QUANTISED {
        if let Some(info) = tensors.iter().find(|info| info.name.ends_with(end)) {
            return Err(ModelError::Quantised {
                method: method.to_owned(),
                sign: format!("it has tensor `{}`", info.name),
            });
        }
    }
    Ok(())
}

/// Fails if a tensor is stored in a type that is not that of weights.
pub(super) fn check_type(info: &TensorInfo) -> Result<(), ModelError> {
    let kind = info.dtype.as_str();
    let method = match kind {
        _ if ["F8_", "FLOAT8"]
            .iter()
            .any(|begin| kind.starts_with(begin)) =>
        {
            "FP8"
        }
        _ if ["F4", "FLOAT4"].iter().any(|begin| kind.starts_with(begin)) => "FP4",
        _ if kind.starts_with("F6_") => "FP6",
        _ if WHOLE.contains(&kind) => "as whole numbers",
        _ => return Ok(()),
    };
    Err(ModelError::Quantised {
        method: method.to_owned(),
        sign: format!("tensor `{}` is stored as {kind}", info.name),
    })
}
