//! What a file or folder is that is not a model, or not one that is read, by its names and first bytes.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde_json::Value;

use crate::corpus::{LFS_HINT, is_lfs_pointer};
use crate::model::ADAPTER_HINT;

/// What a file or a folder is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A file that only names the real one, which Git LFS has not fetched.
    LfsPointer,
    /// A page of the web, which was saved instead of the file.
    WebPage,
    /// An adapter, and what it adapts.
    Adapter {
        /// Its method, such as `LORA`.
        method: String,
        /// The model that it belongs to.
        base: Option<String>,
    },
    /// A part of a model's folder.
    PartOfFolder(&'static str),
    /// A file of a format that is not read.
    Format(&'static str),
    /// A folder of another program's.
    Folder(&'static str),
    /// A folder whose weights are in a format that is not read.
    OtherWeights(&'static str),
    /// A folder has several GGUF files and no other weights, so one must be chosen.
    Ggufs,
    /// A file of an unknown format.
    Unknown,
    /// Weights in several files without the index that names them.
    NoIndex,
    /// An empty file.
    EmptyFile,
    /// An empty folder.
    EmptyFolder,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LfsPointer => {
                f.write_str("is a pointer of Git LFS; the file itself was not fetched")
            }
            Self::WebPage => f.write_str("is a web page; the file itself was not fetched"),
            Self::Adapter { method, base } => {
                write!(f, "is an adapter ({method})")?;
                if let Some(base) = base {
                    write!(f, " of `{base}`")?;
                }
                f.write_str(", not a whole model")
            }
            Self::PartOfFolder(what) => write!(f, "is {what}, which is only a part of a model"),
            Self::Format(what) => write!(f, "is {what}, which is not read"),
            Self::Folder(what) => write!(f, "is {what}, not a language model"),
            Self::OtherWeights(what) => {
                write!(f, "has its weights as {what} only, which is not read")
            }
            Self::Ggufs => f.write_str("has no weights but `.gguf` files"),
            Self::Unknown => f.write_str("is not a model file that neuroscope knows"),
            Self::NoIndex => {
                f.write_str("has weights in several files, but no index that names them")
            }
            Self::EmptyFile => f.write_str("is an empty file"),
            Self::EmptyFolder => f.write_str("is an empty folder"),
        }
    }
}

impl Kind {
    /// What to do about it.
    pub(super) fn hint(&self) -> &'static str {
        match self {
            Self::LfsPointer => LFS_HINT,
            Self::WebPage => {
                "download the file itself: from the Hub, `hf download`, or give the model's name on the Hub"
            }
            Self::Adapter { .. } => ADAPTER_HINT,
            Self::PartOfFolder(_) => {
                "give the folder that holds it, with `config.json` and `tokenizer.json` beside it"
            }
            Self::OtherWeights(_) => {
                "save them as safetensors: load the model with its own library and write it with transformers' `save_pretrained`"
            }
            Self::NoIndex => {
                "fetch `model.safetensors.index.json` or `pytorch_model.bin.index.json` of the same checkpoint"
            }
            Self::Ggufs => "give one of the `.gguf` files as the model",
            Self::Folder(_)
            | Self::Format(_)
            | Self::Unknown
            | Self::EmptyFile
            | Self::EmptyFolder => MODEL_HINT,
        }
    }
}

/// What a model is.
pub(super) const MODEL_HINT: &str = "a model is a folder with `config.json`, `tokenizer.json` and `model.safetensors`, a `.gguf` file, a name on the Hugging Face Hub, or `demo`";

/// What stands in place of any file's contents.
pub(super) fn stand_in(begin: &[u8]) -> Option<Kind> {
    let text = begin.trim_ascii_start();
    let page = |tag: &[u8]| {
        let start = text.get(..tag.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(tag))
    };
    match () {
        () if is_lfs_pointer(begin) => Some(Kind::LfsPointer),
        () if page(b"<!doctype html") || page(b"<html") => Some(Kind::WebPage),
        () => None,
    }
}

/// The first bytes of a file.
pub(super) fn begin(path: &Path) -> io::Result<Vec<u8>> {
    let mut begin = Vec::new();
    File::open(path)?.take(512).read_to_end(&mut begin)?;
    Ok(begin)
}

