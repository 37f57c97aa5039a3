//! What was found, for people and for programs.

use std::fmt;

use serde_json::{Value, json};

use crate::adapters::kubernetes::analysis::{Analysis, Analyzed, Remark};
use crate::domain::injection::words::counted;

/// What was found in all files.
pub(super) struct Report {
    pub(super) files: Vec<FileReport>,
}

/// What was found in one.
pub(super) struct FileReport {
    /// As it was named.
    pub(super) name: String,
    pub(super) outcome: Outcome,
}

pub(super) enum Outcome {
    Analyzed(Analysis),
    /// Why it could not be.
    Unreadable(String),
}

impl Report {
    /// Returns whether anything is wrong, unreadable files included.
    pub(super) fn has_mistakes(&self) -> bool {
        self.count(|object| object.mistakes.len()) > 0 || self.unreadable() > 0
    }

    /// Returns it as JSON.
    pub(super) fn json(&self) -> String {
        let files: Vec<_> = self.files.iter().map(FileReport::value).collect();
        let value = json!({
            "files": files,
            "mistakes": self.count(|object| object.mistakes.len()) + self.unreadable(),
            "warnings": self.count(|object| object.warnings.len()),
        });
        format!("{value:#}\n")
    }

    fn objects(&self) -> impl Iterator<Item = &Analyzed> {
        self.files.iter().flat_map(FileReport::objects)
    }

    fn count(&self, of: fn(&Analyzed) -> usize) -> usize {
        self.objects().map(of).sum()
    }

    fn unreadable(&self) -> usize {
        let is_unreadable = |file: &&FileReport| matches!(file.outcome, Outcome::Unreadable(_));
        self.files.iter().filter(is_unreadable).count()
    }
}

impl FileReport {
    fn objects(&self) -> &[Analyzed] {
        match &self.outcome {
            Outcome::Analyzed(analysis) => &analysis.objects,
            Outcome::Unreadable(_) => &[],
        }
    }

    fn value(&self) -> Value {
        match &self.outcome {
            Outcome::Unreadable(why) => json!({ "file": self.name, "unreadable": why }),
            Outcome::Analyzed(analysis) => json!({
                "file": self.name,
                "traceBuffers": analysis.objects.iter().map(object_value).collect::<Vec<_>>(),
                "ignored": analysis.ignored,
            }),
        }
    }
}

fn object_value(object: &Analyzed) -> Value {
    let values = |remarks: &[Remark]| {
        let value = |remark: &Remark| json!({ "line": remark.line, "field": remark.field, "message": remark.why });
        remarks.iter().map(value).collect::<Vec<_>>()
    };
    json!({
        "name": object.name,
        "line": object.line,
        "mistakes": values(&object.mistakes),
        "warnings": values(&object.warnings),
    })
}

impl fmt::Display for Report {
    /// Writes a line for each remark, `file:line: TraceBuffer name: …`, and a sum.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for file in &self.files {
            write!(f, "{file}")?;
        }
        let mistakes = self.count(|object| object.mistakes.len()) + self.unreadable();
        let warnings = self.count(|object| object.warnings.len());
        let objects = counted(self.objects().count(), "TraceBuffer");
        let (mistakes, warnings) = (counted(mistakes, "mistake"), counted(warnings, "warning"));
        writeln!(f, "{objects}: {mistakes}, {warnings}")
    }
}

impl fmt::Display for FileReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = &self.name;
        let analysis = match &self.outcome {
            Outcome::Analyzed(analysis) => analysis,
            Outcome::Unreadable(why) => return writeln!(f, "{file}: {why}"),
        };
        for other in &analysis.ignored {
            writeln!(f, "{file}: passed over: {other}")?;
        }
        for object in &analysis.objects {
            for (remarks, word) in [(&object.mistakes, ""), (&object.warnings, "warning: ")] {
                for Remark { line, field, why } in remarks {
                    let name = &object.name;
                    writeln!(f, "{file}:{line}: {word}TraceBuffer {name}: {field} {why}")?;
                }
            }
        }
        Ok(())
    }
}
