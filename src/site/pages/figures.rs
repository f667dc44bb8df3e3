//! What the weights of a model's layers say together: counts of classes and roles, quartiles of cosines; as figures with their
//! data as CSV and JSON.

use serde::Serialize;
use serde_json::json;

use crate::atlas::{Class, Cosines, NeuronWeights, Region, Regions, Role, quantile};

use super::classes::{class_id, class_label, role_id};
use super::plot::{self, Quartiles, Series};
use crate::site::error::SiteError;
use crate::site::text::format::{count, percent, round};
use crate::site::text::texts::json as json_file;

/// What is counted of a layer; nothing of one that was not scanned.
#[derive(Default)]
pub(crate) struct LayerFigures {
    n: usize,
    /// Typical and atypical neurons of each class.
    classes: [[usize; 2]; Class::ALL.len()],
    roles: [usize; Role::ALL.len()],
    /// Quartiles of the cosines, in the order of [`COSINES`].
    quartiles: [Option<Quartiles>; COSINES.len()],
    null: [Option<Region>; COSINES.len()],
}

/// A cosine: its name, its label, how it is got from a neuron, and what chance explains of it.
type CosineKind = (
    &'static str,
    &'static str,
    fn(&Cosines) -> Option<f32>,
    fn(&Regions) -> Option<Region>,
);

const COSINES: [CosineKind; 3] = [
    ("in_out", "cos(w_in, w_out)", |c| c.in_out, |r| r.in_out),
    (
        "gate_out",
        "cos(w_gate, w_out)",
        |c| c.gate_out,
        |r| r.gate_out,
    ),
    ("gate_in", "cos(w_gate, w_in)", |c| c.gate_in, |r| r.gate_in),
];

/// A number of neurons of a class or role.
#[derive(Serialize)]
pub(crate) struct CountRow {
    /// Id of the definition on the model's page.
    pub(crate) id: String,
    pub(crate) label: String,
    /// What the explore page is asked for these neurons.
    pub(crate) query: String,
    pub(crate) n: String,
    pub(crate) share: String,
}

/// A figure with its data.
#[derive(Serialize)]
pub(crate) struct FigureView {
    pub(crate) title: &'static str,
    pub(crate) caption: &'static str,
    pub(crate) svg: String,
    pub(crate) legend: Vec<Key>,
    /// Files beside the page with the data.
    pub(crate) csv: String,
    pub(crate) json: String,
}

/// A colour with its meaning.
#[derive(Serialize)]
pub(crate) struct Key {
    pub(crate) class: String,
    pub(crate) label: String,
}

impl LayerFigures {
    pub(crate) fn new(neurons: &[NeuronWeights], regions: Option<&Regions>) -> Self {
        let mut classes = [[0; 2]; Class::ALL.len()];
        let mut roles = [0; Role::ALL.len()];
        for neuron in neurons {
            if let Some(of) = neuron.class {
                classes[of.class as usize][usize::from(!of.typical)] += 1;
            }
            if let Some(role) = neuron.role {
                roles[role as usize] += 1;
            }
        }
        let quartiles = COSINES.map(|(_, _, get, _)| {
            let values = neurons.iter().filter_map(|neuron| get(&neuron.cosines));
            quartiles(values.map(f64::from).collect())
        });
        Self {
            n: neurons.len(),
            classes,
            roles,
            quartiles,
            null: COSINES.map(|(_, _, _, null)| regions.and_then(null)),
        }
    }

    fn share(&self, n: usize) -> f64 {
        n as f64 / self.n.max(1) as f64
    }

    fn row(&self, id: String, label: String, query: String, n: usize) -> CountRow {
        CountRow {
            id,
            label,
            // all are counted here, those that fire where windows start as well
            query: query.replace(' ', "+") + "&at_starts=any",
            n: count(n as u64),
            share: percent(Some(self.share(n))),
        }
    }

    /// Its classes, those that occur.
    pub(crate) fn class_rows(&self) -> Vec<CountRow> {
        let rows = kinds().map(|(class, typical)| {
            let n = self.classes[class as usize][usize::from(!typical)];
            let atypical = if typical { "no" } else { "yes" };
            let query = format!("class={}&atypical={atypical}", class.name());
            (n > 0).then(|| self.row(class_id(class), class_label(class, typical), query, n))
        });
        rows.flatten().collect()
    }

