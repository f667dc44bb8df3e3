//! The table of statistics: `layer-LLL.stats.parquet`, one row per neuron.

use std::borrow::Cow;
use std::sync::Arc;

use super::checks;
use super::table::{Column, Row, Table};
use crate::stats::MlpKind;
use crate::stats::histogram::Histogram;
use crate::stats::moments::Moments;
use crate::stats::neuron::NeuronStats;
use crate::stats::signs::{CaseStats, QUANTITIES, SignCase};
use crate::stats::starts::Starts;
use crate::stats::sums::SUMS;

/// A neuron's statistics.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct StatsRow {
    /// Index in the layer.
    pub(super) neuron: u32,
    /// Its statistics.
    pub(super) stats: NeuronStats,
    /// Bins of the histogram, until their counts are read.
    bins: Option<Vec<u8>>,
}

impl StatsRow {
    /// A neuron with its statistics.
    pub(super) fn new(neuron: u32, stats: NeuronStats) -> Self {
        Self {
            neuron,
            stats,
            bins: None,
        }
    }
}

impl Default for StatsRow {
    fn default() -> Self {
        Self::new(0, NeuronStats::unknown())
    }
}

impl Row for StatsRow {
    fn place(&self) -> String {
        format!("neuron {}", self.neuron)
    }
}

/// Moments that a table has: the prefix of their columns, and where they are.
struct MomentsColumns {
    prefix: &'static str,
    about: &'static str,
    get: fn(&NeuronStats) -> Option<&Moments>,
    /// Makes them known, before any value.
    begin: fn(&mut NeuronStats),
    /// Makes them unknown.
    forget: fn(&mut NeuronStats),
    get_mut: fn(&mut NeuronStats) -> Option<&mut Moments>,
}

const RANKED: MomentsColumns = MomentsColumns {
    prefix: "",
    about: "the ranking hook at counted positions",
    get: |stats| Some(&stats.moments),
    begin: |_| {},
    forget: |_| {},
    get_mut: |stats| Some(&mut stats.moments),
};

const SPECIAL: MomentsColumns = MomentsColumns {
    prefix: "special_",
    about: "the ranking hook at special positions",
    get: |stats| stats.special.as_ref(),
    begin: |stats| stats.special = Some(Moments::default()),
    forget: |stats| stats.special = None,
    get_mut: |stats| stats.special.as_mut(),
};

const STARTS: MomentsColumns = MomentsColumns {
    prefix: "start_",
    about: "the ranking hook at counted positions 1 to 3 of windows, where they start",
    get: |stats| stats.starts.as_ref().map(|starts| &starts.moments),
    begin: |stats| stats.starts = Some(Starts::default()),
    forget: |stats| stats.starts = None,
    get_mut: |stats| stats.starts.as_mut().map(|starts| &mut starts.moments),
};

const POST: MomentsColumns = MomentsColumns {
    prefix: "post_",
    about: "`hook_post` of SoLU neurons, of which `hook_mid` is ranked",
    get: |stats| stats.post.as_ref(),
    begin: |stats| stats.post = Some(Moments::default()),
    forget: |stats| stats.post = None,
    get_mut: |stats| stats.post.as_mut(),
};

/// What stands in place of values that a table lacks.
const UNKNOWN: &str = "not known";

