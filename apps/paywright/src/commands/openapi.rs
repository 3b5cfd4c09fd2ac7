use std::io::Write as _;

/// Prints the API's description. Needs neither configuration nor database.
pub(crate) fn run() -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(crate::http::openapi::document())?;
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}