    /// Its roles, those that occur.
    pub(crate) fn role_rows(&self) -> Vec<CountRow> {
        let rows = Role::ALL.into_iter().map(|role| {
            let n = self.roles[role as usize];
            let (name, query) = (role.name().to_owned(), format!("role={}", role.name()));
            (n > 0).then(|| self.row(role_id(role), name, query, n))
        });
        rows.flatten().collect()
    }
}

/// Classes, typical and not, in the order in which they are drawn: from what strengthens to what weakens.
fn kinds() -> impl Iterator<Item = (Class, bool)> {
    let order = [
        Class::Strengthening,
        Class::ConditionalStrengthening,
        Class::ProportionalChange,
        Class::OrthogonalOutput,
        Class::ConditionalWeakening,
        Class::Weakening,
    ];
    order
        .into_iter()
        .flat_map(|class| [(class, true), (class, false)])
}

fn quartiles(mut values: Vec<f64>) -> Option<Quartiles> {
    values.sort_unstable_by(f64::total_cmp);
    let [first, median, third] = [0.25, 0.5, 0.75].map(|q| quantile(&values, q));
    Some([first?, median?, third?])
}

/// The data of figures, by name within the model's folder.
#[derive(Default)]
pub(crate) struct Tables(pub(in crate::site) Vec<(String, Vec<u8>)>);

impl Tables {
    /// Adds a table. The names of its files, as CSV and as JSON.
    pub(crate) fn add(
        &mut self,
        name: &str,
        columns: &[&str],
        rows: Vec<Vec<serde_json::Value>>,
    ) -> Result<[String; 2], SiteError> {
        let [csv, json] = ["csv", "json"].map(|kind| format!("figures/{name}.{kind}"));
        self.0.push((csv.clone(), csv_file(columns, &rows)));
        let value = json!({"schema": "neuroscope/figure/v1", "columns": columns, "rows": rows});
        self.0.push((json.clone(), json_file(&value)?));
        Ok([csv, json])
    }
}

