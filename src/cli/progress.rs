//! How far long work has come: on a terminal only, and on standard error.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often it is drawn.
const PACE: Duration = Duration::from_millis(100);

/// Counts up to a number that nobody knows.
pub(super) fn counter(unit: &str) -> ProgressBar {
    styled(
        ProgressBar::no_length(),
        &format!("{{spinner}} {{human_pos}} {unit}, {{elapsed}}"),
    )
}

/// Counts up to a number that may become known later.
pub(super) fn bar(unit: &str) -> ProgressBar {
    let template = format!("{{wide_bar}} {{human_pos}} of {{human_len}} {unit}, {{eta}} left");
    styled(ProgressBar::new(0), &template)
}

fn styled(bar: ProgressBar, template: &str) -> ProgressBar {
    // indicatif draws nothing where this is no terminal.
    bar.set_draw_target(ProgressDrawTarget::stderr());
    bar.set_style(ProgressStyle::with_template(template).expect("the templates above are good ones"));
    bar.enable_steady_tick(PACE);
    bar
}
