{{- define "tracebuffer.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "tracebuffer.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "tracebuffer.labels" -}}
{{ include "tracebuffer.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "tracebuffer.image" -}}
{{- $tag := .Values.image.tag | default .Chart.AppVersion -}}
{{- .Values.image.repository }}:{{ $tag }}{{ with .Values.image.digest }}@{{ . }}{{ end -}}
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

{{/* Who keeps the webhook's caBundle: the operator knows itself by it. */}}
{{- define "tracebuffer.certificateKeeper" -}}
{{- .Values.certificates.mode }}/{{ include "tracebuffer.certificateSecret" . }}
{{- end -}}

{{/* Where the authority is that is given in certificates.caBundle; empty where it is not. */}}
{{- define "tracebuffer.certificateAuthority" -}}
{{- if and (eq .Values.certificates.mode "existingSecret") .Values.certificates.caBundle -}}
{{ include "tracebuffer.webhookService" . }}-ca
{{- end -}}
{{- end -}}

{{/* What the restricted level of pod security asks of a pod. */}}
{{- define "tracebuffer.podSecurityContext" -}}
runAsNonRoot: true
{{- if .Values.fixedUser }}
runAsUser: 65532
runAsGroup: 65532
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* What it asks of a container, and a root file system that cannot be written. */}}
{{- define "tracebuffer.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* The settings by which the operator finds its own parts; `check` uses them too. */}}
{{- define "tracebuffer.environment" -}}
- name: TRACEBUFFER_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: TRACEBUFFER_WEBHOOK_NAME
  value: {{ include "tracebuffer.fullname" . }}
- name: TRACEBUFFER_WEBHOOK_HOST
  value: {{ include "tracebuffer.webhookService" . }}.{{ .Release.Namespace }}.svc
- name: TRACEBUFFER_CERTIFICATE_SECRET
  value: {{ include "tracebuffer.certificateSecret" . }}
{{- end -}}
