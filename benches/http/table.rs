//! The results, as a table in Markdown.

use std::fmt;

/// Ours and theirs, round by round.
pub(crate) struct Pairs<T>(pub(crate) Vec<(T, T)>);

impl<T> Pairs<T> {
    pub(crate) fn map<U>(&self, each: impl Fn(&T) -> U) -> Pairs<U> {
        Pairs(self.0.iter().map(|(ours, theirs)| (each(ours), each(theirs))).collect())
    }
}

/// Lines, each with what was measured, ours, theirs, their ratio, and what it should be.
#[derive(Default)]
pub(crate) struct Table(Vec<[String; 5]>);

impl Table {
    /// Medians, and the median of the ratios with the lowest and the highest.
    pub(crate) fn compare(&mut self, what: &str, with: &str, aim: &str, pairs: &Pairs<f64>) {
        let (ours, theirs): (Vec<_>, Vec<_>) = pairs.0.iter().copied().unzip();
        let ratios = Spread::of(pairs.0.iter().map(|(ours, theirs)| ours / theirs));
        self.0.push([
            what.to_owned(),
            rounded(Spread::of(ours).median),
            format!("{with}: {}", rounded(Spread::of(theirs).median)),
            format!("{:.2} ({:.2}–{:.2})", ratios.median, ratios.lowest, ratios.highest),
            aim.to_owned(),
        ]);
    }

    /// A median, with the lowest and the highest where there are several.
    pub(crate) fn plain(&mut self, what: &str, values: &[f64]) {
        let Spread {
            lowest,
            median,
            highest,
        } = Spread::of(values.iter().copied());
        let mut shown = rounded(median);
        if values.len() > 1 {
            shown = format!("{shown} ({}–{})", rounded(lowest), rounded(highest));
        }
        self.0
            .push([what.to_owned(), shown, String::new(), String::new(), String::new()]);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| measured | shild | next to | ratio (lowest–highest) | aim |")?;
        writeln!(f, "|---|---|---|---|---|")?;
        for line in &self.0 {
            writeln!(f, "| {} |", line.join(" | "))?;
        }
        Ok(())
    }
}

/// Requests a second and processor time a request of each layer, round by round.
pub(crate) struct Layers(pub(crate) Vec<(&'static str, Vec<(f64, f64)>)>);

impl fmt::Display for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| layer | requests/s | of the bare route | processor µs a request | more than the layer before |"
        )?;
        writeln!(f, "|---|---|---|---|---|")?;
        let median = |values: &[(f64, f64)], which: fn(&(f64, f64)) -> f64| Spread::of(values.iter().map(which)).median;
        let bare = median(&self.0[0].1, |round| round.0);
        let mut before = None;
        for (name, rounds) in &self.0 {
            let (rate, micros) = (median(rounds, |round| round.0), median(rounds, |round| round.1));
            let more = before.map_or_else(String::new, |before| format!("{:.1}", micros - before));
            writeln!(
                f,
                "| {name} | {} | {:.2} | {micros:.1} | {more} |",
                rounded(rate),
                rate / bare
            )?;
            before = Some(micros);
        }
        Ok(())
    }
}

struct Spread {
    lowest: f64,
    median: f64,
    highest: f64,
}

impl Spread {
    /// # Panics
    /// If there are no values.
    fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        Self {
            lowest: values[0],
            median: values[values.len() / 2],
            highest: values[values.len() - 1],
        }
    }
}

/// Three significant figures, or all of a whole number.
fn rounded(value: f64) -> String {
    let decimals = if value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    format!("{value:.decimals$}")
}