/// What a file is that was given as a model, unless it is a GGUF file.
pub(super) fn of_file(path: &Path, begin: &[u8]) -> Option<Kind> {
    if let Some(kind) = stand_in(begin) {
        return Some(kind);
    }
    let ends = |ends: &[&str]| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = name.to_lowercase();
        ends.iter().any(|end| name.ends_with(end))
    };
    Some(match () {
        () if begin.starts_with(b"GGUF") => return None,
        () if begin.is_empty() => Kind::EmptyFile,
        () if begin.get(8) == Some(&b'{') => Kind::PartOfFolder("a safetensors file"),
        () if begin.starts_with(b"\x89HDF") => {
            Kind::Format("an HDF5 file, as TensorFlow writes it")
        }
        () if begin.starts_with(b"PK\x03\x04") => match ends(&[".bin", ".pth", ".pt", ".ckpt"]) {
            true => Kind::PartOfFolder("a file of PyTorch"),
            false => Kind::Format("a zip archive"),
        },
        () if begin.starts_with(b"\x80") => Kind::PartOfFolder("a pickle, as PyTorch writes it"),
        () if begin.starts_with(b"\x1f\x8b") => Kind::Format("a gzip archive"),
        () if begin.get(257..262) == Some(b"ustar") => Kind::Format("a tar archive"),
        () if begin.starts_with(b"{") => Kind::PartOfFolder("a JSON file"),
        () if [b"ggml", b"ggjt", b"ggmf", b"lmgg", b"tjgg", b"fmgg"]
            .contains(&begin.first_chunk().unwrap_or(b"    ")) =>
        {
            Kind::Format("a file of llama.cpp's before GGUF")
        }
        () if ends(&[".onnx"]) => Kind::Format("an ONNX file"),
        () if ends(&[".tflite"]) => Kind::Format("a TensorFlow Lite file"),
        // what names itself so is damaged
        () if ends(&[".gguf"]) => return None,
        () => Kind::Unknown,
    })
}

/// What `adapter_config.json` says.
pub(super) fn adapter(json: &[u8]) -> Kind {
    let value: Value = serde_json::from_slice(json).unwrap_or_default();
    let text = |key: &str| {
        let text = value.get(key).and_then(Value::as_str);
        let text = text.map(|text| text.chars().filter(|c| !c.is_control()).take(100).collect());
        text.filter(|text: &String| !text.is_empty())
    };
    Kind::Adapter {
        method: text("peft_type").unwrap_or_else(|| "PEFT".into()),
        base: text("base_model_name_or_path"),
    }
}

/// Kinds of folders without `config.json`, by a name of a file in them.
const FOLDERS: [(&str, Kind); 5] = [
    ("model_index.json", Kind::Folder("a pipeline of diffusers")),
    (
        "modules.json",
        Kind::Folder("a model of sentence-transformers"),
    ),
    (
        "config_sentence_transformers.json",
        Kind::Folder("a model of sentence-transformers"),
    ),
    (
        "params.json",
        Kind::OtherWeights("Meta's or Mistral's own files"),
    ),
    ("saved_model.pb", Kind::OtherWeights("a TensorFlow graph")),
];

/// What the weights of a folder are, by the end of a name.
const WEIGHTS: [(&str, &str); 12] = [
    (".h5", "HDF5 (TensorFlow)"),
    (".msgpack", "`.msgpack` (Flax)"),
    (".ckpt.index", "a TensorFlow checkpoint"),
    (".onnx", "ONNX"),
    ("saved_model.pb", "a TensorFlow graph"),
    (".npz", "`.npz` (MLX)"),
    ("openvino_model.xml", "OpenVINO"),
    ("rust_model.ot", "`.ot` (rust-bert)"),
    (".mlmodel", "Core ML"),
    (".tflite", "TensorFlow Lite"),
    ("consolidated.00.pth", "Meta's own `consolidated.00.pth`"),
    (
        "consolidated.safetensors",
        "Mistral's own `consolidated.safetensors`",
    ),
];

/// What a folder without `config.json` is, by the names in it.
pub(super) fn of_folder(names: &[String]) -> Option<Kind> {
    if names.is_empty() {
        return Some(Kind::EmptyFolder);
    }
    let has = |name: &str| names.iter().any(|other| other == name);
    if names.iter().any(|name| name.starts_with("adapter_model.")) {
        return Some(adapter(b"{}"));
    }
    let folder = FOLDERS.into_iter().find(|(name, _)| has(name));
    folder.map(|(_, kind)| kind).or_else(|| of_weights(names))
}

/// Says what kind of weights a folder has, if it has none that can be read.
pub(super) fn of_weights(names: &[String]) -> Option<Kind> {
    let any = |test: &dyn Fn(&str) -> bool| names.iter().any(|name| test(name));
    let known = WEIGHTS
        .iter()
        .find(|(end, _)| any(&|name| name.ends_with(end)));
    match known {
        _ if any(&|name| name.contains("model-00001-of-") && !name.ends_with(".gguf")) => {
            Some(Kind::NoIndex)
        }
        _ if any(&|name| name.ends_with(".gguf")) => Some(Kind::Ggufs),
        Some((_, what)) => Some(Kind::OtherWeights(what)),
        // exported models have a folder of their own
        None => any(&|name| name == "onnx").then_some(Kind::OtherWeights("ONNX")),
    }
}
