//! Observes the activations of a layer's neurons while they are in the device's memory.
//!
//! Statistics add up on the device until they are taken. Peaks that may be listed come back for every batch; the host then fetches
//! the values around them.

use candle_core::{Result, Tensor};

use super::device::{Buffer, Gpu, address, arguments};
use super::source::defined;

/// Sums of a neuron that are neither powers nor of a sign case.
pub const FURTHER: usize = defined("FURTHER");
/// Sums of a neuron: Σx…Σx⁴ of the ranked value; the further ones; of each sign case gate, act, in and post.
const SUMS: usize = 4 + FURTHER + 16;
/// Extremes of a neuron: largest x, largest -x; of each sign case the same four.
const EXTREMES: usize = defined("EXTREMES");
/// Counts of a neuron: counted, firing, above τ, not finite; of each sign case.
const COUNTS: usize = defined("COUNTS");
/// Bins of a histogram.
const BINS: usize = defined("BINS");
/// Rows for one thread, about.
const RUN_ROWS: usize = 512;

/// The activation functions that the kernels know.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub enum ActFn {
    /// SiLU.
    Silu = defined("SILU") as u32,
    /// GELU.
    Gelu = defined("GELU") as u32,
    /// The approximation of GELU by tanh.
    GeluTanh = defined("GELU_TANH") as u32,
    /// ReLU.
    Relu = defined("RELU") as u32,
}

arguments!(Hooks {
    pre: u64,
    in_: u64,
    d: u32,
    act_fn: u32,
});

arguments!(Observe {
    hooks: Hooks,
    post: u64,
    counted: u64,
    pieces: u64,
    runs: u64,
    thresholds: u64,
    sums: u64,
    extremes: u64,
    counts: u64,
    histogram: u64,
    found: u64,
    n_found: u64,
    tau: f32,
});

arguments!(Collect {
    run_sums: u64,
    run_extremes: u64,
    sums: u64,
    extremes: u64,
    n_runs: u32,
    d: u32,
    gated: u32,
});

arguments!(Special {
    hooks: Hooks,
    post: u64,
    rows: u64,
    sums: u64,
    extremes: u64,
    counts: u64,
    n_rows: u32,
    all_hooks: u32,
});

arguments!(Rows {
    hooks: Hooks,
    rows: u64,
    values: u64,
});

arguments!(Gather {
    hooks: Hooks,
    wanted: u64,
    values: u64,
    n_wanted: u32,
});

/// Results of a layer's products, from which its hooks are computed.
#[derive(Clone, Copy, Debug)]
pub struct HookTensors<'a> {
    /// `hook_pre`, `[rows, d_mlp]`
    pub pre: &'a Tensor,
    /// `hook_pre_linear`, if gated.
    pub pre_linear: Option<&'a Tensor>,
    /// The activation function.
    pub act_fn: ActFn,
}

impl HookTensors<'_> {
    fn arguments(&self) -> Result<Hooks> {
        Ok(Hooks {
            pre: address(self.pre)?,
            in_: self.pre_linear.map_or(Ok(0), address)?,
            d: self.pre.dim(1)? as u32,
            act_fn: self.act_fn as u32,
        })
    }

    /// The variant of a kernel for them.
    fn kernel(&self, name: &str) -> String {
        let kind = if self.pre_linear.is_some() {
            "gated"
        } else {
            "plain"
        };
        format!("{name}_{kind}_{}", self.pre.dtype().as_str())
    }
}

/// Description of the rows of a batch; the same for all layers.
#[derive(Debug)]
pub struct BatchRows {
    counted: Buffer<u8>,
    pieces: Buffer<u32>,
    runs: Buffer<u32>,
    special: Buffer<u32>,
    starts: Buffer<u32>,
    n_pieces: usize,
    n_runs: usize,
    n_special: usize,
    n_starts: usize,
}

/// Whether a row counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counting {
    /// It does not.
    No,
    /// It does.
    Yes,
    /// It does, and a window starts there.
    AtStart,
}

