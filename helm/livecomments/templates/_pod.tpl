{{/* The pod of a component: (dict "root" $ "component" "gateway" "env" "…" "hashLabel" "pod-template-hash"). */}}
{{- define "livecomments.pod" -}}
{{- $values := index .root.Values .component -}}
metadata:
  labels:
    {{- include "livecomments.selector" . | nindent 4 }}
    {{- with merge (dict) $values.podLabels .root.Values.commonLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    checksum/settings: {{ include "livecomments.settings" .root | sha256sum }}
    {{- if eq .component "gateway" }}
    checksum/secrets: {{ printf "%s/%s" .root.Values.sessionSecret.value .root.Values.jwtSecret.value | sha256sum }}
    {{- end }}
    {{- with merge (dict) $values.podAnnotations .root.Values.commonAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- include "livecomments.podSpec" (dict "root" .root "values" $values "account" (include "livecomments.serviceAccountName" .root)) | nindent 2 }}
  terminationGracePeriodSeconds: {{ include "livecomments.gracePeriod" . }}
  {{- if .root.Values.topologySpread.enabled }}
  topologySpreadConstraints:
    {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
    - maxSkew: 1
      topologyKey: {{ . }}
      whenUnsatisfiable: {{ $.root.Values.topologySpread.whenUnsatisfiable }}
      labelSelector:
        matchLabels:
          {{- include "livecomments.selector" $ | nindent 10 }}
      matchLabelKeys: [{{ $.hashLabel }}]
    {{- end }}
  {{- end }}
  containers:
    - name: {{ .component }}
      {{- include "livecomments.container" .root | nindent 6 }}
        {{- with $values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      args: [{{ .component }}]
      envFrom:
        {{- with $values.extraEnvFrom }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
        - configMapRef:
            name: {{ include "livecomments.fullname" .root }}
      env:
        {{- include "livecomments.environment" . | nindent 8 }}
      ports:
        {{- if ne .component "stream" }}
        - {name: http, containerPort: {{ .root.Values.ports.http }}, protocol: TCP}
        {{- end }}
        - {name: internal, containerPort: {{ .root.Values.ports.internal }}, protocol: TCP}
      {{- range $probe := list "startup" "liveness" "readiness" }}
      {{ $probe }}Probe:
        httpGet: {path: {{ (index $.root.Values.probes $probe).path }}, port: internal}
        {{- toYaml (omit (index $.root.Values.probes $probe) "path") | nindent 8 }}
      {{- end }}
      {{- if and (ne .component "stream") .root.Values.preStopSeconds }}
      lifecycle:
        # Until everybody who routes has heard that this pod is leaving.
        preStop:
          sleep: {seconds: {{ .root.Values.preStopSeconds }}}
      {{- end }}
      resources:
        {{- toYaml $values.resources | nindent 8 }}
    {{- with $values.sidecars }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}

{{/* What every pod is like, a job's too. The restricted profile of the Pod Security Standards. */}}
{{- define "livecomments.podSpec" -}}
serviceAccountName: {{ .account }}
automountServiceAccountToken: false
# A Service called livecomments would come as LIVECOMMENTS_PORT=tcp://…, and no process would start.
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .root.Values.podSecurity.runAsUser }}
  runAsGroup: {{ .root.Values.podSecurity.runAsGroup }}
  fsGroup: {{ .root.Values.podSecurity.runAsGroup }}
  seccompProfile: {type: RuntimeDefault}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .values.initContainers }}
initContainers:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  - name: tmp
    emptyDir: {sizeLimit: 64Mi}
  - name: data
    emptyDir: {sizeLimit: 64Mi}
{{- with .root.Values.caConfigMap }}
  - name: ca
    configMap: {name: {{ . | quote }}}
{{- end }}
{{- with .values.extraVolumes }}
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "livecomments.container" -}}
image: {{ include "livecomments.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
command:
  {{- toYaml .Values.image.command | nindent 2 }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
volumeMounts:
  - {name: tmp, mountPath: /tmp}
  - {name: data, mountPath: /data}
{{- if .Values.caConfigMap }}
  - {name: ca, mountPath: /ca, readOnly: true}
{{- end }}
{{- end }}

{{/* The passwords of Kafka and CQL, which every process needs. */}}
{{- define "livecomments.passwords" -}}
{{- range $name, $values := dict "KAFKA_PASSWORD" .Values.kafkaPassword "CQL_PASSWORD" .Values.cqlPassword }}
{{- if $values.existingSecret }}
- name: LIVECOMMENTS_{{ $name }}
  {{- include "livecomments.secretRef" (dict "root" $ "values" $values) | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}

{{/* The environment of a component beside the ConfigMap, over which it wins. */}}
{{- define "livecomments.environment" -}}
{{- $root := .root -}}
{{- $values := index $root.Values .component -}}
- {name: LIVECOMMENTS_HOST, value: {{ $root.Values.listenHost | quote }}}
- {name: LIVECOMMENTS_PORT, value: {{ $root.Values.ports.http | quote }}}
- {name: LIVECOMMENTS_INTERNAL_PORT, value: {{ $root.Values.ports.internal | quote }}}
- {name: LIVECOMMENTS_DATA_DIR, value: /data}
{{- range $name, $value := $values.settings }}
- {name: LIVECOMMENTS_{{ upper $name }}, value: {{ include "livecomments.text" $value }}}
{{- end }}
{{- include "livecomments.passwords" $root }}
{{- with .env }}
{{ . }}
{{- end }}
{{- with $values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Where a secret comes from: (dict "root" $ "values" .Values.sessionSecret). */}}
{{- define "livecomments.secretRef" -}}
valueFrom:
  secretKeyRef:
    name: {{ .values.existingSecret | default (include "livecomments.fullname" .root) | quote }}
    key: {{ .values.key | quote }}
{{- end }}

{{/* How many there are of a component. A scaler's number stays: left out, it would be 1 until the scaler has looked. */}}
{{- define "livecomments.replicas" -}}
{{- $values := index .root.Values .component -}}
{{- if $values.autoscaling.enabled }}
{{- $name := printf "%s-%s" (include "livecomments.fullname" .root) .component }}
{{- $found := lookup "apps/v1" .kind .root.Release.Namespace $name }}
{{- max (dig "spec" "replicas" 0 $found) $values.autoscaling.minReplicas }}
{{- else }}
{{- $values.replicas }}
{{- end }}
{{- end }}
