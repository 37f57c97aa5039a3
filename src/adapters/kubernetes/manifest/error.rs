//! Errors of a manifest.

use thiserror::Error;

/// Why sidecars cannot be injected into a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ManifestError {
    /// The manifest is not YAML or JSON.
    #[error("document {document}: {message}")]
    Syntax {
        /// The number of the document in the manifest, from 1.
        document: usize,
        /// The message of the parser.
        message: String,
    },
    /// An object has no valid pod or pod template.
    #[error("{object}: {field} {message}")]
    InvalidPod {
        /// The kind and the name of the object, such as `Deployment web`.
        object: String,
        /// The path of the field in the object.
        field: String,
        /// What is wrong with the field.
        message: String,
    },
    /// A `TraceBuffer` has errors.
    #[error("TraceBuffer {key}: {message}")]
    InvalidTraceBuffer {
        /// The namespace and the name of the `TraceBuffer`.
        key: String,
        /// The errors.
        message: String,
    },
    /// The manifest contains no `TraceBuffer` of this API version.
    #[error("no object of kind TraceBuffer and apiVersion {0} was found")]
    NoTraceBuffer(String),
    /// The result cannot be serialized.
    #[error("the result cannot be serialized: {0}")]
    NotSerializable(String),
}