impl BatchRows {
    /// Describes windows of so many rows, one after the other; `counted` says of each row whether it counts.
    pub fn new(gpu: &Gpu, lengths: &[usize], counted: &[Counting]) -> Result<Self> {
        let (mut pieces, mut runs) = (Vec::new(), Vec::new());
        let (mut first, mut in_run, mut n_pieces) = (0, RUN_ROWS, 0);
        for &length in lengths {
            for start in (0..length).step_by(RUN_ROWS) {
                let n = RUN_ROWS.min(length - start);
                if in_run + n > RUN_ROWS {
                    runs.extend([n_pieces, 0]);
                    in_run = 0;
                }
                pieces.extend([(first + start) as u32, n as u32]);
                n_pieces += 1;
                in_run += n;
                if let Some(own) = runs.last_mut() {
                    *own += 1;
                }
            }
            first += length;
        }
        let rows = |kind: Counting| -> Vec<u32> {
            let rows = (0..).zip(counted);
            let rows = rows.filter(|(_, counted)| **counted == kind);
            rows.map(|(row, _)| row).collect()
        };
        let (special, starts) = (rows(Counting::No), rows(Counting::AtStart));
        let counted: Vec<u8> = counted.iter().map(|&counted| counted as u8).collect();
        Ok(Self {
            n_pieces: n_pieces as usize,
            n_runs: runs.len() / 2,
            n_special: special.len(),
            n_starts: starts.len(),
            counted: gpu.upload(&counted)?,
            pieces: gpu.upload(&pieces)?,
            runs: gpu.upload(&runs)?,
            special: gpu.upload(&special)?,
            starts: gpu.upload(&starts)?,
        })
    }
}

/// A peak that beats a list's threshold: the best of a piece of a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PeakCandidate {
    /// The neuron.
    pub neuron: u32,
    /// Index of the list.
    pub list: u32,
    /// Row in the batch.
    pub row: u32,
    /// Score.
    pub score: f32,
}

/// Values of a neuron at consecutive rows.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// The neuron.
    pub neuron: u32,
    /// 0: the ranked value, 1: `hook_pre`, 2: `hook_pre_linear`, 3: act(gate).
    pub quantity: u32,
    /// First row.
    pub first_row: u32,
    /// Number of rows.
    pub n_rows: u32,
}

/// Statistics of a layer's neurons, each `[.., d_mlp]`.
#[derive(Debug)]
pub struct Counted {
    /// Number of neurons.
    pub d: usize,
    /// Σx…Σx⁴; the further sums; then of each sign case the sums of gate, act, in and post.
    pub sums: Vec<f64>,
    /// Largest x, largest -x, but not where windows start; then of each sign case the values of largest magnitude.
    pub extremes: Vec<f32>,
    /// Counted, firing, above τ, not finite; of each sign case.
    pub counts: Vec<u32>,
    /// By bin.
    pub histogram: Vec<u32>,
    /// The ranked value at rows that are not counted.
    pub special: RowsCounted,
    /// The ranked value at counted rows where windows start.
    pub starts: RowsCounted,
}

/// What was counted of the ranked value at some rows, each `[.., d_mlp]`.
#[derive(Debug)]
pub struct RowsCounted {
    /// Σx…Σx⁴
    pub sums: Vec<f64>,
    /// Largest x, largest -x.
    pub extremes: Vec<f32>,
    /// Number of rows.
    pub counts: Vec<u32>,
}

/// The same in the device's memory.
#[derive(Debug)]
struct RowsState {
    d: usize,
    sums: Buffer<f64>,
    extremes: Buffer<f32>,
    counts: Buffer<u32>,
}

impl RowsState {
    fn new(gpu: &Gpu, d: usize) -> Result<Self> {
        Ok(Self {
            d,
            sums: gpu.zeros(4 * d)?,
            extremes: gpu.upload(&vec![f32::NEG_INFINITY; 2 * d])?,
            counts: gpu.zeros(d)?,
        })
    }

    const fn bytes(d: usize) -> usize {
        d * (4 * 8 + 2 * 4 + 4)
    }

