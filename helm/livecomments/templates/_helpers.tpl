{{/* Names are cut so that the longest of ours, and the revision that a StatefulSet appends in a label, still fit. */}}
{{- define "livecomments.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* What never changes of a release: selectors are immutable. Takes the root, or (dict "root" $ "component" "edge"). */}}
{{- define "livecomments.selector" -}}
{{- $root := .root | default . -}}
app.kubernetes.io/name: {{ default $root.Chart.Name $root.Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end }}

{{- define "livecomments.labels" -}}
{{- $root := .root | default . -}}
{{ include "livecomments.selector" . }}
app.kubernetes.io/version: {{ $root.Values.image.tag | default $root.Chart.AppVersion | trunc 63 | quote }}
app.kubernetes.io/part-of: livecomments
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The metadata of an object: (dict "root" $ "component" "edge" "name" "edge-pods" "labels" {…} "annotations" {…}). */}}
{{- define "livecomments.metadata" -}}
name: {{ .fullname | default (include "livecomments.fullname" .root) }}{{ with .name }}-{{ . }}{{ end }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "livecomments.labels" . | nindent 2 }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with merge (dict) (.annotations | default dict) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "livecomments.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "livecomments.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "livecomments.image" -}}
{{- with .Values.image }}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{/* A value as the process reads it. Numbers by way of JSON, or 33554432 would come as 3.3554432e+07. */}}
{{- define "livecomments.text" -}}
{{- if kindIs "string" . }}{{ . | quote }}{{ else }}{{ toJson . | quote }}{{ end }}
{{- end }}

{{/* Settings as name: value, for a ConfigMap. Kafka and CQL must be there: without them there is only `livecomments run`. */}}
{{- define "livecomments.settings" -}}
{{- range $name, $value := .Values.settings }}
LIVECOMMENTS_{{ upper $name }}: {{ include "livecomments.text" $value }}
{{- end }}
{{- end }}

{{/* The settings that a component really has, its own ones winning, as JSON. */}}
{{- define "livecomments.merged" -}}
{{- merge (dict) (index .root.Values .component).settings .root.Values.settings | toJson }}
{{- end }}

{{/* preStop + drain + 15 (tests/helm holds it). The last: requests under way, the stream job's last writes, and the exit. */}}
{{- define "livecomments.gracePeriod" -}}
{{- $settings := include "livecomments.merged" . | fromJson -}}
{{- add .root.Values.preStopSeconds (ceil (default 0 $settings.drain_s)) 15 }}
{{- end }}

{{/* What must be there, said together and in words. */}}
{{- define "livecomments.check" -}}
{{- $problems := list }}
{{- range $name := list "kafka" "cql" }}
{{- if not (index $.Values.settings $name) }}
{{- $problems = append $problems (printf "settings.%s: give the addresses (host:port, comma-separated)." $name) }}
{{- end }}
{{- end }}
{{- if not (or .Values.sessionSecret.existingSecret .Values.sessionSecret.value) }}
{{- $problems = append $problems "sessionSecret.existingSecret: name a Secret with at least 32 random bytes; gateways must sign alike." }}
{{- end }}
{{- range $name := list "kafka" "cql" }}
{{- if and (index $.Values.settings (printf "%s_user" $name)) (not (index $.Values (printf "%sPassword" $name)).existingSecret) }}
{{- $problems = append $problems (printf "%sPassword.existingSecret: name a Secret with the password of settings.%s_user." $name $name) }}
{{- end }}
{{- end }}
{{- $gateway := include "livecomments.merged" (dict "root" . "component" "gateway") | fromJson }}
{{- if and (or .Values.jwtSecret.existingSecret .Values.jwtSecret.value $gateway.jwt_jwks_url) (not (and $gateway.jwt_issuer $gateway.jwt_audience)) }}
{{- $problems = append $problems "settings.jwt_issuer and settings.jwt_audience: set both, as JWTs are accepted." }}
{{- end }}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) }}
{{- $problems = append $problems "httpRoute.parentRefs: name the Gateway to attach to." }}
{{- end }}
{{- if $problems }}
{{- fail (printf "\n  %s" (join "\n  " $problems)) }}
{{- end }}
{{- end }}
