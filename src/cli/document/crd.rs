//! The CRD, alone and as a template of the chart.

use crate::adapters::kubernetes::resource::manifest;

const METADATA: &str = "metadata:\n";

/// Labels and annotations, which the chart's helpers make from its values.
const TEMPLATED: &str = "  {{- include \"tracebuffer.crdMetadata\" . | nindent 2 }}\n";

/// Returns the `CustomResourceDefinition` of `TraceBuffer` as YAML.
#[must_use]
pub fn crd_manifest() -> String {
    // Values of JSON always have a form in YAML.
    serde_saphyr::to_string(&manifest()).unwrap_or_default()
}

/// Returns the chart's template of it: rendered if `crds.enabled`, with the chart's labels and annotations.
#[must_use]
pub fn chart_crd() -> String {
    let manifest = crd_manifest().replacen(METADATA, &format!("{METADATA}{TEMPLATED}"), 1);
    format!("{{{{- if .Values.crds.enabled }}}}\n{manifest}{{{{- end }}}}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_is_read_back_as_it_was_meant() {
        let read: serde_json::Value = serde_saphyr::from_str(&crd_manifest()).unwrap();

        assert_eq!(read, manifest());
    }

    #[test]
    fn the_template_has_no_actions_but_its_own() {
        assert!(!crd_manifest().contains("{{"));
        assert_eq!(chart_crd().matches("{{").count(), 3);
        assert!(chart_crd().contains(&format!("\nmetadata:\n{TEMPLATED}")));
    }
}