impl MomentsColumns {
    fn columns(&'static self) -> Vec<Column<StatsRow>> {
        let Self {
            prefix,
            about,
            get,
            begin,
            forget,
            get_mut,
        } = self;
        let is_ranked = prefix.is_empty();
        let known = move |column: Column<StatsRow>, what: &str| {
            let column = column.about(format!("{what} of {about}"));
            match is_ranked {
                true => column.required(),
                false => column.may_lack(UNKNOWN),
            }
        };
        let count = Column::optional(
            format!("{prefix}count"),
            |row: &StatsRow| get(&row.stats).map(|moments| moments.count),
            |row, count: Option<u64>| {
                if let Some(count) = count {
                    begin(&mut row.stats);
                    set(row, *get_mut, |moments| moments.count = count);
                }
            },
        );
        let mut columns = vec![known(count, "number of values")];
        columns.extend((0..4).map(|order| {
            let column = Column::optional(
                format!("{prefix}sum{}", order + 1),
                move |row: &StatsRow| Some(get(&row.stats)?.sums?[order]),
                move |row, sum: Option<f64>| {
                    set(row, *get_mut, |moments| match (sum, &mut moments.sums) {
                        (Some(sum), Some(sums)) => sums[order] = sum,
                        (_, sums) => *sums = None,
                    });
                },
            );
            let power = ["", "²", "³", "⁴"][order];
            known(column, &format!("Σx{power}")).may_lack(UNKNOWN)
        }));
        let min = Column::optional(
            format!("{prefix}min"),
            |row: &StatsRow| get(&row.stats).map(|moments| moments.min),
            |row, min: Option<f32>| match min {
                Some(min) => set(row, *get_mut, |moments| moments.min = min),
                None => forget(&mut row.stats),
            },
        );
        let max = Column::optional(
            format!("{prefix}max"),
            |row: &StatsRow| get(&row.stats).map(|moments| moments.max),
            |row, max: Option<f32>| match max {
                Some(max) => set(row, *get_mut, |moments| moments.max = max),
                None => forget(&mut row.stats),
            },
        );
        columns.extend([known(min, "minimum"), known(max, "maximum")]);
        columns
    }
}

fn set(
    row: &mut StatsRow,
    get_mut: fn(&mut NeuronStats) -> Option<&mut Moments>,
    change: impl FnOnce(&mut Moments),
) {
    if let Some(moments) = get_mut(&mut row.stats) {
        change(moments);
    }
}

/// The table for neurons of a kind.
pub(super) fn stats_table(kind: MlpKind) -> Arc<Table<StatsRow>> {
    let neuron = Column::number(
        "neuron",
        |row: &StatsRow| row.neuron,
        |row, x| row.neuron = x,
    );
    let mut columns = vec![neuron.about("index in the layer")];
    columns.extend(RANKED.columns());
    columns.extend(SUMS.iter().enumerate().map(|(at, sum)| {
        let column = Column::optional(
            sum.column,
            move |row: &StatsRow| row.stats.sums[at],
            move |row, x: Option<f64>| row.stats.sums[at] = x,
        );
        column.about(sum.about).since(sum.since, UNKNOWN)
    }));
    columns.extend(SPECIAL.columns());
    let starts = STARTS.columns().into_iter().chain(elsewhere_columns());
    columns.extend(starts.map(|column| column.since("0.3", UNKNOWN)));
    if kind == MlpKind::Solu {
        columns.extend(POST.columns());
    }
    columns.extend(
        [
            Column::optional(
                "not_finite",
                |row: &StatsRow| row.stats.not_finite,
                |row, n: Option<u64>| row.stats.not_finite = n,
            )
            .about("positions left out because a hook is not finite"),
            Column::optional(
                "firing",
                |row: &StatsRow| row.stats.n_firing,
                |row, n: Option<u64>| row.stats.n_firing = n,
            )
            .about("positions with hook_pre > 0 (the gate, if gated)"),
            Column::optional(
                "above_tau",
                |row: &StatsRow| row.stats.n_above_tau,
                |row, n: Option<u64>| row.stats.n_above_tau = n,
            )
            .about("positions with \\|hook_post\\| > τ"),
            Column::list(
                "histogram_bins",
                |row: &StatsRow| {
                    let histogram = row.stats.histogram.as_ref()?;
                    Some(Cow::Owned(histogram.bins().map(|(bin, _)| bin).collect()))
                },
                |row, bins: &[u8]| {
                    row.bins = Some(bins.to_vec());
                    Ok(())
                },
            )
            .about("the bins of the histogram that are not empty, ascending"),
            Column::list(
                "histogram_counts",
                |row: &StatsRow| {
                    let histogram = row.stats.histogram.as_ref()?;
                    Some(Cow::Owned(histogram.bins().map(|(_, n)| n).collect()))
                },
                |row, counts: &[u64]| {
                    // the two columns say something together only
                    let Some(bins) = row.bins.take() else {
                        return Ok(());
                    };
                    checks::bins(&bins, counts)?;
                    let counts = counts.iter().copied();
                    row.stats.histogram = Some(Histogram::from_bins(bins.into_iter().zip(counts)));
                    Ok(())
                },
            )
            .about("how many values each of these bins has"),
        ]
        .map(|column| column.may_lack(UNKNOWN)),
    );
    if kind == MlpKind::Gated {
        columns.extend(SignCase::ALL.into_iter().flat_map(case_columns));
    }
    Arc::new(Table::new(columns))
}