    /// The kernel's arguments for some rows.
    fn arguments(&mut self, hooks: Hooks, post: u64, rows: &mut Buffer<u32>, n: usize) -> Special {
        Special {
            hooks,
            post,
            rows: rows.address(),
            sums: self.sums.address(),
            extremes: self.extremes.address(),
            counts: self.counts.address(),
            n_rows: n as u32,
            all_hooks: 0,
        }
    }

    fn take(&mut self) -> Result<RowsCounted> {
        Ok(RowsCounted {
            sums: self.sums.download(4 * self.d)?,
            extremes: self.extremes.download(2 * self.d)?,
            counts: self.counts.download(self.d)?,
        })
    }
}

/// Statistics of a layer's neurons since they were last taken, in the device's memory.
#[derive(Debug)]
pub struct LayerState {
    gpu: Gpu,
    d: usize,
    gated: bool,
    rank_pre: bool,
    n_lists: usize,
    tau: f32,
    sums: Buffer<f64>,
    extremes: Buffer<f32>,
    counts: Buffer<u32>,
    histogram: Buffer<u32>,
    special: RowsState,
    starts: RowsState,
}

impl LayerState {
    /// Before any row. `rank_pre`: whether `hook_pre` and `hook_pre_linear` are listed, too.
    pub fn new(gpu: &Gpu, d: usize, gated: bool, rank_pre: bool, tau: f32) -> Result<Self> {
        let mut extremes = vec![0.0; EXTREMES * d];
        extremes[..2 * d].fill(f32::NEG_INFINITY);
        Ok(Self {
            gpu: gpu.clone(),
            d,
            gated,
            rank_pre,
            n_lists: match (gated, rank_pre) {
                (false, false) => 2,
                (false, true) => 4,
                (true, false) => 6,
                (true, true) => 10,
            },
            tau,
            sums: gpu.zeros(SUMS * d)?,
            extremes: gpu.upload(&extremes)?,
            counts: gpu.zeros(COUNTS * d)?,
            histogram: gpu.zeros(BINS * d)?,
            special: RowsState::new(gpu, d)?,
            starts: RowsState::new(gpu, d)?,
        })
    }

    /// Bytes that it takes on the device.
    pub const fn bytes(d: usize) -> usize {
        d * (SUMS * 8 + EXTREMES * 4 + COUNTS * 4 + BINS * 4) + 2 * RowsState::bytes(d)
    }

    /// Bytes that [`LayerState::observe`] needs for a row, if a window has [`LayerState::WINDOW_ROWS`] on average.
    pub const fn bytes_per_row(d: usize, n_lists: usize) -> usize {
        let of_runs = d * 2 * (SUMS * 8 + EXTREMES * 4) / RUN_ROWS;
        of_runs + d * n_lists * 16 / Self::WINDOW_ROWS
    }

    /// Rows of a window, where memory is planned.
    pub const WINDOW_ROWS: usize = 64;

