//! Reports of `tracebuffer analyze`, as text and as JSON.

use std::fmt;

use serde_json::{Value, json};

use crate::adapters::kubernetes::analysis::{Analysis, AnalyzedTraceBuffer, Diagnostic};
use crate::domain::text::pluralize;

/// The report on all files.
pub(super) struct Report {
    pub(super) files: Vec<FileReport>,
}

/// The report on one file.
pub(super) struct FileReport {
    /// The name of the file.
    pub(super) name: String,
    pub(super) outcome: FileOutcome,
}

pub(super) enum FileOutcome {
    Analyzed(Analysis),
    /// The file cannot be read or parsed, with the error.
    Unreadable(String),
}

impl Report {
    /// Returns whether there is any error or unreadable file.
    pub(super) fn has_errors(&self) -> bool {
        self.count(|object| object.errors.len()) > 0 || self.unreadable_files() > 0
    }

    /// Returns the report as JSON.
    pub(super) fn to_json(&self) -> String {
        let files: Vec<_> = self.files.iter().map(FileReport::value).collect();
        let value = json!({
            "files": files,
            "errors": self.count(|object| object.errors.len()) + self.unreadable_files(),
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
            FileOutcome::Unreadable(error) => json!({ "file": self.name, "unreadable": error }),
            FileOutcome::Analyzed(analysis) => json!({
                "file": self.name,
                "traceBuffers": analysis.trace_buffers.iter().map(object_value).collect::<Vec<_>>(),
                "ignored": analysis.ignored,
            }),
        }
    }
}

fn object_value(object: &AnalyzedTraceBuffer) -> Value {
    let values = |diagnostics: &[Diagnostic]| {
        let value = |Diagnostic { line, field, message }: &Diagnostic| json!({ "line": line, "field": field, "message": message });
        diagnostics.iter().map(value).collect::<Vec<_>>()
    };
    json!({
        "name": object.name,
        "line": object.line,
        "errors": values(&object.errors),
        "warnings": values(&object.warnings),
    })
}

impl fmt::Display for Report {
    /// Writes a line for each error and warning, `file:line: TraceBuffer name: …`, and their number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for file in &self.files {
            write!(f, "{file}")?;
        }
        let errors = self.count(|object| object.errors.len()) + self.unreadable_files();
        let warnings = self.count(|object| object.warnings.len());
        let objects = pluralize(self.objects().count(), "TraceBuffer");
        let (errors, warnings) = (pluralize(errors, "error"), pluralize(warnings, "warning"));
        writeln!(f, "{objects}: {errors}, {warnings}")
    }
}

impl fmt::Display for FileReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = &self.name;
        let analysis = match &self.outcome {
            FileOutcome::Analyzed(analysis) => analysis,
            FileOutcome::Unreadable(error) => return writeln!(f, "{file}: {error}"),
        };
        for other in &analysis.ignored {
            writeln!(f, "{file}: ignored: {other}")?;
        }
        for object in &analysis.trace_buffers {
            for (diagnostics, prefix) in [(&object.errors, ""), (&object.warnings, "warning: ")] {
                for Diagnostic { line, field, message } in diagnostics {
                    let name = &object.name;
                    writeln!(f, "{file}:{line}: {prefix}TraceBuffer {name}: {field} {message}")?;
                }
            }
        }
        Ok(())
    }
}
