//! The table and the file: every figure with its range, every target with its verdict.
//!
//! Refuses to hide a miss: a verdict comes from the median alone, and what was not run is named. Invariant: the file
//! holds each value that the table summarizes.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::spread::Spread;

/// Unit of a row's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    /// Frames, events or pairs in a second.
    PerSecond,
    /// Mebibytes.
    Mib,
    /// Milliseconds.
    Ms,
    /// Milliseconds for each gibibyte.
    MsPerGib,
    /// Milliseconds for each million ids.
    MsPerMillionIds,
    /// Nanoseconds of CPU for one event.
    CpuNs,
    /// Microseconds of CPU for one pair.
    CpuUs,
}

/// What a figure is to reach.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Target {
    /// The ratio's median is at least this.
    RatioAtLeast(f64),
    /// The value's median is at most this.
    AtMost(f64),
}

/// One line of the table.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    /// Part of the bench: a to i.
    pub(crate) part: &'static str,
    /// What was measured.
    pub(crate) what: String,
    /// Unit of the values.
    pub(crate) unit: Unit,
    /// One value of each repetition.
    pub(crate) values: Vec<f64>,
    /// One ratio of each repetition, to what was measured beside it.
    pub(crate) ratios: Vec<f64>,
    /// What the ratios refer to.
    pub(crate) base: &'static str,
    /// What is to be reached.
    pub(crate) target: Option<Target>,
}

impl Row {
    /// A row without ratio and target.
    pub(crate) fn new(part: &'static str, what: impl Into<String>, unit: Unit, values: Vec<f64>) -> Self {
        Self {
            part,
            what: what.into(),
            unit,
            values,
            ratios: Vec::new(),
            base: "",
            target: None,
        }
    }

    /// Adds ratios.
    pub(crate) fn against(mut self, base: &'static str, ratios: Vec<f64>) -> Self {
        (self.base, self.ratios) = (base, ratios);
        self
    }

    /// Adds a target.
    pub(crate) fn target(mut self, target: Target) -> Self {
        self.target = Some(target);
        self
    }

    /// Whether the target is met; `None` without a target or a value.
    pub(crate) fn is_met(&self) -> Option<bool> {
        match self.target? {
            Target::RatioAtLeast(bound) => Some(Spread::of(&self.ratios)?.median >= bound),
            Target::AtMost(bound) => Some(Spread::of(&self.values)?.median <= bound),
        }
    }

    fn cells(&self) -> [String; 5] {
        let value = Spread::of(&self.values).map_or_else(|| "–".to_owned(), |spread| self.unit.show(spread));
        let ratio = Spread::of(&self.ratios).map_or_else(String::new, |ratio| {
            format!(
                "{:.2} ({:.2}–{:.2}) × {}",
                ratio.median, ratio.min, ratio.max, self.base
            )
        });
        let target = match self.target {
            Some(Target::RatioAtLeast(bound)) => format!("≥ {bound} ×"),
            Some(Target::AtMost(bound)) => format!("≤ {bound} {}", self.unit.name()),
            None => String::new(),
        };
        let verdict = match self.is_met() {
            Some(true) => "met",
            Some(false) => "NOT MET",
            None => "",
        };
        [
            format!("{:<2} {}", self.part, self.what),
            value,
            ratio,
            target,
            verdict.to_owned(),
        ]
    }
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::PerSecond => "/s",
            Self::Mib => "MiB",
            Self::Ms => "ms",
            Self::MsPerGib => "ms/GiB",
            Self::MsPerMillionIds => "ms/M ids",
            Self::CpuNs => "ns CPU",
            Self::CpuUs => "µs CPU",
        }
    }

    fn show(self, spread: Spread) -> String {
        let number = |value: f64| match self {
            Self::PerSecond if value >= 999_500.0 => format!("{:.2}M", value / 1e6),
            Self::PerSecond => format!("{:.1}k", value / 1e3),
            Self::CpuNs | Self::MsPerGib | Self::MsPerMillionIds => format!("{value:.0}"),
            Self::Mib | Self::Ms | Self::CpuUs => format!("{value:.1}"),
        };
        let (median, min, max) = (number(spread.median), number(spread.min), number(spread.max));
        format!("{median} {} ({min}–{max})", self.name())
    }
}

