//! The table of examples: `layer-LLL.examples.parquet`, the lists of every neuron.

use std::borrow::Cow;
use std::sync::Arc;

use super::table::{Column, Row, Table};
use crate::ids::{DocId, Pos};
use crate::stats::examples::{Example, ListKind, TopList};
use crate::stats::neuron::{Neuron, NeuronStats};
use crate::stats::samples::{Sample, Samples};
use crate::stats::signs::QUANTITIES;
use crate::stats::window::Window;
use crate::stats::{MlpKind, StatsOptions};

/// Name of the list that holds a part's samples.
pub const SAMPLE_LIST: &str = "sample";

/// An example of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct ExampleRow {
    /// The list.
    pub list: String,
    /// Place in the list; for samples, the rank of the position's hash.
    pub rank: u32,
    /// The peak.
    pub example: Example,
    /// Whether its context and duplicates are known: without them near-duplicates cannot be told.
    pub knows_context: bool,
    /// The texts of the window's tokens; `None` where the corpus has them.
    pub tokens: Option<Vec<String>>,
}

/// An example with the neuron that it belongs to.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct NeuronExample {
    /// Index in the layer.
    pub(super) neuron: u32,
    /// The example.
    pub(super) row: ExampleRow,
    /// Whether its duplicates were read.
    has_duplicates: bool,
    /// Its hooks while they are read: all of them or none.
    hooks: [Option<Window>; 3],
}

impl Default for NeuronExample {
    fn default() -> Self {
        let example = Example {
            value: 0.0,
            post: None,
            doc: DocId(0),
            pos: Pos(0),
            context: 0,
            window: Window::new(0, &[]),
            hooks: None,
            duplicates: Vec::new(),
        };
        Self {
            neuron: 0,
            row: ExampleRow {
                list: String::new(),
                rank: 0,
                example,
                knows_context: false,
                tokens: None,
            },
            has_duplicates: false,
            hooks: Default::default(),
        }
    }
}

impl NeuronExample {
    /// An example of a neuron.
    pub(super) fn new(neuron: u32, row: ExampleRow) -> Self {
        Self {
            neuron,
            has_duplicates: row.knows_context,
            hooks: Default::default(),
            row,
        }
    }
}

impl Row for NeuronExample {
    fn place(&self) -> String {
        format!("neuron {}", self.neuron)
    }
}

/// The table for neurons of a kind.
pub(super) fn examples_table(kind: MlpKind) -> Arc<Table<NeuronExample>> {
    type E = NeuronExample;
    let mut columns = vec![
        Column::number("neuron", |e: &E| e.neuron, |e, x| e.neuron = x)
            .about("index in the layer"),
        Column::text(
            "list",
            |e: &E| Some(&e.row.list),
            |e, list| {
                e.row.list = list.unwrap_or_default().to_owned();
                Ok(())
            },
        )
        .required()
        .about("`top`, `bottom`, `gate+_in+` …; in parts `sample`, in an atlas `band_0.99_0.999` …, `random`"),
        Column::number("rank", |e: &E| e.row.rank, |e, x| e.row.rank = x)
            .about("place in the list from 0; for a sample, the rank of its position's hash"),
        Column::number("value", |e: &E| e.row.example.value, |e, x| e.row.example.value = x)
            .about("the ranked value at the peak, exact"),
        Column::number("doc", |e: &E| e.row.example.doc.0, |e, x| e.row.example.doc = DocId(x))
            .about("document"),
        Column::number("pos", |e: &E| e.row.example.pos.0, |e, x| e.row.example.pos = Pos(x))
            .about("position of the peak in the document"),
        // before the context, which is of use with them only
        Column::list(
            "duplicates",
            |e: &E| {
                let known = e.row.knows_context;
                known.then_some(Cow::Borrowed(&e.row.example.duplicates))
            },
            |e, scores: &[f32]| {
                e.row.example.duplicates = scores.to_vec();
                e.has_duplicates = true;
                Ok(())
            },
        )
        .may_lack("not known")
        .about("scores of the documents that were collapsed into this one, descending"),
        Column::optional(
            "context",
            |e: &E| e.row.knows_context.then_some(e.row.example.context),
            |e, x: Option<u64>| {
                e.row.knows_context = e.has_duplicates && x.is_some();
                e.row.example.context = x.unwrap_or_default();
            },
        )
        .may_lack("not known")
        .about("hash of the tokens up to the peak, equal in near-duplicates; 0 for samples"),
        Column::number(
            "start",
            |e: &E| e.row.example.window.start,
            |e, x| e.row.example.window.start = x,
        )
        .about("position of the first value"),
        Column::number(
            "scale",
            |e: &E| e.row.example.window.scale,
            |e, x| e.row.example.window.scale = x,
        )
        .about("value of a step"),
        Column::list(
            "steps",
            |e: &E| Some(Cow::Borrowed(&e.row.example.window.steps)),
            |e, steps: &[i8]| {
                e.row.example.window.steps = steps.into();
                Ok(())
            },
        )
        .about("value i is `steps[i] · scale`; −128 stands for NaN or infinity"),
        Column::texts(
            "tokens",
            |e: &E| e.row.tokens.as_deref(),
            |e, tokens| e.row.tokens = Some(tokens),
        )
        .since("0.2", "null")
        .about("the token at each value as text, in an atlas whose corpus is not there"),
    ];
    if kind == MlpKind::Gated {
        columns.extend((0..3).flat_map(hook_columns));
    }
    if kind == MlpKind::Solu {
        let post = Column::optional(
            "post",
            |e: &E| e.row.example.post,
            |e, x: Option<f32>| e.row.example.post = x,
        );
        columns.push(
            post.may_lack("not known")
                .about("SoLU only: `hook_post` at the peak"),
        );
    }
    Arc::new(Table::new(columns))
}

