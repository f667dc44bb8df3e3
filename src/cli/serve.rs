//! `neuroscope serve`

use anyhow::Result;
use clap::Args;

use super::Context;

#[derive(Args)]
pub(super) struct ServeArgs {}

pub(super) fn run(_context: Context, _args: &ServeArgs) -> Result<()> {
    Ok(())
}