/// The columns of the extremes where no window starts.
fn elsewhere_columns() -> [Column<StatsRow>; 2] {
    let min = Column::optional(
        "elsewhere_min",
        |row: &StatsRow| row.stats.starts.map(|starts| starts.elsewhere_min),
        |row, min: Option<f32>| match (min, &mut row.stats.starts) {
            (Some(min), Some(starts)) => starts.elsewhere_min = min,
            (_, starts) => *starts = None,
        },
    );
    let max = Column::optional(
        "elsewhere_max",
        |row: &StatsRow| row.stats.starts.map(|starts| starts.elsewhere_max),
        |row, max: Option<f32>| match (max, &mut row.stats.starts) {
            (Some(max), Some(starts)) => starts.elsewhere_max = max,
            (_, starts) => *starts = None,
        },
    );
    [
        min.about("minimum at the other counted positions"),
        max.about("maximum at the other counted positions"),
    ]
}

/// The columns of a sign case.
fn case_columns(case: SignCase) -> Vec<Column<StatsRow>> {
    let at = case as usize;
    let get = move |row: &StatsRow| row.stats.cases.as_ref().map(|cases| cases[at]);
    let set = move |row: &mut StatsRow, change: &dyn Fn(&mut CaseStats)| {
        if let Some(cases) = &mut row.stats.cases {
            change(&mut cases[at]);
        }
    };
    let name = case.name();
    let count = Column::optional(
        format!("{name}_count"),
        move |row| get(row).map(|case| case.count),
        move |row, count: Option<u64>| match count {
            Some(count) => {
                if at == 0 {
                    row.stats.cases = Some(Default::default());
                }
                set(row, &|case| case.count = count);
            }
            None => row.stats.cases = None,
        },
    );
    let mut columns = vec![count.about(format!("gated only: counted positions with {name}"))];
    for (i, quantity) in QUANTITIES.into_iter().enumerate() {
        let sum = Column::optional(
            format!("{name}_{quantity}_sum"),
            move |row| get(row).map(|case| case.sums[i]),
            move |row, sum: Option<f64>| match sum {
                Some(sum) => set(row, &|case| case.sums[i] = sum),
                None => row.stats.cases = None,
            },
        );
        let extreme = Column::optional(
            format!("{name}_{quantity}_extreme"),
            move |row| get(row).map(|case| case.extremes[i]),
            move |row, extreme: Option<f32>| match extreme {
                Some(extreme) => set(row, &|case| case.extremes[i] = extreme),
                None => row.stats.cases = None,
            },
        );
        columns.push(sum.about(format!("Σ{quantity} at these")));
        columns.push(extreme.about(format!("the {quantity} of largest magnitude at these")));
    }
    let columns = columns.into_iter();
    columns.map(|column| column.may_lack(UNKNOWN)).collect()
}

/// Names of the columns in which statistics differ.
pub fn different_stats(kind: MlpKind, a: &NeuronStats, b: &NeuronStats) -> Vec<String> {
    let [a, b] = [a, b].map(|stats| StatsRow::new(0, stats.clone()));
    stats_table(kind).different(&a, &b)
}
