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

{{/* global.imageRegistry stands before all images of the chart, those of users' own containers apart. */}}
{{- define "livecomments.image" -}}
{{- include "livecomments.imageOf" (dict "root" . "image" .Values.image "tag" .Chart.AppVersion) }}
{{- end }}

{{- define "livecomments.imageOf" -}}
{{- with .root.Values.global.imageRegistry }}{{ . }}/{{ end }}{{ .image.repository }}{{ ternary (printf "@%s" .image.digest) (printf ":%s" (.image.tag | default .tag)) (ne .image.digest "") }}
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
{{- if and .Values.counts.enabled (not (hasKey .Values.settings "counts")) }}
LIVECOMMENTS_COUNTS: "true"
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

{{/* A quantity as a number. */}}
{{- define "livecomments.quantity" -}}
{{- $units := dict "" 1.0 "m" 0.001 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024.0 "Mi" 1048576.0 "Gi" 1073741824.0 "Ti" 1099511627776.0 "P" 1e15 "E" 1e18 "Pi" 1125899906842624.0 "Ei" 1152921504606846976.0 }}
{{- $text := toString . }}
{{- mulf (regexFind "^[0-9.]+" $text | float64) (get $units (regexFind "[mkKMGTPEi]*$" $text) | default 1.0) }}
{{- end }}

