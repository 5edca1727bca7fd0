//! `xvrrp explain`: what a code of `xvrrp check` means, why it matters, and what to do.

use std::process::ExitCode;

use super::output::print;
use crate::config::explain;

/// Options of `xvrrp explain`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Code, such as XV0701; all codes where absent
    #[arg(value_name = "CODE")]
    pub code: Option<String>,
}

/// Prints one explanation, or the list of codes.
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    let Some(code) = &args.code else {
        let list: String = explain::all().map(|one| format!("{}  {}\n", one.code, one.title)).collect();
        return print(&format!("{list}\n`xvrrp explain CODE` says more.\n"));
    };
    match explain::of(code) {
        Some(one) => print(&render(&one)),
        None => {
            eprintln!("xvrrp: there is no code '{code}'; `xvrrp explain` lists them");
            ExitCode::FAILURE
        }
    }
}

/// As text: examples are indented instead of fenced.
fn render(one: &explain::Explanation) -> String {
    let mut text = format!("{}: {}\n\n", one.code, one.title);
    let mut inside = false;
    for line in one.text.lines() {
        if line.starts_with("```") {
            inside = !inside;
        } else if inside && !line.is_empty() {
            text.push_str(&format!("    {line}\n"));
        } else {
            text.push_str(&format!("{line}\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_indented() {
        let text = render(&explain::of("XV0301").expect("explained"));
        assert!(text.starts_with("XV0301: A keyword is unknown.\n\n"), "{text}");
        assert!(text.contains("\n    priorty 150\n") && !text.contains("```"), "{text}");
        assert!(text.contains("\nFix: "), "{text}");
    }
}
