//! Plots as SVG: bars by group, and lines over a logarithmic axis. Simple enough to need no library.

use std::fmt::Write as _;

const COLORS: [&str; 6] = ["#1b6ca8", "#d1495b", "#66a182", "#edae49", "#7b5ea7", "#444444"];
const FONT: &str = "font-family=\"sans-serif\" font-size=\"12\"";

/// A bar of a group.
pub struct Bar {
    /// What all bars of the group are of.
    pub group: String,
    /// Whose it is: one color for each name.
    pub name: &'static str,
    /// How long it is.
    pub value: f64,
}

/// Horizontal bars on a logarithmic axis.
pub fn bars(title: &str, bars: &[Bar]) -> String {
    let least = bars.iter().map(|bar| bar.value).fold(f64::INFINITY, f64::min).max(1e-3);
    let most = bars.iter().map(|bar| bar.value).fold(0.0, f64::max).max(least * 10.0);
    let axis = Axis::new(least.log10().floor(), most.log10().ceil(), 260.0, 860.0);
    let mut names: Vec<&str> = Vec::new();
    let (mut body, mut y, mut group) = (String::new(), 70.0, "");
    for bar in bars {
        if bar.group != group {
            group = &bar.group;
            y += 10.0;
            text(&mut body, 250.0, y + 12.0, "end", group);
        }
        let color = color(&mut names, bar.name);
        let end = axis.at(bar.value);
        let width = (end - axis.from).max(1.0);
        rect(&mut body, (axis.from, y), (width, 14.0), color);
        text(&mut body, end + 4.0, y + 12.0, "start", &format!("{:.2}", bar.value));
        y += 17.0;
    }
    axis.ticks(&mut body, 60.0, y);
    legend(&mut body, &names, 45.0);
    svg(920.0, y + 20.0, title, &body)
}

/// Values over something that grows.
pub struct Line {
    /// Whose it is.
    pub name: String,
    /// What grew, and the value then.
    pub points: Vec<(f64, f64)>,
}

/// A frame with lines: both axes are logarithmic, so that a value that grows in proportion is a straight diagonal.
pub fn lines(title: &str, across: &str, up: &str, lines: &[Line]) -> String {
    let xs = || lines.iter().flat_map(|line| line.points.iter().map(|point| point.0));
    let ys = || lines.iter().flat_map(|line| line.points.iter().map(|point| point.1));
    let low = |values: &mut dyn Iterator<Item = f64>| values.fold(f64::INFINITY, f64::min).max(1e-9).log10();
    let high = |values: &mut dyn Iterator<Item = f64>| values.fold(1e-9, f64::max).log10();
    let horizontal = Axis::new(low(&mut xs()), high(&mut xs()).max(low(&mut xs()) + 0.1), 70.0, 680.0);
    let vertical = Axis::new(low(&mut ys()).floor(), high(&mut ys()).ceil(), 340.0, 60.0);
    let (mut body, mut names) = (String::new(), Vec::new());
    for line in lines {
        let color = color(&mut names, &line.name);
        let at = |(x, y): &(f64, f64)| format!("{:.1},{:.1}", horizontal.at(*x), vertical.at(*y));
        let path: Vec<String> = line.points.iter().map(at).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(body, "<polyline fill=\"none\" stroke=\"{color}\" points=\"{}\"/>", path.join(" "));
        for (x, y) in &line.points {
            let (left, top) = (horizontal.at(*x), vertical.at(*y));
            let _ = writeln!(body, "<circle cx=\"{left:.1}\" cy=\"{top:.1}\" r=\"3\" fill=\"{color}\"/>");
            text(&mut body, left, top - 7.0, "middle", &short(*y));
            text(&mut body, left, 358.0, "middle", &short(*x));
        }
    }
    text(&mut body, 375.0, 380.0, "middle", across);
    text(&mut body, 10.0, 55.0, "start", up);
    legend(&mut body, &names, 40.0);
    svg(720.0, 395.0, title, &body)
}

/// Powers of ten between two pixels.
struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Axis {
    fn new(low: f64, high: f64, from: f64, to: f64) -> Self {
        Self { low, high: high.max(low + 1e-6), from, to }
    }

    fn at(&self, value: f64) -> f64 {
        let share = (value.max(1e-9).log10() - self.low) / (self.high - self.low);
        self.from + share.clamp(0.0, 1.0) * (self.to - self.from)
    }

    fn ticks(&self, body: &mut String, top: f64, bottom: f64) {
        for power in self.low.ceil() as i32..=self.high.floor() as i32 {
            let (x, value) = (self.at(10_f64.powi(power)), 10_f64.powi(power));
            // Writing to a string cannot fail.
            let _ =
                writeln!(body, "<path d=\"M{x:.1} {top}V{bottom:.1}\" stroke=\"#cccccc\" stroke-dasharray=\"2 3\"/>");
            text(body, x, bottom + 14.0, "middle", &short(value));
        }
    }
}

fn short(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{}M", round(value / 1e6)),
        value if value >= 1e3 => format!("{}k", round(value / 1e3)),
        value => round(value),
    }
}

fn round(value: f64) -> String {
    if value >= 10.0 || value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

fn color<'n>(names: &mut Vec<&'n str>, name: &'n str) -> &'static str {
    let at = names.iter().position(|known| *known == name).unwrap_or_else(|| {
        names.push(name);
        names.len() - 1
    });
    COLORS[at % COLORS.len()]
}

fn legend(body: &mut String, names: &[&str], y: f64) {
    for (index, name) in names.iter().enumerate() {
        let x = 260.0 + index as f64 * 140.0;
        rect(body, (x, y - 10.0), (10.0, 10.0), COLORS[index % COLORS.len()]);
        text(body, x + 15.0, y, "start", name);
    }
}

fn rect(body: &mut String, (x, y): (f64, f64), (width, height): (f64, f64), color: &str) {
    let size = format!("width=\"{width:.1}\" height=\"{height}\"");
    // Writing to a string cannot fail.
    let _ = writeln!(body, "<rect x=\"{x:.1}\" y=\"{y:.1}\" {size} fill=\"{color}\"/>");
}

fn text(body: &mut String, x: f64, y: f64, anchor: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    // Writing to a string cannot fail.
    let _ = writeln!(body, "<text x=\"{x:.1}\" y=\"{y:.1}\" {FONT} text-anchor=\"{anchor}\">{words}</text>");
}

fn svg(width: f64, height: f64, title: &str, body: &str) -> String {
    let mut heading = String::new();
    text(&mut heading, 10.0, 20.0, "start", title);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height:.0}\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{heading}{body}</svg>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_ten_times_as_large_is_one_power_further_on_the_axis() {
        let axis = Axis::new(0.0, 2.0, 100.0, 300.0);
        assert_eq!([axis.at(1.0), axis.at(10.0), axis.at(100.0)], [100.0, 200.0, 300.0]);
    }

    #[test]
    fn names_have_one_color_each_and_words_are_escaped() {
        let bar = |group: &str, name, value| Bar { group: group.to_owned(), name, value };
        let svg = bars("a < b", &[bar("one", "ours", 1.0), bar("one", "theirs", 10.0), bar("two", "ours", 2.0)]);
        assert_eq!(svg.matches(COLORS[0]).count(), 3, "two bars and the legend");
        assert!(svg.contains("a &lt; b") && svg.ends_with("</svg>\n"));
    }
}
