//! Small panels side by side, as SVG: users to the right (by powers of ten), what was measured upwards from zero.

use std::fmt::Write as _;

/// The size of a panel, with what is around it, and of what is drawn in it.
const WIDTH: f64 = 240.0;
const HEIGHT: f64 = 190.0;
const LEFT: f64 = 40.0;
const TOP: f64 = 34.0;
const INNER_WIDTH: f64 = 180.0;
const INNER_HEIGHT: f64 = 120.0;

/// Colours that can be told apart by everybody (Okabe and Ito).
const COLOURS: [&str; 4] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7"];

/// One question.
pub(crate) struct Panel {
    pub(crate) title: String,
    pub(crate) lines: Vec<Line>,
}

/// One store's answers, by numbers of users.
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Vec<(u64, f64)>,
}

/// All panels in one row.
pub(crate) fn svg(panels: &[Panel]) -> String {
    let width = WIDTH * panels.len() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"10\">\n<rect width=\"{width}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n"
    );
    for (index, panel) in panels.iter().enumerate() {
        let x = WIDTH * index as f64;
        write!(svg, "<g transform=\"translate({x} 0)\">\n{}</g>\n", drawn(panel)).expect("text takes all");
    }
    svg + "</svg>\n"
}

fn drawn(panel: &Panel) -> String {
    let points = || panel.lines.iter().flat_map(|line| &line.points);
    let decades = points().map(|(users, _)| (*users as f64).log10());
    let (first, last) = decades.fold((f64::MAX, f64::MIN), |(low, high), at| (low.min(at), high.max(at)));
    let top = round_up(points().map(|(_, value)| *value).fold(0.0, f64::max));
    let x = |users: u64| LEFT + ((users as f64).log10() - first) / (last - first).max(1e-9) * INNER_WIDTH;
    let y = |value: f64| TOP + INNER_HEIGHT * (1.0 - value / top);

    let mut out = format!(
        "<text x=\"{LEFT}\" y=\"14\" font-weight=\"bold\">{}</text>\n",
        panel.title
    );
    for part in 0..=4 {
        let value = top * f64::from(part) / 4.0;
        let (at, right) = (y(value), LEFT + INNER_WIDTH);
        out += &format!(
            "<path d=\"M{LEFT} {at:.1}H{right}\" stroke=\"#ddd\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n",
            LEFT - 4.0,
            at + 3.0,
            short(value)
        );
    }
    for (users, _) in &panel.lines[0].points {
        out += &format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{users}</text>\n",
            x(*users),
            TOP + INNER_HEIGHT + 14.0
        );
    }
    for (line, colour) in panel.lines.iter().zip(COLOURS.iter().cycle()) {
        let path: Vec<_> = line
            .points
            .iter()
            .map(|(users, value)| format!("{:.1},{:.1}", x(*users), y(*value)))
            .collect();
        out += &format!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\n",
            path.join(" ")
        );
        for (users, value) in &line.points {
            out += &format!(
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{colour}\"/>\n",
                x(*users),
                y(*value)
            );
        }
    }
    let mut at = LEFT;
    for (line, colour) in panel.lines.iter().zip(COLOURS.iter().cycle()) {
        out += &format!("<text x=\"{at}\" y=\"27\" fill=\"{colour}\">{}</text>\n", line.name);
        at += 50.0;
    }
    out
}

/// The next number that is one, two, four or six times a power of ten.
fn round_up(value: f64) -> f64 {
    let decade = 10_f64.powf(value.max(1e-3).log10().floor());
    let steps = [1.0, 1.2, 1.6, 2.0, 4.0, 6.0, 8.0, 10.0].map(|step| step * decade);
    steps.into_iter().find(|step| *step >= value).unwrap_or(value)
}

fn short(value: f64) -> String {
    if value >= 10.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}
