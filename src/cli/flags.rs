//! Options that come from the project file first and from flags second, defined once for both.

use std::marker::PhantomData;

use clap::error::ErrorKind;
use clap::{ArgMatches, Args, Command, CommandFactory as _, Error, FromArgMatches};
use serde::Serialize;
use serde_json::Value;

use super::Cli;

/// An error in what the command line asks for.
pub(super) fn usage(reason: String) -> clap::Error {
    Cli::command().error(ErrorKind::ArgumentConflict, reason)
}

/// The flags of options `T` that were given; those that were not leave the project file's values as they are.
#[derive(Clone, Debug)]
pub(super) struct Flags<T> {
    matches: ArgMatches,
    of: PhantomData<T>,
}

impl<T: Args + Clone> Flags<T> {
    /// The options of the project file, with the given flags over them.
    pub(super) fn over(&self, options: &T) -> Result<T, Error> {
        let mut options = options.clone();
        options.update_from_arg_matches(&self.matches)?;
        Ok(options)
    }
}

impl<T: Args> FromArgMatches for Flags<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        Ok(Self {
            matches: matches.clone(),
            of: PhantomData,
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.matches = matches.clone();
        Ok(())
    }
}

impl<T: Args + Default + Serialize> Args for Flags<T> {
    fn augment_args(command: Command) -> Command {
        with_defaults::<T>(T::augment_args_for_update(command))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// Adds the defaults of options `T` to the help of their flags. clap must not know them as defaults: a flag that is not given
/// leaves the project file's value.
fn with_defaults<T: Args + Default + Serialize>(command: Command) -> Command {
    // as text first: an f32 becomes the number that was written, not its nearest f64
    let defaults = serde_json::to_string(&T::default()).unwrap_or_default();
    let defaults = serde_json::from_str(&defaults).unwrap_or(Value::Null);
    let flags = T::augment_args_for_update(Command::new(""));
    let ids = flags.get_arguments().map(|flag| flag.get_id().clone());
    ids.fold(command, |command, id| {
        let Some(default) = named(&defaults, id.as_str()) else {
            return command;
        };
        command.mut_arg(id, |flag| {
            let help = flag.get_help().map(ToString::to_string);
            flag.help(format!("{} [default: {default}]", help.unwrap_or_default()))
        })
    })
}

/// The value of an option that has one, among options or those flattened into them.
fn named(options: &Value, name: &str) -> Option<String> {
    match options.get(name) {
        Some(Value::Null) => None,
        Some(Value::Array(values)) if values.is_empty() => None,
        Some(Value::String(text)) => Some(text.clone()),
        Some(value) => Some(value.to_string()),
        None => {
            let groups = options.as_object()?.values();
            groups.into_iter().find_map(|group| named(group, name))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_shows_the_defaults_of_options() {
        let help = |name: &str| {
            let mut command = Cli::command();
            let command = command.find_subcommand_mut(name).unwrap();
            let help = command.render_help().to_string();
            help.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let scan = help("scan");
        for line in [
            "Examples in the list of each sign case (gated neurons) [default: 16]",
            "Type of weights and activations [default: f32]",
            "share of `|hook_post| > τ` [default: 0.1]",
            "Field (JSON) or column (tables) that holds the text; `meta.text` is `text` inside `meta` [default: text]",
            "Time between checkpoints, such as 30s, 10m or 2h; 0 writes one after every batch [default: 10m]",
        ] {
            assert!(scan.contains(line), "{line} in {scan}");
        }
        assert!(
            help("analyze").contains(
                "Variance of v above which a neuron is a partition neuron [default: 0.005]"
            )
        );
        assert!(help("build").contains("Title of the site [default: neuroscope]"));
    }
}