/// Everything that one run found.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    /// The machine, its load and the run.
    pub(crate) conditions: Vec<String>,
    /// The table.
    pub(crate) rows: Vec<Row>,
    /// What was not run, and why.
    pub(crate) not_run: Vec<String>,
    /// What a reader of the table has to know.
    pub(crate) notes: Vec<String>,
}

impl Report {
    /// The table as text.
    pub(crate) fn table(&self) -> String {
        const HEAD: [&str; 5] = [
            "what",
            "median (least–most)",
            "ratio within a repetition",
            "target",
            "verdict",
        ];
        let mut lines = vec![HEAD.map(str::to_owned)];
        lines.extend(self.rows.iter().map(Row::cells));
        let width = |column: usize| {
            lines
                .iter()
                .map(|cells| cells[column].chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths = [width(0), width(1), width(2), width(3), width(4)];
        let mut text = String::new();
        for line in &self.conditions {
            writeln!(text, "{line}").expect("a string takes any text");
        }
        text.push('\n');
        for (number, cells) in lines.iter().enumerate() {
            let padded = cells
                .iter()
                .zip(widths)
                .map(|(cell, width)| format!("{cell:<width$}"));
            writeln!(text, "{}", padded.collect::<Vec<_>>().join("  ").trim_end())
                .expect("a string takes any text");
            if number == 0 {
                writeln!(text, "{}", "-".repeat(widths.iter().sum::<usize>() + 8))
                    .expect("a string takes any text");
            }
        }
        text.push('\n');
        for line in self
            .not_run
            .iter()
            .map(|line| format!("not run: {line}"))
            .chain(self.notes.clone())
        {
            writeln!(text, "{line}").expect("a string takes any text");
        }
        text
    }

    /// Writes the file into the folder of the build and gives its path.
    pub(crate) fn write(&self, target_dir: &Path) -> anyhow::Result<PathBuf> {
        let folder = target_dir.join("bench");
        std::fs::create_dir_all(&folder)?;
        let path = folder.join("report.json");
        std::fs::write(&path, serde_json::to_vec_pretty(self)?)?;
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::{Report, Row, Target, Unit};

    fn row(ratios: &[f64]) -> Row {
        Row::new(
            "b",
            "drain",
            Unit::PerSecond,
            vec![700_000.0, 1_200_000.0, 900_000.0],
        )
        .against("parse", ratios.to_vec())
        .target(Target::RatioAtLeast(0.5))
    }

    #[test]
    fn the_median_of_the_ratios_decides() {
        assert_eq!(row(&[0.4, 0.6, 0.5]).is_met(), Some(true));
        assert_eq!(row(&[0.4, 0.6, 0.49]).is_met(), Some(false));
        assert_eq!(row(&[]).is_met(), None);
        let memory = Row::new("d", "memory", Unit::Mib, vec![65.0]).target(Target::AtMost(64.0));
        assert_eq!(memory.is_met(), Some(false));
    }

    #[test]
    fn the_table_shows_range_target_and_verdict_and_what_was_not_run() {
        let report = Report {
            rows: vec![row(&[0.4, 0.6, 0.45])],
            not_run: vec!["c: no Java".to_owned()],
            ..Report::default()
        };
        let table = report.table();
        for part in [
            "900.0k /s (700.0k–1.20M)",
            "0.45 (0.40–0.60) × parse",
            "≥ 0.5 ×",
            "NOT MET",
            "not run: c: no Java",
        ] {
            assert!(table.contains(part), "{part} in {table}");
        }
    }
}
