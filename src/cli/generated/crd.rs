//! The CRD as a manifest, and as a template of the chart.

use crate::adapters::kubernetes::resource::crd_json;

const METADATA: &str = "metadata:\n";

/// Labels and annotations of the CRD, rendered by a helper of the chart from its values.
const TEMPLATED_METADATA: &str = "  {{- include \"tracebuffer.crdMetadata\" . | nindent 2 }}\n";

/// Returns the `CustomResourceDefinition` of `TraceBuffer` as YAML.
#[must_use]
pub fn crd_yaml() -> String {
    // Every JSON value can be written as YAML.
    serde_saphyr::to_string(&crd_json()).unwrap_or_default()
}

/// Returns the chart's template of the CRD, which is rendered if `crds.enabled` is set, with the
/// chart's labels and annotations.
#[must_use]
pub fn crd_chart_template() -> String {
    let manifest = crd_yaml().replacen(METADATA, &format!("{METADATA}{TEMPLATED_METADATA}"), 1);
    format!("{{{{- if .Values.crds.enabled }}}}\n{manifest}{{{{- end }}}}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_parses_back_to_the_crd() {
        let parsed: serde_json::Value = serde_saphyr::from_str(&crd_yaml()).unwrap();

        assert_eq!(parsed, crd_json());
    }

    #[test]
    fn the_template_contains_only_its_own_actions() {
        assert!(!crd_yaml().contains("{{"));
        assert_eq!(crd_chart_template().matches("{{").count(), 3);
        assert!(crd_chart_template().contains(&format!("\nmetadata:\n{TEMPLATED_METADATA}")));
    }
}
