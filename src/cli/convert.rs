//! `router convert`: a configuration of the VMware Event Router as `router.toml`.

use std::io::Write;
use std::path::Path;

use crate::config::legacy::Converted;
use crate::config::load;
use crate::config::problem::Problem;

/// The text to print. What is odd in the old file is told on `notes`.
///
/// # Errors
/// All problems of the old file.
pub(super) fn convert(old: &Path, notes: &mut dyn Write) -> Result<String, Vec<Problem>> {
    let Converted { toml, config, warnings } = load::convert(old)?;
    // Certificates lie where the router runs, which need not be here.
    let is_elsewhere = |problem: &Problem| problem.key.starts_with("certificates.");
    let (absent, problems): (Vec<_>, Vec<_>) =
        config.err().unwrap_or_default().into_iter().partition(is_elsewhere);
    if !problems.is_empty() {
        return Err(problems);
    }
    for note in warnings.iter().chain(&absent) {
        // If standard error is closed, nobody wants to know.
        let _ = writeln!(notes, "router: {note}");
    }
    Ok(toml)
}