/// The two columns of one of the [`Hooks`](crate::stats::examples::Hooks).
fn hook_columns(at: usize) -> [Column<NeuronExample>; 2] {
    type E = NeuronExample;
    let name = QUANTITIES[at];
    fn hook(e: &E, at: usize) -> Option<&Window> {
        Some(&e.row.example.hooks.as_ref()?[at])
    }
    // before the scale: a list that is null is not set, a number is
    let steps = Column::list(
        &format!("{name}_steps"),
        move |e: &E| Some(Cow::Borrowed(&hook(e, at)?.steps[..])),
        move |e, steps: &[i8]| {
            e.hooks[at] = Some(Window {
                start: e.row.example.window.start,
                scale: 0.0,
                steps: steps.into(),
            });
            Ok(())
        },
    );
    let scale = Column::optional(
        format!("{name}_scale"),
        move |e: &E| Some(hook(e, at)?.scale),
        move |e, scale: Option<f32>| {
            e.hooks[at] = e.hooks[at]
                .take()
                .zip(scale)
                .map(|(window, scale)| Window { scale, ..window });
            if at == 2 {
                e.row.example.hooks = match std::mem::take(&mut e.hooks) {
                    [Some(gate), Some(act), Some(input)] => Some(Box::new([gate, act, input])),
                    _ => None,
                };
            }
        },
    );
    [
        steps.since("0.3", "null").about(format!(
            "{name} at each value, as `steps` are, of the examples of sign cases where the scan kept it (`--keep-hooks`)"
        )),
        scale
            .since("0.3", "null")
            .about(format!("value of a step of `{name}_steps`")),
    ]
}

/// Where one of a neuron's most positive or most negative values is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PeakRow {
    /// Index in the layer.
    pub neuron: u32,
    /// Which of the two lists it is in; `None` for an example of another list.
    pub list: Option<ListKind>,
    /// Document.
    pub doc: DocId,
    /// Position in it.
    pub pos: Pos,
    /// The ranked value.
    pub value: f32,
}

impl Row for PeakRow {
    fn place(&self) -> String {
        format!("neuron {}", self.neuron)
    }
}

/// The columns of the table that say where examples peak.
pub(super) fn peaks_table() -> Arc<Table<PeakRow>> {
    type P = PeakRow;
    Arc::new(Table::new(vec![
        Column::number("neuron", |p: &P| p.neuron, |p, x| p.neuron = x),
        Column::text(
            "list",
            |p: &P| p.list.map(ListKind::name),
            |p, list| {
                let list = ListKind::from_name(list.unwrap_or_default());
                p.list = list.filter(|list| matches!(list, ListKind::Top | ListKind::Bottom));
                Ok(())
            },
        )
        .required(),
        Column::number("doc", |p: &P| p.doc.0, |p, x| p.doc = DocId(x)),
        Column::number("pos", |p: &P| p.pos.0, |p, x| p.pos = Pos(x)),
        Column::number("value", |p: &P| p.value, |p, x| p.value = x),
    ]))
}

