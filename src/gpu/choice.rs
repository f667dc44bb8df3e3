//! Which device is to be used.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use candle_core::Device;

use crate::hint::Hint;
use serde::{Deserialize, Serialize};

/// A device by its name: `cpu`, `cuda` or `cuda:1`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceName {
    /// The processor.
    #[default]
    Cpu,
    /// An NVIDIA GPU, counted from 0.
    Cuda(usize),
}

/// A device that cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// A name that means none.
    #[error("unknown device `{0}`: expected `cpu`, `cuda` or `cuda:N`")]
    Unknown(String),
    /// The program cannot use GPUs.
    #[error("this program was built without CUDA")]
    WithoutCuda,
    /// The GPU cannot be used.
    #[error("`{name}` cannot be used: {source}")]
    Unavailable {
        /// The device.
        name: DeviceName,
        /// Why.
        source: Box<candle_core::Error>,
    },
}

impl Hint for DeviceError {
    fn own_hint(&self) -> Option<Cow<'static, str>> {
        let hint: Option<&'static str> = match self {
            Self::Unknown(_) => None,
            Self::WithoutCuda => Some("build it with `--features cuda`, as docs/gpu.md says"),
            Self::Unavailable { .. } => Some("`nvidia-smi` lists the GPUs of this machine"),
        };
        hint.map(Cow::from)
    }
}

impl DeviceName {
    /// The device.
    pub fn open(self) -> Result<Device, DeviceError> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            #[cfg(feature = "cuda")]
            // with a stream of its own, so that threads may share it
            Self::Cuda(at) => {
                Device::new_cuda_with_stream(at).map_err(|source| DeviceError::Unavailable {
                    name: self,
                    source: source.into(),
                })
            }
            #[cfg(not(feature = "cuda"))]
            Self::Cuda(_) => Err(DeviceError::WithoutCuda),
        }
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => write!(f, "cpu"),
            Self::Cuda(at) => write!(f, "cuda:{at}"),
        }
    }
}

impl FromStr for DeviceName {
    type Err = DeviceError;

    fn from_str(name: &str) -> Result<Self, DeviceError> {
        let unknown = || DeviceError::Unknown(name.into());
        match name.split_once(':') {
            None if name == "cpu" => Ok(Self::Cpu),
            None if name == "cuda" => Ok(Self::Cuda(0)),
            Some(("cuda", at)) => at.parse().map(Self::Cuda).map_err(|_| unknown()),
            _ => Err(unknown()),
        }
    }
}

impl TryFrom<String> for DeviceName {
    type Error = DeviceError;

    fn try_from(name: String) -> Result<Self, DeviceError> {
        name.parse()
    }
}

impl From<DeviceName> for String {
    fn from(name: DeviceName) -> Self {
        name.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for (name, device) in [("cpu", DeviceName::Cpu), ("cuda:3", DeviceName::Cuda(3))] {
            assert_eq!(name.parse::<DeviceName>().unwrap(), device);
            assert_eq!(device.to_string(), name);
        }
        assert_eq!("cuda".parse::<DeviceName>().unwrap(), DeviceName::Cuda(0));
        for name in ["", "gpu", "cuda:", "cuda:x", "cpu:0", "cuda:-1"] {
            assert!(name.parse::<DeviceName>().is_err(), "{name}");
        }
    }
}
