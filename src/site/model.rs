//! Writes the part of a site that is about one model: its own pages, then its layers and their neurons, section by
//! section.
//!
//! Neurons are read and written some at a time, so memory does not grow with the model but for the layers at hand, one
//! hash per file, and what sections keep until their end.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use crate::atlas::facts::N_RANKED;
use crate::ids::NeuronId;

use super::card::Cards;
use super::data::{LayerData, LayerOverview, ModelData, NeuronData, Population, n_ranked};
use super::deepdecipher::DeepDecipher;
use super::encode::record::RecordWriter;
use super::error::SiteError;
use super::explore::{self, Explore};
use super::layout;
use super::pages;
use super::pages::figures::LayerFigures;
use super::pages::layer::LayerPages;
use super::pages::model::LayerDrawing;
use super::part::ModelPart;
use super::search::{self, Lines, Words};
use super::section::Section;

/// Writes everything of a model.
pub(super) fn write(part: &ModelPart<'_>) -> Result<(), SiteError> {
    let (data, figures) = own_pages(part)?;
    pages::model::write_others(part)?;
    pages::layer::write_unscanned(part)?;
    write_said(part)?;
    let sections = sections(part, &figures);
    // files of one folder are made one after the other, so layers go side by side
    let layers = part.scan().layers().into_par_iter();
    layers.try_for_each(|layer| write_layer(part, layer, data.population, &sections))?;
    sections
        .into_par_iter()
        .try_for_each(|section| section.finish())
}

/// Writes what shows that something else is said of some neurons than at the last build.
pub(super) fn rewrite(part: &ModelPart<'_>, changed: &BTreeSet<NeuronId>) -> Result<(), SiteError> {
    write_said(part)?;
    if changed.is_empty() {
        return Ok(());
    }
    explore::rewrite_said(part)?;
    let (data, _) = own_pages(part)?;
    let rewriter = Rewriter {
        part,
        changed,
        population: data.population,
        lines: Lines::new(*part),
        records: RecordWriter::new(part.source, part.texts),
    };
    let layers = part.scan().layers().into_par_iter();
    layers.try_for_each(|layer| rewriter.rewrite_layer(layer))
}

/// Writes the model's own page and index. What else is made of it needs the same data.
fn own_pages(part: &ModelPart<'_>) -> Result<(ModelData, Vec<LayerFigures>), SiteError> {
    let layers = part.scan().layers().into_par_iter();
    let first = layers.map(|layer| overview(part, layer));
    let first = first.collect::<Result<Vec<_>, SiteError>>()?;
    let (mut overviews, mut drawings, mut figures) = (Vec::new(), Vec::new(), Vec::new());
    for (overview, drawing, of_weights) in first {
        if of_weights.is_some() {
            // the layers before that were not scanned
            figures.resize_with(overview.layer as usize, LayerFigures::default);
        }
        overviews.push(overview);
        drawings.push(drawing);
        figures.extend(of_weights);
    }
    let data = ModelData::new(overviews);
    pages::model::write(part, &data, drawings, &figures)?;
    Ok((data, figures))
}

/// Writes the files that hold nothing but what was said of neurons.
fn write_said(part: &ModelPart<'_>) -> Result<(), SiteError> {
    search::said::write(*part)?;
    search::short_lines::write(part)?;
    part.packing
        .map_or(Ok(()), |packing| layout::write_said(part, packing))
}

/// Writes again what shows that something else is said of some neurons.
struct Rewriter<'a> {
    part: &'a ModelPart<'a>,
    changed: &'a BTreeSet<NeuronId>,
    population: [u32; N_RANKED],
    lines: Lines<'a>,
    records: RecordWriter<'a>,
}

