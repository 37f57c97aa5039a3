//! The CRD, alone and as a template of the chart.

use crate::adapters::kubernetes::resource::manifest;

const METADATA: &str = "metadata:\n";

const KEPT: &str = concat!(
    "  {{- if .Values.crds.keep }}\n",
    "  annotations:\n",
    "    helm.sh/resource-policy: keep\n",
    "  {{- end }}\n",
);

/// Returns the `CustomResourceDefinition` of `TraceBuffer` as YAML.
#[must_use]
pub fn crd_manifest() -> String {
    // Values of JSON always have a form in YAML.
    serde_saphyr::to_string(&manifest()).unwrap_or_default()
}

/// Returns the chart's template of it: there if `crds.enabled`, and left behind when the release goes
/// if `crds.keep`.
#[must_use]
pub fn chart_crd() -> String {
    let manifest = crd_manifest().replacen(METADATA, &format!("{METADATA}{KEPT}"), 1);
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
        assert_eq!(chart_crd().matches("{{").count(), 4);
        assert!(chart_crd().contains("\nmetadata:\n  {{- if .Values.crds.keep }}\n"));
    }
}