{{/* What must be there, said together and in words. */}}
{{- define "livecomments.check" -}}
{{- $problems := list }}
{{- $processes := list "gateway" "edge" "stream" "counts" "clean" }}
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
{{- $edge := include "livecomments.merged" (dict "root" . "component" "edge") | fromJson }}
{{- if and (or .Values.jwtSecret.existingSecret .Values.jwtSecret.value $gateway.jwt_jwks_url) (not (and $gateway.jwt_issuer $gateway.jwt_audience)) }}
{{- $problems = append $problems "settings.jwt_issuer and settings.jwt_audience: set both, as JWTs are accepted." }}
{{- end }}
{{- range $name := list "kafka" "cql" }}
{{- $given := index $.Values.settings $name }}
{{- if and $given (not (regexMatch "^(\\[[0-9a-fA-F:]+\\]|[A-Za-z0-9._-]+):[1-9][0-9]{0,4}(, *(\\[[0-9a-fA-F:]+\\]|[A-Za-z0-9._-]+):[1-9][0-9]{0,4})*$" $given)) }}
{{- $problems = append $problems (printf "settings.%s: %q is no list of addresses (host:port, comma-separated)." $name $given) }}
{{- else if $given }}
{{- $addresses := splitList "," (nospace $given) }}
{{- if ne (len $addresses) (len (uniq $addresses)) }}
{{- $problems = append $problems (printf "settings.%s: %q names an address twice." $name $given) }}
{{- end }}
{{- $open := list }}
{{- range (index $.Values.networkPolicy $name).ports }}
{{- $open = append $open (int .) }}
{{- end }}
{{- range $address := uniq $addresses }}
{{- $port := regexFind "[0-9]+$" $address | int }}
{{- if gt $port 65535 }}
{{- $problems = append $problems (printf "settings.%s: %q has no port, which is 65535 at most." $name $address) }}
{{- else if and $.Values.networkPolicy.enabled (not (has $port $open)) }}
{{- $problems = append $problems (printf "networkPolicy.%s.ports: add the %d of %s." $name $port $address) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.settings }}
{{- if not (regexMatch "^[A-Za-z0-9._-]{0,64}$" (.topic_prefix | default "")) }}
{{- $problems = append $problems (printf "settings.topic_prefix: %q can begin no name of a topic: letters, digits, dots, _ and -, 64 at most." .topic_prefix) }}
{{- end }}
{{- if not (regexMatch "^[A-Za-z][A-Za-z0-9_]{0,47}$" .cql_keyspace) }}
{{- $problems = append $problems (printf "settings.cql_keyspace: %q can be no name of a keyspace: a letter, then letters, digits and _, 48 at most." .cql_keyspace) }}
{{- end }}
{{- end }}
{{- range $name := list "kafka_ca" "cql_ca" }}
{{- if and (hasPrefix "/ca/" (index $.Values.settings $name | default "")) (not (or $.Values.caConfigMap $.Values.caSecret)) }}
{{- $problems = append $problems (printf "settings.%s: nothing is in /ca, so name a caConfigMap or a caSecret." $name) }}
{{- end }}
{{- end }}
{{- if and $gateway.counts (not .Values.counts.enabled) }}
{{- $problems = append $problems "settings.counts: nobody counts, so set counts.enabled, which sets it." }}
{{- end }}
{{- if and .Values.networkPolicy.enabled .Values.settings.otlp_endpoint (not .Values.networkPolicy.extraEgress) }}
{{- $problems = append $problems "networkPolicy.extraEgress: let the processes reach settings.otlp_endpoint." }}
{{- end }}
{{- range $component := list "gateway" "edge" "stream" }}
{{- $drain := (include "livecomments.merged" (dict "root" $ "component" $component) | fromJson).drain_s | default 0 | float64 }}
{{- if gt $drain 3600.0 }}
{{- $problems = append $problems (printf "%s: drain_s %v is more than an hour, for which no node is kept." $component $drain) }}
{{- end }}
{{- end }}
{{- if and .Values.jobs.hooks (ge (int .Values.jobs.activeDeadlineSeconds) 300) }}
{{- $problems = append $problems (printf "jobs.activeDeadlineSeconds: %d is not below the 300 s after which helm gives up and does not say why." (int .Values.jobs.activeDeadlineSeconds)) }}
{{- end }}
{{- if and .Values.front.enabled (lt (float64 .Values.front.drainSeconds) (float64 (default 0 $edge.drain_s))) }}
{{- $problems = append $problems (printf "front.drainSeconds: %v is less than the drain_s of edges, %v, and would cut their streams." .Values.front.drainSeconds $edge.drain_s) }}
{{- end }}
{{- /* What the API server would refuse only after the jobs have run. */}}
{{- range $component := append $processes "jobs" }}
{{- with index $.Values $component }}
{{- $containers := list (ternary "migrate" $component (eq $component "jobs")) }}
{{- range concat .initContainers (.sidecars | default list) }}
{{- $containers = append $containers .name }}
{{- end }}
{{- $volumes := list "tmp" "data" "ca" "kafka-password" "cql-password" "kafka-certificate" "cql-certificate" "session-secret" "jwt-secret" }}
{{- range .extraVolumes }}
{{- $volumes = append $volumes .name }}
{{- if gt (len .) 2 }}
{{- $problems = append $problems (printf "%s.extraVolumes: %s has more than one source: %s." $component .name (omit . "name" | keys | sortAlpha | join ", ")) }}
{{- end }}
{{- end }}
{{- $variables := list }}
{{- range .extraEnv }}
{{- $variables = append $variables .name }}
{{- end }}
{{- range $what, $names := dict "sidecars, initContainers" $containers "extraVolumes" $volumes "extraEnv" $variables }}
{{- if ne (len $names) (len (uniq $names)) }}
{{- $problems = append $problems (printf "%s.%s: each needs a name of its own, which none of ours has: %s." $component $what (join ", " $names)) }}
{{- end }}
{{- end }}
{{- $paths := list }}
{{- range .extraVolumeMounts }}
{{- $paths = append $paths (clean .mountPath) }}
{{- if not (has .name $volumes) }}
{{- $problems = append $problems (printf "%s.extraVolumeMounts: %q is none of its extraVolumes." $component .name) }}
{{- end }}
{{- end }}
{{- if ne (len $paths) (len (uniq $paths)) }}
{{- $problems = append $problems (printf "%s.extraVolumeMounts: two are at one mountPath: %s." $component (join ", " $paths)) }}
{{- end }}
{{- end }}
{{- end }}
{{- range $component := concat $processes (list "jobs" "probe" "front") }}
{{- $resources := (index $.Values $component).resources }}
{{- range $name := list "cpu" "memory" }}
{{- $asked := dig "requests" $name 0 $resources }}
{{- $most := dig "limits" $name 0 $resources }}
{{- if and $most (gt (include "livecomments.quantity" $asked | float64) (include "livecomments.quantity" $most | float64)) }}
{{- $problems = append $problems (printf "%s.resources: requests.%s %v is above limits.%s %v." $component $name $asked $name $most) }}
{{- end }}
{{- end }}
{{- end }}
{{- range $component := $processes }}
{{- with index $.Values $component }}
{{- if ne (hasKey .settings "kafka_user") (ne .kafkaPassword.existingSecret "") }}
{{- $problems = append $problems (printf "%s: give settings.kafka_user and kafkaPassword.existingSecret, both or neither." $component) }}
{{- end }}
{{- end }}
{{- end }}
{{- /* The same data, spoken to in the same way: one process that sees others would lose what is written. */}}
{{- range $component := $processes }}
{{- range $name := list "kafka" "kafka_security" "topic_prefix" "cql" "cql_tls" "cql_user" "cql_datacenter" "cql_keyspace" "replicas" "store_ttl_s" "append_timeout_s" }}
{{- if hasKey (index $.Values $component).settings $name }}
{{- $problems = append $problems (printf "%s.settings.%s: it is the same for all, so set settings.%s." $component $name $name) }}
{{- end }}
{{- end }}
{{- with (index $.Values $component).autoscaling }}
{{- if .enabled }}
{{- if lt (int .minReplicas) 2 }}
{{- $problems = append $problems (printf "%s.autoscaling: minReplicas %d leaves nobody while that one is replaced; make it 2." $component (int .minReplicas)) }}
{{- end }}
{{- if gt (int .minReplicas) (int .maxReplicas) }}
{{- $problems = append $problems (printf "%s.autoscaling: minReplicas %d is above maxReplicas %d." $component (int .minReplicas) (int .maxReplicas)) }}
{{- end }}
{{- if and .targetCPUUtilizationPercentage (not (dig "requests" "cpu" "" (index $.Values $component).resources)) }}
{{- $problems = append $problems (printf "%s.resources.requests.cpu: give it, as autoscaling goes by a share of it." $component) }}
{{- end }}
{{- if not (or .targetCPUUtilizationPercentage .targetOwnMetric .metrics) }}
{{- $problems = append $problems (printf "%s.autoscaling: give targetCPUUtilizationPercentage, targetOwnMetric or metrics to go by." $component) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- if .Values.podDisruptionBudget.enabled }}
{{- $all := .Values.podDisruptionBudget.maxUnavailable }}
{{- range $component := concat (list "gateway" "edge" "stream") (ternary (list "front") list .Values.front.enabled) }}
{{- $values := index $.Values $component }}
{{- $least := ternary (dig "autoscaling" "minReplicas" 0 $values) $values.replicas (dig "autoscaling" "enabled" false $values) | int }}
{{- if and (not (kindIs "string" $all)) (gt (int $all) 1) (ge (int $all) $least) }}
{{- $problems = append $problems (printf "podDisruptionBudget.maxUnavailable: %d may be all of %s, of which there are %d." (int $all) $component $least) }}
{{- end }}
{{- end }}
{{- end }}
{{- if eq (int .Values.ports.http) (int .Values.ports.internal) }}
{{- $problems = append $problems "ports: http and internal must differ; what is internal has no authentication." }}
{{- end }}
{{- range $name := list "sessionSecret" "jwtSecret" }}
{{- with index $.Values $name }}
{{- if and .existingSecret .value }}
{{- $problems = append $problems (printf "%s: give existingSecret or value, not both." $name) }}
{{- end }}
{{- end }}
{{- end }}
{{- if and .Values.sessionSecret.value .Values.jwtSecret.value (eq .Values.sessionSecret.key .Values.jwtSecret.key) }}
{{- $problems = append $problems "sessionSecret.key and jwtSecret.key must differ: both are in one Secret." }}
{{- end }}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" (include "livecomments.fullname" .)) }}
{{- $problems = append $problems (printf "fullnameOverride: %q can be no name of a Service; begin it with a lower-case letter, without dots." (include "livecomments.fullname" .)) }}
{{- end }}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) }}
{{- $problems = append $problems "httpRoute.parentRefs: name the Gateway to attach to." }}
{{- end }}
{{- if and .Values.ingress.enabled .Values.ingress.tlsSecret (not .Values.ingress.hosts) }}
{{- $problems = append $problems "ingress.hosts: name those that ingress.tlsSecret is for." }}
{{- end }}
{{- if and .Values.caConfigMap .Values.caSecret }}
{{- $problems = append $problems "caConfigMap, caSecret: give one, as both are /ca." }}
{{- end }}
{{- if .Values.front.enabled }}
{{- range $component := list "gateway" "edge" }}
{{- $values := index $.Values $component }}
{{- if ne $values.kind "StatefulSet" }}
{{- $problems = append $problems (printf "%s.kind: make it StatefulSet, as front.enabled needs servers with names that stay." $component) }}
{{- end }}
{{- $most := ternary $values.autoscaling.maxReplicas $values.replicas $values.autoscaling.enabled | int }}
{{- if gt $most (int $.Values.front.serversMax) }}
{{- $problems = append $problems (printf "front.serversMax: %d, and there may be %d of %s." (int $.Values.front.serversMax) $most $component) }}
{{- end }}
{{- end }}
{{- if has (int .Values.ports.internal) (list 8080 8443) }}
{{- $problems = append $problems "ports.internal: 8080 and 8443 are the front's own." }}
{{- end }}
{{- end }}
{{- if and .Values.probe.enabled (eq (dig "guests" true $gateway | toString) "false") (not .Values.probe.token.existingSecret) }}
{{- $problems = append $problems "probe.token.existingSecret: name a Secret with a token, as guests are not admitted." }}
{{- end }}
{{- if $problems }}
{{- fail (printf "\n  %s" (join "\n  " $problems)) }}
{{- end }}
{{- end }}
