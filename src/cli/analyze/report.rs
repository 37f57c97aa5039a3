//! What was found, for people and for programs.

use std::fmt;

use serde_json::{Value, json};

use crate::adapters::kubernetes::analysis::{Analysis, AnalyzedTraceBuffer, Diagnostic};
use crate::domain::text::pluralize;

/// What was found in all files.
pub(super) struct Report {
    pub(super) files: Vec<FileReport>,
}

/// What was found in one.
pub(super) struct FileReport {
    /// As it was named.
    pub(super) name: String,
    pub(super) outcome: FileOutcome,
}

pub(super) enum FileOutcome {
    Analyzed(Analysis),
    /// Why it could not be.
    Unreadable(String),
}

impl Report {
    /// Returns whether anything is wrong, unreadable files included.
    pub(super) fn has_errors(&self) -> bool {
        self.count(|object| object.errors.len()) > 0 || self.unreadable_files() > 0
    }

    /// Returns it as JSON.
    pub(super) fn to_json(&self) -> String {
        let files: Vec<_> = self.files.iter().map(FileReport::value).collect();
        let value = json!({
            "files": files,
            "mistakes": self.count(|object| object.errors.len()) + self.unreadable_files(),
            "warnings": self.count(|object| object.warnings.len()),
        });
        format!("{value:#}\n")
    }

    fn objects(&self) -> impl Iterator<Item = &AnalyzedTraceBuffer> {
        self.files.iter().flat_map(FileReport::objects)
    }

    fn count(&self, of: fn(&AnalyzedTraceBuffer) -> usize) -> usize {
        self.objects().map(of).sum()
    }

    fn unreadable_files(&self) -> usize {
        let is_unreadable = |file: &&FileReport| matches!(file.outcome, FileOutcome::Unreadable(_));
        self.files.iter().filter(is_unreadable).count()
    }
}

impl FileReport {
    fn objects(&self) -> &[AnalyzedTraceBuffer] {
        match &self.outcome {
            FileOutcome::Analyzed(analysis) => &analysis.trace_buffers,
            FileOutcome::Unreadable(_) => &[],
        }
    }

    fn value(&self) -> Value {
        match &self.outcome {
            FileOutcome::Unreadable(why) => json!({ "file": self.name, "unreadable": why }),
            FileOutcome::Analyzed(analysis) => json!({
                "file": self.name,
                "traceBuffers": analysis.trace_buffers.iter().map(object_value).collect::<Vec<_>>(),
                "ignored": analysis.ignored,
            }),
        }
    }
}

fn object_value(object: &AnalyzedTraceBuffer) -> Value {
    let values = |remarks: &[Diagnostic]| {
        let value = |remark: &Diagnostic| json!({ "line": remark.line, "field": remark.field, "message": remark.message });
        remarks.iter().map(value).collect::<Vec<_>>()
    };
    json!({
        "name": object.name,
        "line": object.line,
        "mistakes": values(&object.errors),
        "warnings": values(&object.warnings),
    })
}

impl fmt::Display for Report {
    /// Writes a line for each remark, `file:line: TraceBuffer name: …`, and a sum.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for file in &self.files {
            write!(f, "{file}")?;
        }
        let mistakes = self.count(|object| object.errors.len()) + self.unreadable_files();
        let warnings = self.count(|object| object.warnings.len());
        let objects = pluralize(self.objects().count(), "TraceBuffer");
        let (mistakes, warnings) = (pluralize(mistakes, "error"), pluralize(warnings, "warning"));
        writeln!(f, "{objects}: {mistakes}, {warnings}")
    }
}

impl fmt::Display for FileReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = &self.name;
        let analysis = match &self.outcome {
            FileOutcome::Analyzed(analysis) => analysis,
            FileOutcome::Unreadable(why) => return writeln!(f, "{file}: {why}"),
        };
        for other in &analysis.ignored {
            writeln!(f, "{file}: ignored: {other}")?;
        }
        for object in &analysis.trace_buffers {
            for (remarks, word) in [(&object.errors, ""), (&object.warnings, "warning: ")] {
                for Diagnostic { line, field, message: why } in remarks {
                    let name = &object.name;
                    writeln!(f, "{file}:{line}: {word}TraceBuffer {name}: {field} {why}")?;
                }
            }
        }
        Ok(())
    }
}