    /// Adds the rows of a batch. Returns `hook_post` and the peaks that may be listed: the best of each piece of a window that is
    /// above the threshold, `[list, d_mlp]`; in no order.
    pub fn observe(
        &mut self,
        hooks: HookTensors<'_>,
        rows: &mut BatchRows,
        thresholds: &[f32],
    ) -> Result<(Tensor, Vec<PeakCandidate>)> {
        let (gpu, d) = (self.gpu.clone(), self.d);
        assert_eq!(thresholds.len(), self.n_lists * d);
        let mut thresholds = gpu.upload(thresholds)?;
        let mut run_sums = gpu.zeros::<f64>(rows.n_runs * SUMS * d)?;
        let mut run_extremes = gpu.zeros::<f32>(rows.n_runs * EXTREMES * d)?;
        let mut found = gpu.zeros::<u32>(4 * rows.n_pieces * self.n_lists * d)?;
        let mut n_found = gpu.zeros::<u32>(1)?;
        let kernel = hooks.kernel(match self.rank_pre {
            true => "observe_pre",
            false => "observe",
        });
        let post = gpu.output(hooks.pre.dims(), hooks.pre.dtype(), |post| {
            let observe = Observe {
                hooks: hooks.arguments()?,
                post,
                counted: rows.counted.address(),
                pieces: rows.pieces.address(),
                runs: rows.runs.address(),
                thresholds: thresholds.address(),
                sums: run_sums.address(),
                extremes: run_extremes.address(),
                counts: self.counts.address(),
                histogram: self.histogram.address(),
                found: found.address(),
                n_found: n_found.address(),
                tau: self.tau,
            };
            gpu.launch(&kernel, (gpu.groups(d), rows.n_runs), &observe)?;
            let collect = Collect {
                run_sums: run_sums.address(),
                run_extremes: run_extremes.address(),
                sums: self.sums.address(),
                extremes: self.extremes.address(),
                n_runs: rows.n_runs as u32,
                d: d as u32,
                gated: u32::from(self.gated),
            };
            gpu.launch("collect", (gpu.groups(d), 1), &collect)?;
            let kernel = hooks.kernel("special");
            let special = (self.special).arguments(
                hooks.arguments()?,
                post,
                &mut rows.special,
                rows.n_special,
            );
            gpu.launch(&kernel, (gpu.groups(d), 1), &special)?;
            let starts = Special {
                all_hooks: 1,
                ..(self.starts).arguments(hooks.arguments()?, post, &mut rows.starts, rows.n_starts)
            };
            gpu.launch(&kernel, (gpu.groups(d), 1), &starts)
        })?;
        let n = n_found.download(1)?[0] as usize;
        let words = found.download(4 * n)?;
        let found = words.chunks_exact(4).map(|words| PeakCandidate {
            neuron: words[0],
            list: words[1],
            row: words[2],
            score: f32::from_bits(words[3]),
        });
        Ok((post, found.collect()))
    }

    /// Returns the statistics since the last call, and begins anew.
    pub fn take(&mut self) -> Result<Counted> {
        let d = self.d;
        let counted = Counted {
            d,
            sums: self.sums.download(SUMS * d)?,
            extremes: self.extremes.download(EXTREMES * d)?,
            counts: self.counts.download(COUNTS * d)?,
            histogram: self.histogram.download(BINS * d)?,
            special: self.special.take()?,
            starts: self.starts.take()?,
        };
        *self = Self::new(&self.gpu, d, self.gated, self.rank_pre, self.tau)?;
        Ok(counted)
    }
}

impl Gpu {
    /// Ranked values of whole rows, `[rows.len(), d_mlp]`, NaN where a hook is not finite.
    pub fn ranked_rows(&self, hooks: HookTensors<'_>, rows: &[u32]) -> Result<Vec<f32>> {
        let d = hooks.pre.dim(1)?;
        let mut values = self.zeros::<f32>(rows.len() * d)?;
        let mut wanted = self.upload(rows)?;
        let arguments = Rows {
            hooks: hooks.arguments()?,
            rows: wanted.address(),
            values: values.address(),
        };
        let kernel = hooks.kernel("rows");
        self.launch(&kernel, (self.groups(d), rows.len()), &arguments)?;
        values.download(rows.len() * d)
    }

    /// Fetches the wanted values, one after the other.
    pub fn gather(&self, hooks: HookTensors<'_>, wanted: &[Wanted]) -> Result<Vec<f32>> {
        let (mut words, mut n) = (Vec::with_capacity(5 * wanted.len()), 0);
        for w in wanted {
            words.extend([w.neuron, w.quantity, w.first_row, w.n_rows, n]);
            n += w.n_rows;
        }
        let mut values = self.zeros::<f32>(n as usize)?;
        let mut words = self.upload(&words)?;
        let arguments = Gather {
            hooks: hooks.arguments()?,
            wanted: words.address(),
            values: values.address(),
            n_wanted: wanted.len() as u32,
        };
        let kernel = hooks.kernel("gather");
        self.launch(&kernel, (self.groups(wanted.len()), 1), &arguments)?;
        values.download(n as usize)
    }
}
