{{/* Checks beyond values.schema.json. */}}
{{- define "tracebuffer.validate" -}}
{{- if eq (int .Values.webhook.port) (int .Values.admin.port) -}}
{{- fail (printf "webhook.port and admin.port are both %d; set different ports" (int .Values.webhook.port)) -}}
{{- end -}}
{{- if and (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) -}}
{{- fail "serviceAccount.create is false; set serviceAccount.name to an existing ServiceAccount" -}}
{{- end -}}
{{- if and (ne (toString .Values.podDisruptionBudget.minAvailable) "") (ne (toString .Values.podDisruptionBudget.maxUnavailable) "") -}}
{{- fail "podDisruptionBudget.minAvailable and podDisruptionBudget.maxUnavailable exclude each other; set one of them" -}}
{{- end -}}
{{- include "tracebuffer.validateDefault" .Values.defaultTraceBuffer -}}
{{- include "tracebuffer.validateEnv" .Values.extraEnv -}}
{{- include "tracebuffer.validateRelease" . -}}
{{- end -}}

{{- define "tracebuffer.validateDefault" -}}
{{- $name := . | splitList "/" | last -}}
{{- if and . (or (gt (len $name) 253) (not (regexMatch "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?/[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$" .))) -}}
{{- fail (printf "defaultTraceBuffer is %q; set it to a namespace and the name of a TraceBuffer in it, such as observability/default" .) -}}
{{- end -}}
{{- if has $name (list "true" "false" "enabled" "disabled") -}}
{{- fail (printf "defaultTraceBuffer is %q; no TraceBuffer can have this name" .) -}}
{{- end -}}
{{- end -}}

{{/* Server-side apply rejects a variable that is twice in a container. */}}
{{- define "tracebuffer.validateEnv" -}}
{{- $own := list "NAMESPACE" "POD_NAME" "LEASE_NAME" "REFERENCES" "SIDECAR_IMAGE" "SIDECAR_IMAGE_PULL_POLICY" -}}
{{- $own = concat $own (list "WEBHOOK_NAME" "WEBHOOK_HOST" "WEBHOOK_ADDR" "ADMIN_ADDR" "LOG_LEVEL" "LOG_FORMAT") -}}
{{- $own = concat $own (list "CERTIFICATES" "CERTIFICATE_SECRET" "CERTIFICATE_CA_FILE" "CERTIFICATE_LEASE_NAME") -}}
{{- $own = concat $own (list "DEFAULT_TRACE_BUFFER" "EXCLUDED_NAMESPACES") -}}
{{- range . -}}
{{- if and (hasPrefix "TRACEBUFFER_" .name) (has (trimPrefix "TRACEBUFFER_" .name) $own) -}}
{{- fail (printf "extraEnv has %s, which the chart sets; use the chart's value for it" .name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The CustomResourceDefinition and the webhooks are cluster-scoped, and there is one leader, so there is one
     release. `lookup` finds nothing in `helm template`. */}}
{{- define "tracebuffer.validateRelease" -}}
{{- $found := lookup "admissionregistration.k8s.io/v1" "MutatingWebhookConfiguration" "" "" -}}
{{- range ($found).items -}}
{{- $object := .metadata.name -}}
{{- $annotations := .metadata.annotations | default dict -}}
{{- $name := get $annotations "meta.helm.sh/release-name" -}}
{{- $namespace := get $annotations "meta.helm.sh/release-namespace" -}}
{{- $same := and (eq $name $.Release.Name) (eq $namespace $.Release.Namespace) -}}
{{- /* Helm itself decides whether to adopt an object of the same name that no release owns. */ -}}
{{- $adopted := and (not $name) (eq $object (include "tracebuffer.fullname" $)) -}}
{{- range .webhooks -}}
{{- if and (eq .name "inject.tracebuffer.dev") (not (or $same $adopted)) -}}
{{- if $name -}}
{{- fail (printf "tracebuffer is already installed in this cluster, as release %s in namespace %s. One release serves all namespaces: upgrade that one (helm upgrade %s --namespace %s), or uninstall it first (helm uninstall %s --namespace %s), which keeps TraceBuffers and running sidecars" $name $namespace $name $namespace $name $namespace) -}}
{{- else -}}
{{- fail (printf "tracebuffer is already installed in this cluster, not by Helm: MutatingWebhookConfiguration %s serves inject.tracebuffer.dev. One installation serves all namespaces: remove that one first" $object) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
