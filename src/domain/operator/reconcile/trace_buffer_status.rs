//! The status of a `TraceBuffer`, as its object has it.

/// The status of a `TraceBuffer`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The generation of the spec that the status describes.
    pub observed_generation: Option<i64>,
    /// The conditions, including those of other controllers, which are kept unchanged.
    pub conditions: Vec<Condition>,
    /// The number of pods, by the state of their sidecars.
    pub pods: PodCounts,
}

/// One condition of a status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The type, such as `Accepted`.
    pub type_: String,
    /// Whether the condition holds.
    pub status: ConditionStatus,
    /// The reason, in one word.
    pub reason: String,
    /// The reason, in human-readable form.
    pub message: String,
    /// Unix time in seconds at which `status` last changed; `None` means now.
    pub last_transition_time: Option<i64>,
    /// The generation of the spec that the condition describes.
    pub observed_generation: Option<i64>,
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionStatus {
    /// The condition holds.
    True,
    /// The condition does not hold.
    False,
    /// It cannot be determined whether the condition holds.
    Unknown,
}

/// The number of pods that use a `TraceBuffer` or ask for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PodCounts {
    /// All of them.
    pub total: u32,
    /// Pods whose sidecar matches the spec.
    pub current: u32,
    /// Pods whose sidecar predates a change that only a new pod can receive.
    pub outdated: u32,
    /// Pods without the sidecar they ask for.
    pub missing: u32,
    /// Pods whose sidecar does not run.
    pub failing: u32,
    /// Pods, of those with a sidecar, in which a container sends its traces elsewhere.
    pub bypassing: u32,
}