/// The texts of the tokens of an example.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct TextRow {
    /// Index of the neuron in the layer.
    neuron: u32,
    /// The list.
    list: String,
    /// Place in the list.
    rank: u32,
    /// The texts; `None` if there are none.
    pub(super) tokens: Option<Vec<String>>,
}

impl Row for TextRow {
    fn place(&self) -> String {
        let Self {
            neuron, list, rank, ..
        } = self;
        format!("neuron {neuron}: list `{list}`, rank {rank}")
    }
}

/// The columns of the table that have the texts of tokens.
pub(super) fn texts_table() -> Arc<Table<TextRow>> {
    type T = TextRow;
    Arc::new(Table::new(vec![
        Column::number("neuron", |t: &T| t.neuron, |t, x| t.neuron = x),
        Column::text(
            "list",
            |t: &T| Some(&t.list),
            |t, list| {
                t.list = list.unwrap_or_default().to_owned();
                Ok(())
            },
        )
        .required(),
        Column::number("rank", |t: &T| t.rank, |t, x| t.rank = x),
        Column::texts(
            "tokens",
            |t: &T| t.tokens.as_deref(),
            |t, tokens| t.tokens = Some(tokens),
        )
        .since("0.2", "null"),
    ]))
}

/// Names of the columns in which examples differ.
pub fn different_examples(kind: MlpKind, a: &ExampleRow, b: &ExampleRow) -> Vec<String> {
    let [a, b] = [a, b].map(|row| NeuronExample::new(0, row.clone()));
    examples_table(kind).different(&a, &b)
}

/// A neuron's lists and samples as rows.
pub fn rows_of(neuron: &Neuron) -> Vec<ExampleRow> {
    let lists = neuron.lists.iter().flat_map(|list| {
        let entries = list.entries().iter().cloned().zip(0..);
        entries.map(|(example, rank)| ExampleRow {
            list: list.kind().name().to_owned(),
            rank,
            example,
            knows_context: true,
            tokens: None,
        })
    });
    let samples = neuron.samples.kept().iter().map(|sample| ExampleRow {
        list: SAMPLE_LIST.to_owned(),
        rank: sample.rank,
        example: Example {
            value: sample.value,
            post: sample.post,
            doc: sample.doc,
            pos: sample.pos,
            context: 0,
            window: sample.window.clone(),
            hooks: None,
            duplicates: Vec::new(),
        },
        knows_context: true,
        tokens: None,
    });
    lists.chain(samples).collect()
}

/// A neuron from its statistics and rows; what keeps the rows from being one's lists is the error.
pub fn neuron_from_rows(
    stats: NeuronStats,
    rows: Vec<ExampleRow>,
    options: &StatsOptions,
    kind: MlpKind,
) -> Result<Neuron, String> {
    let mut lists: Vec<TopList> = options
        .lists(kind)
        .into_iter()
        .map(|(kind, k)| TopList::new(kind, k))
        .collect();
    let mut samples = Vec::new();
    for ExampleRow {
        list,
        rank,
        example,
        knows_context,
        tokens,
    } in rows
    {
        if tokens.is_some() {
            return Err(format!(
                "list `{list}` has `tokens`, which a merge would lose"
            ));
        }
        if list == SAMPLE_LIST {
            let Example {
                doc,
                pos,
                value,
                post,
                window,
                ..
            } = example;
            samples.push(Sample {
                rank,
                doc,
                pos,
                value,
                post,
                window,
            });
            continue;
        }
        let kind = ListKind::from_name(&list);
        match lists.iter_mut().find(|known| Some(known.kind()) == kind) {
            Some(_) if !knows_context => {
                return Err(format!(
                    "list `{list}` lacks `context` or `duplicates`, so near-duplicates cannot be told apart"
                ));
            }
            Some(known) => known.insert(example),
            None => return Err(format!("it has a list `{list}`")),
        }
    }
    Ok(Neuron {
        stats,
        lists,
        samples: Samples::new(samples),
    })
}
