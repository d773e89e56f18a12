{{/* The pod of a component: (dict "root" $ "component" "gateway" "hashLabel" "pod-template-hash"). */}}
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
    {{- with merge (dict) $values.podAnnotations .root.Values.commonAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- include "livecomments.podSpec" (dict "root" .root "component" .component "values" $values "account" (include "livecomments.serviceAccountName" .root)) | nindent 2 }}
  terminationGracePeriodSeconds: {{ include "livecomments.gracePeriod" . }}
  {{- include "livecomments.spread" . | nindent 2 }}
  containers:
    - name: {{ .component }}
      {{- include "livecomments.container" . | nindent 6 }}
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
        {{- if has .component (list "gateway" "edge") }}
        - {name: http, containerPort: {{ .root.Values.ports.http }}, protocol: TCP}
        {{- end }}
        - {name: internal, containerPort: {{ .root.Values.ports.internal }}, protocol: TCP}
      {{- range $probe := list "startup" "liveness" "readiness" }}
      {{- /* A job that makes a topic of the log is ready once it has read all of it, which may take hours. */}}
      {{- $isLong := and (eq $probe "startup") (has $.component (list "counts" "clean")) }}
      {{ $probe }}Probe:
        httpGet: {path: {{ ternary $.root.Values.probes.liveness.path (index $.root.Values.probes $probe).path $isLong }}, port: internal}
        {{- toYaml (omit (index $.root.Values.probes $probe) "path") | nindent 8 }}
      {{- end }}
      {{- if and (has .component (list "gateway" "edge")) .root.Values.preStopSeconds }}
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

{{/* Over nodes and zones: (dict "root" $ "component" "gateway" "hashLabel" "pod-template-hash"). */}}
{{- define "livecomments.spread" -}}
{{- if .root.Values.topologySpread.enabled }}
topologySpreadConstraints:
  {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: {{ $.root.Values.topologySpread.whenUnsatisfiable }}
    labelSelector:
      matchLabels:
        {{- include "livecomments.selector" $ | nindent 8 }}
    matchLabelKeys: [{{ $.hashLabel }}]
  {{- end }}
{{- end }}
{{- end }}

{{/* What every pod is like, a job's too. By default the restricted profile of the Pod Security Standards. */}}
{{- define "livecomments.podSpec" -}}
serviceAccountName: {{ .account }}
automountServiceAccountToken: false
# A Service called livecomments would come as LIVECOMMENTS_PORT=tcp://…, and no process would start.
enableServiceLinks: false
{{- with .root.Values.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
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
{{- with .root.Values.caSecret }}
  - name: ca
    secret: {secretName: {{ . | quote }}}
{{- end }}
{{- range $name, $secret := include "livecomments.secretFiles" . | fromJson }}
  - name: {{ $name }}
    secret:
      secretName: {{ $secret.name | quote }}
      defaultMode: 288
      {{- with $secret.key }}
      items:
        - {key: {{ . | quote }}, path: secret}
      {{- end }}
{{- end }}
{{- with .values.extraVolumes }}
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* What a container is like: (dict "root" $ "component" "gateway"). */}}
{{- define "livecomments.container" -}}
image: {{ include "livecomments.image" .root }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
command:
  {{- toYaml .root.Values.image.command | nindent 2 }}
{{- with .root.Values.securityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
  - {name: tmp, mountPath: /tmp}
  - {name: data, mountPath: /data}
{{- if or .root.Values.caConfigMap .root.Values.caSecret }}
  - {name: ca, mountPath: /ca, readOnly: true}
{{- end }}
{{- range $name, $_ := include "livecomments.secretFiles" . | fromJson }}
  - {name: {{ $name }}, mountPath: /secrets/{{ $name }}, readOnly: true}
{{- end }}
{{- end }}

{{/* Secrets that a component has as files, which it reads again when they change: JSON, by the name of the volume. Those
of tokens are the gateway's alone, and the probe needs none. A certificate is a Secret of the type kubernetes.io/tls, and has no key of one value. */}}
{{- define "livecomments.secretFiles" -}}
{{- $values := .root.Values }}
{{- $wanted := dict }}
{{- if not (has .component (list "probe" "front")) }}
{{- $wanted = dict "kafka-password" $values.kafkaPassword "cql-password" $values.cqlPassword "kafka-certificate" $values.kafkaCertificate "cql-certificate" $values.cqlCertificate }}
{{- end }}
{{- /* A component may be a user of its own. */}}
{{- $own := dig .component "kafkaPassword" dict ($values | toJson | fromJson) }}
{{- if and (hasKey $wanted "kafka-password") $own.existingSecret }}
{{- $_ := set $wanted "kafka-password" $own }}
{{- end }}
{{- if eq .component "gateway" }}
{{- $wanted = merge $wanted (dict "session-secret" $values.sessionSecret "jwt-secret" $values.jwtSecret) }}
{{- end }}
{{- $found := dict }}
{{- range $name, $one := $wanted }}
{{- if or $one.existingSecret $one.value }}
{{- $_ := set $found $name (dict "name" ($one.existingSecret | default (include "livecomments.fullname" $.root)) "key" $one.key) }}
{{- end }}
{{- end }}
{{- toJson $found }}
{{- end }}

{{/* Where those files are. */}}
{{- define "livecomments.secretNames" -}}
{{- range $name, $secret := include "livecomments.secretFiles" . | fromJson }}
{{- $setting := printf "LIVECOMMENTS_%s" ($name | upper | replace "-" "_") }}
{{- if $secret.key }}
- {name: {{ $setting }}_FILE, value: /secrets/{{ $name }}/secret}
{{- else }}
- {name: {{ $setting }}, value: /secrets/{{ $name }}/tls.crt}
- {name: {{ $setting | replace "CERTIFICATE" "KEY" }}, value: /secrets/{{ $name }}/tls.key}
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
{{- include "livecomments.secretNames" . }}
{{- with $values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* A secret as a variable: (dict "root" $ "values" .Values.probe.token). */}}
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
