{{- define "tracebuffer.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "tracebuffer.fullname" -}}
{{- $name := include "tracebuffer.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "tracebuffer.namespace" -}}
{{- .Values.namespaceOverride | default .Release.Namespace -}}
{{- end -}}

{{- define "tracebuffer.selectorLabels" -}}
app.kubernetes.io/name: {{ include "tracebuffer.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{/* Labels of every object. The chart's own take precedence over commonLabels. */}}
{{- define "tracebuffer.labels" -}}
{{- $version := dict "app.kubernetes.io/version" .Chart.AppVersion "app.kubernetes.io/managed-by" .Release.Service -}}
{{- $chart := dict "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_") -}}
{{- merge (include "tracebuffer.selectorLabels" . | fromYaml) $version $chart (.Values.commonLabels | default dict) | toYaml -}}
{{- end -}}

{{/* Labels of every object, and more: (list $ LABELS). */}}
{{- define "tracebuffer.labelsWith" -}}
{{- merge (include "tracebuffer.labels" (first .) | fromYaml) (last . | default dict) | toYaml -}}
{{- end -}}

{{/* Metadata of the CustomResourceDefinition besides its name; crd.yaml is generated. */}}
{{- define "tracebuffer.crdMetadata" -}}
{{- $keep := .Values.crds.keep | ternary (dict "helm.sh/resource-policy" "keep") dict -}}
{{- with merge $keep (.Values.crds.annotations | default dict) -}}
annotations: {{- toYaml . | nindent 2 }}
{{ end -}}
labels: {{- include "tracebuffer.labels" . | nindent 2 }}
{{- end -}}

{{/* Reference of an image: (list $ IMAGE). */}}
{{- define "tracebuffer.imageReference" -}}
{{- $root := first . -}}
{{- $image := last . -}}
{{- with ($root.Values.global).imageRegistry | default $image.registry }}{{ trimSuffix "/" . }}/{{ end -}}
{{- $image.repository }}:{{ $image.tag | default $root.Chart.AppVersion }}{{ with $image.digest }}@{{ . }}{{ end -}}
{{- end -}}

{{- define "tracebuffer.image" -}}
{{- include "tracebuffer.imageReference" (list . .Values.image) -}}
{{- end -}}

{{/* A digest identifies one image: with another repository or tag, the operator's is not inherited. */}}
{{- define "tracebuffer.sidecarImage" -}}
{{- $image := .Values.sidecar.image -}}
{{- $inherited := empty (or $image.repository $image.tag) | ternary .Values.image (omit .Values.image "digest") -}}
{{- $fields := dict -}}
{{- range list "registry" "repository" "tag" "digest" -}}
{{- $_ := set $fields . (get $image . | default (get $inherited .)) -}}
{{- end -}}
{{- include "tracebuffer.imageReference" (list . $fields) -}}
{{- end -}}

{{/* Pull secrets of the release and of a parent chart, in which they may be names. */}}
{{- define "tracebuffer.imagePullSecrets" -}}
{{- $secrets := list -}}
{{- range concat ((.Values.global).imagePullSecrets | default list) (.Values.imagePullSecrets | default list) -}}
{{- $secrets = append $secrets (kindIs "string" . | ternary (dict "name" .) .) -}}
{{- end -}}
{{- with $secrets -}}
imagePullSecrets: {{- uniq . | toYaml | nindent 2 }}
{{- end -}}
{{- end -}}

{{- define "tracebuffer.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "tracebuffer.fullname" .) -}}
{{- end -}}

{{- define "tracebuffer.webhookService" -}}
{{- include "tracebuffer.fullname" . }}-webhook
{{- end -}}

{{- define "tracebuffer.certificateSecret" -}}
{{- .Values.certificates.secretName | default (printf "%s-webhook-tls" (include "tracebuffer.fullname" .)) -}}
{{- end -}}

{{/* Mode and Secret of the writer of the webhook's caBundle; operators compare it with their own. */}}
{{- define "tracebuffer.certificateKeeper" -}}
{{- .Values.certificates.mode }}/{{ include "tracebuffer.certificateSecret" . }}
{{- end -}}

{{/* ConfigMap with the authority of certificates.caBundle; empty without that value. */}}
{{- define "tracebuffer.certificateAuthority" -}}
{{- if and (eq .Values.certificates.mode "existingSecret") .Values.certificates.caBundle -}}
{{ include "tracebuffer.webhookService" . }}-ca
{{- end -}}
{{- end -}}

{{/* Names of the operator's own objects, for the operator and for `check`. */}}
{{- define "tracebuffer.environment" -}}
- name: TRACEBUFFER_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: TRACEBUFFER_WEBHOOK_NAME
  value: {{ include "tracebuffer.fullname" . }}
- name: TRACEBUFFER_WEBHOOK_HOST
  value: {{ include "tracebuffer.webhookService" . }}.{{ include "tracebuffer.namespace" . }}.svc
- name: TRACEBUFFER_CERTIFICATE_SECRET
  value: {{ include "tracebuffer.certificateSecret" . }}
{{- end -}}