impl Rewriter<'_> {
    /// Whether a neuron's line is in a file with that of one of which something else is said.
    fn has_line_beside(&self, id: NeuronId) -> bool {
        let d_mlp = self.part.model.d_mlp;
        let per_file = search::lines_per_file(self.part) as u32;
        let first = (id.layer * d_mlp + id.neuron) / per_file * per_file;
        let of = |flat: u32| NeuronId {
            layer: flat / d_mlp,
            neuron: flat % d_mlp,
        };
        let file = of(first)..of(first + per_file);
        self.changed.range(file).next().is_some()
    }

    fn rewrite_layer(&self, layer: u32) -> Result<(), SiteError> {
        let (part, atlas) = (self.part, &self.part.source.atlas);
        let neurons = (0..part.model.d_mlp).map(|neuron| NeuronId { layer, neuron });
        let wanted: BTreeSet<_> = neurons.filter(|id| self.has_line_beside(*id)).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let summaries = atlas.summaries(layer)?;
        let population = Population {
            layer: n_ranked(&summaries),
            model: self.population,
        };
        let regions = part.source.regions(layer);
        let data = LayerData::new(layer, &summaries, None, regions, population);
        for neuron in atlas.layer(layer)? {
            let neuron = neuron?;
            if !wanted.contains(&neuron.id) {
                continue;
            }
            let documentation = part.documentation(neuron.id);
            let neuron = NeuronData::read(part.source, documentation, &data, &neuron)?;
            self.lines.neuron(&neuron)?;
            if self.changed.contains(&neuron.id()) {
                if part.has_page(neuron.id()) {
                    pages::neuron::write(part, &neuron, &self.records.record(&neuron))?;
                }
                part.site.count_neurons(1)?;
            }
        }
        Ok(())
    }
}

/// The sections of a model's part.
fn sections<'a>(part: &ModelPart<'a>, figures: &'a [LayerFigures]) -> Vec<Box<dyn Section + 'a>> {
    let options = part.site.options;
    let mut sections: Vec<Box<dyn Section + 'a>> = vec![
        Box::new(LayerPages::new(*part, figures)),
        layout::section(*part),
        Box::new(Lines::new(*part)),
        Box::new(Words::new(*part)),
        Box::new(Explore::new(*part)),
    ];
    if options.has_cards(part.packing.is_some()) {
        sections.push(Box::new(Cards(*part)));
    }
    if options.deepdecipher {
        sections.push(Box::new(DeepDecipher(*part)));
    }
    sections
}

/// What the model's own pages need of a layer, the last if the weights were analysed.
fn overview(
    part: &ModelPart<'_>,
    layer: u32,
) -> Result<(LayerOverview, LayerDrawing, Option<LayerFigures>), SiteError> {
    let summaries = part.source.atlas.summaries(layer)?;
    let weights = part.source.atlas.weights(layer)?;
    let regions = part.source.regions(layer);
    Ok((
        LayerOverview::new(layer, &summaries),
        LayerDrawing::new(layer, &summaries),
        weights.map(|weights| LayerFigures::new(&weights, regions)),
    ))
}

/// Shows a layer, and its neurons some at a time, to all sections.
fn write_layer(
    part: &ModelPart<'_>,
    layer: u32,
    in_model: [u32; N_RANKED],
    sections: &[Box<dyn Section + '_>],
) -> Result<(), SiteError> {
    let atlas = &part.source.atlas;
    let summaries = atlas.summaries(layer)?;
    let population = Population {
        layer: n_ranked(&summaries),
        model: in_model,
    };
    let regions = part.source.regions(layer);
    {
        let weights = atlas.weights(layer)?;
        let data = LayerData::new(layer, &summaries, weights.as_deref(), regions, population);
        for section in sections {
            section.layer(&data)?;
        }
    }
    // each neuron is read with its own weights
    let data = LayerData::new(layer, &summaries, None, regions, population);
    let neurons = Mutex::new(atlas.layer(layer)?);
    let n_at_once = layout::n_at_once(part);
    let next = || {
        let mut neurons = neurons.lock().unwrap_or_else(PoisonError::into_inner);
        let chunk: Vec<_> = neurons.by_ref().take(n_at_once).collect();
        (!chunk.is_empty()).then_some(chunk)
    };
    // whoever has nothing else to do reads the next ones, while others write theirs
    let worker = |_| -> Result<(), SiteError> {
        while let Some(chunk) = next() {
            let chunk = chunk.into_iter().collect::<Result<Vec<_>, _>>()?;
            let neurons = chunk
                .iter()
                .map(|neuron| {
                    let documentation = part.documentation(neuron.id);
                    NeuronData::read(part.source, documentation, &data, neuron)
                })
                .collect::<Result<Vec<_>, _>>()?;
            for section in sections {
                section.neurons(&neurons)?;
            }
            part.site.count_neurons(neurons.len())?;
        }
        Ok(())
    };
    (0..rayon::current_num_threads())
        .into_par_iter()
        .with_max_len(1)
        .try_for_each(worker)
}
