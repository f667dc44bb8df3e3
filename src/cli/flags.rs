//! Options that come from the project file first and from flags second, defined once for both.

use std::marker::PhantomData;

use clap::{ArgMatches, Args, Command, Error, FromArgMatches};

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

impl<T: Args> Args for Flags<T> {
    fn augment_args(command: Command) -> Command {
        T::augment_args_for_update(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        T::augment_args_for_update(command)
    }
}