/// Draws what the weights say of a model; without layers, nothing.
pub(crate) fn weight_figures(
    layers: &[LayerFigures],
    tables: &mut Tables,
) -> Result<Vec<FigureView>, SiteError> {
    if layers.is_empty() {
        return Ok(Vec::new());
    }
    let data = each_layer(layers, |layer, of| {
        kinds()
            .map(|(class, typical)| {
                let n = of.classes[class as usize][usize::from(!typical)];
                vec![
                    json!(layer),
                    json!(class.name()),
                    json!(typical),
                    json!(n),
                    json!(round(of.share(n))),
                ]
            })
            .collect()
    });
    let [csv, json] = tables.add(
        "classes",
        &["layer", "class", "typical", "n", "share"],
        data,
    )?;
    let fine: Vec<Series> = kinds()
        .map(|(class, typical)| Series {
            class: format!(
                "{}{}",
                class_id(class),
                if typical { "" } else { " atypical" }
            ),
            name: class_label(class, typical),
            shares: shares(layers, |of| {
                of.classes[class as usize][usize::from(!typical)]
            }),
        })
        .collect();
    let coarse: Vec<Series> = kinds()
        .filter(|(_, typical)| *typical)
        .map(|(class, _)| Series {
            class: class_id(class),
            name: class.name().to_owned(),
            shares: shares(layers, |of| of.classes[class as usize].iter().sum()),
        })
        .collect();
    let class_figure = |title, caption, series: Vec<Series>| {
        let series = present(series);
        FigureView {
            title,
            caption,
            svg: plot::stacked(&series, 1.0, title),
            legend: legend(&series),
            csv: csv.clone(),
            json: json.clone(),
        }
    };
    let mut views = vec![class_figure(
        "Input-output classes by layer",
        "Share of the layer's neurons in each class, typical or not.",
        coarse,
    )];
    let of_atypical = |of: &LayerFigures| of.classes.iter().any(|[_, atypical]| *atypical > 0);
    if layers.iter().any(of_atypical) {
        views.push(class_figure(
            "Input-output classes by layer, typical and atypical",
            "The same; atypical neurons, whose cos(w_gate, w_in) does not fit the other two cosines, are lighter.",
            fine,
        ));
    }

    let data = each_layer(layers, |layer, of| {
        let role = |role: Role| {
            let n = of.roles[role as usize];
            vec![
                json!(layer),
                json!(role.name()),
                json!(n),
                json!(round(of.share(n))),
            ]
        };
        Role::ALL.map(role).to_vec()
    });
    let [csv, json] = tables.add("roles", &["layer", "role", "n", "share"], data)?;
    let series = Role::ALL.map(|role| Series {
        class: role_id(role),
        name: role.name().to_owned(),
        shares: shares(layers, |of| of.roles[role as usize]),
    });
    let series = present(series.into());
    let total = |of: &LayerFigures| of.share(of.roles.iter().sum());
    let most = layers.iter().map(total).fold(0.0f64, f64::max);
    let roles = FigureView {
        title: "Roles by layer",
        caption: "Share of the layer's neurons with a role; the others have none.",
        svg: plot::stacked(&series, nice(most), "Roles by layer"),
        legend: legend(&series),
        csv,
        json,
    };
    // nothing to draw where no neuron has one
    views.extend(Some(roles).filter(|_| most > 0.0));

    let data = each_layer(layers, |layer, of| {
        let row = |(at, (name, ..)): (usize, &CosineKind)| {
            let [first, median, third] = of.quartiles[at]?.map(round);
            let null = of.null[at].map(|null| [null.low, null.high].map(|x| round(x.into())));
            let [low, high] = null.unwrap_or_default();
            Some(vec![
                json!(layer),
                json!(name),
                json!(first),
                json!(median),
                json!(third),
                json!(low),
                json!(high),
            ])
        };
        COSINES.iter().enumerate().filter_map(row).collect()
    });
    let columns = [
        "layer",
        "cosine",
        "first_quartile",
        "median",
        "third_quartile",
        "null_low",
        "null_high",
    ];
    let [csv, json] = tables.add("cosines", &columns, data)?;
    for (at, (_, label, ..)) in COSINES.iter().enumerate() {
        let values: Vec<_> = layers.iter().map(|of| of.quartiles[at]).collect();
        if values.iter().all(Option::is_none) {
            continue;
        }
        let null = layers
            .iter()
            .map(|of| of.null[at].map(|null| [null.low, null.high].map(f64::from)));
        views.push(FigureView {
            title: label,
            caption: "Median and quartiles of the layer's neurons; grey, what chance explains: 95 % of mismatched pairs.",
            svg: plot::quartiles(&values, &null.collect::<Vec<_>>(), label),
            legend: Vec::new(),
            csv: csv.clone(),
            json: json.clone(),
        });
    }
    Ok(views)
}

fn each_layer(
    layers: &[LayerFigures],
    rows: impl Fn(usize, &LayerFigures) -> Vec<Vec<serde_json::Value>>,
) -> Vec<Vec<serde_json::Value>> {
    let layers = layers.iter().enumerate().filter(|(_, of)| of.n > 0);
    layers.flat_map(|(layer, of)| rows(layer, of)).collect()
}

fn shares(layers: &[LayerFigures], n: impl Fn(&LayerFigures) -> usize) -> Vec<f64> {
    layers.iter().map(|of| of.share(n(of))).collect()
}

fn present(series: Vec<Series>) -> Vec<Series> {
    let some = |series: &Series| series.shares.iter().any(|share| *share > 0.0);
    series.into_iter().filter(some).collect()
}

fn legend(series: &[Series]) -> Vec<Key> {
    let key = |series: &Series| Key {
        class: series.class.clone(),
        label: series.name.clone(),
    };
    series.iter().map(key).collect()
}

/// The end of an axis from 0 that holds a share.
fn nice(share: f64) -> f64 {
    let ends = [0.01, 0.02, 0.04, 0.1, 0.2, 0.4, 0.6, 0.8];
    ends.into_iter().find(|end| share <= *end).unwrap_or(1.0)
}

fn csv_file(columns: &[&str], rows: &[Vec<serde_json::Value>]) -> Vec<u8> {
    let mut csv = columns.join(",") + "\n";
    for row in rows {
        let cell = |value: &serde_json::Value| match value {
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Null => String::new(),
            value => value.to_string(),
        };
        csv.push_str(&row.iter().map(cell).collect::<Vec<_>>().join(","));
        csv.push('\n');
    }
    csv.into_bytes()
}
