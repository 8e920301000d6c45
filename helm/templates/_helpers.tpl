{{- define "fanwire.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Names of objects. Some get an ending of ours, hence 52 characters. */}}
{{- define "fanwire.fullname" -}}
{{- $name := include "fanwire.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What selects the gateway's pods. It must never change: selectors of a Deployment cannot. */}}
{{- define "fanwire.selectorLabels" -}}
app.kubernetes.io/name: {{ include "fanwire.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: gateway
{{- end -}}

{{- define "fanwire.redisSelectorLabels" -}}
app.kubernetes.io/name: {{ include "fanwire.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: trial-redis
{{- end -}}

{{- define "fanwire.testLabels" -}}
app.kubernetes.io/name: {{ include "fanwire.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: test
{{- end -}}

{{/* labels of an object: those that select, then those in "more", later ones first, then
commonLabels, then ours. Those of pods ("pod" true) do not change with the chart alone,
for then every pod would go. Call with (dict "root" $ "selector" NAME "more" (list ...)). */}}
{{- define "fanwire.labels" -}}
{{- $root := .root -}}
{{- $all := dict "app.kubernetes.io/part-of" "fanwire" -}}
{{- if not .pod -}}
{{- $all = merge $all (dict
  "helm.sh/chart" (printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-")
  "app.kubernetes.io/version" (toString $root.Chart.AppVersion)
  "app.kubernetes.io/managed-by" $root.Release.Service) -}}
{{- end -}}
{{- $all = mergeOverwrite $all (deepCopy $root.Values.commonLabels) -}}
{{- range default list .more -}}
{{- $all = mergeOverwrite $all (deepCopy (default dict .)) -}}
{{- end -}}
{{- $all = mergeOverwrite $all (include (default "fanwire.selectorLabels" .selector) $root | fromYaml) -}}
labels:
{{- range $k, $v := $all }}
  {{ $k }}: {{ $v | toString | quote }}
{{- end }}
{{- end -}}

{{/* The metadata of an object. Call with (dict "root" $ "name" ENDING "selector" ... "labels" (list ...)
"annotations" (list ...) "namespace" ...), all but root optional. */}}
{{- define "fanwire.metadata" -}}
name: {{ include "fanwire.fullname" .root }}{{ with .name }}-{{ . }}{{ end }}
namespace: {{ default .root.Release.Namespace .namespace }}
{{ include "fanwire.labels" (dict "root" .root "selector" .selector "more" .labels) }}
{{- with include "fanwire.annotations" (dict "root" .root "more" (default list .annotations)) }}
{{ . }}
{{- end }}
{{- end -}}

{{/* annotations: of all objects, and those in the list "more", later ones first. Call with (dict "root" $ "more" (list ...)). */}}
{{- define "fanwire.annotations" -}}
{{- $all := deepCopy .root.Values.commonAnnotations -}}
{{- range .more -}}
{{- $all = mergeOverwrite $all (deepCopy (default dict .)) -}}
{{- end -}}
{{- with $all -}}
annotations:
{{- range $k, $v := . }}
  {{ $k }}: {{ $v | toString | quote }}
{{- end }}
{{- end -}}
{{- end -}}

{{- define "fanwire.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "fanwire.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* image: call with (dict "root" $ "image" .Values.image "tag" .Chart.AppVersion). */}}
{{- define "fanwire.image" -}}
{{- $registry := default "" .root.Values.global.imageRegistry -}}
{{- $repository := .image.repository -}}
{{- if $registry -}}
{{- $parts := splitList "/" $repository -}}
{{- if and (gt (len $parts) 1) (or (contains "." (first $parts)) (contains ":" (first $parts)) (eq (first $parts) "localhost")) -}}
{{- $repository = join "/" (rest $parts) -}}
{{- end -}}
{{- $repository = printf "%s/%s" (trimSuffix "/" $registry) $repository -}}
{{- end -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .tag .image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "fanwire.pullSecrets" -}}
{{- with concat (default list .Values.global.imagePullSecrets) .Values.imagePullSecrets -}}
imagePullSecrets:
{{- range . }}
  - {{ if kindIs "string" . }}name: {{ . }}{{ else }}{{ toYaml . }}{{ end }}
{{- end }}
{{- end -}}
{{- end -}}

{{/* Go's durations in whole seconds, rounded up. Call with (dict "path" ... "value" ...). */}}
{{- define "fanwire.seconds" -}}
{{- $text := toString .value -}}
{{- if not (regexMatch "^(0|([0-9]+([.][0-9]+)?(ns|us|ms|s|m|h))+)$" $text) -}}
{{- fail (printf "%s: %q is no duration: write it as in 40s or 1m30s" .path $text) -}}
{{- end -}}
{{- $zero := toDate "2006-01-02" "2000-01-01" -}}
{{- sub (unixEpoch (mustDateModify "999999999ns" (mustDateModify $text $zero)) | int64) (unixEpoch $zero | int64) -}}
{{- end -}}

{{/* The drain of the configuration, with the defaults of the gateway and ours. */}}
{{- define "fanwire.drain" -}}
{{- $drain := deepCopy (default dict .Values.config.drain) -}}
{{- if .Values.preStop.sleepSeconds -}}
{{- $drain = merge $drain (dict "delay" "0s") -}}
{{- end -}}
{{- merge $drain (dict "delay" "5s" "spread" "20s" "timeout" "40s") | toYaml -}}
{{- end -}}

{{/* Seconds that a pod needs to end at most. */}}
{{- define "fanwire.endSeconds" -}}
{{- $drain := include "fanwire.drain" . | fromYaml -}}
{{- add .Values.preStop.sleepSeconds (include "fanwire.seconds" (dict "path" "config.drain.timeout" "value" $drain.timeout)) -}}
{{- end -}}

{{- define "fanwire.terminationGracePeriodSeconds" -}}
{{- $needs := include "fanwire.endSeconds" . | int -}}
{{- with .Values.terminationGracePeriodSeconds -}}
{{- if lt (int .) $needs -}}
{{- fail (printf "terminationGracePeriodSeconds: %d is less than preStop.sleepSeconds and config.drain.timeout together, %d: pods would be killed while they let clients go" (int .) $needs) -}}
{{- end -}}
{{- end -}}
{{- default (add $needs 10) .Values.terminationGracePeriodSeconds -}}
{{- end -}}

{{- define "fanwire.socketPath" -}}
{{- dig "socketio" "path" "/socket.io/" .Values.config -}}
{{- end -}}

{{- define "fanwire.httpTLS" -}}
{{- if or .Values.tls.http.existingSecret (dig "listen" "tls" "cert_file" "" .Values.config) -}}true{{- end -}}
{{- end -}}

{{- define "fanwire.adminTLS" -}}
{{- if or .Values.tls.admin.existingSecret (dig "admin" "tls" "cert_file" "" .Values.config) -}}true{{- end -}}
{{- end -}}

{{- define "fanwire.autoscaled" -}}
{{- if or .Values.autoscaling.enabled .Values.keda.enabled -}}true{{- end -}}
{{- end -}}

{{/* Most pods there can be. */}}
{{- define "fanwire.mostPods" -}}
{{- if .Values.autoscaling.enabled -}}{{ .Values.autoscaling.maxReplicas }}
{{- else if .Values.keda.enabled -}}{{ .Values.keda.maxReplicas }}
{{- else -}}{{ .Values.replicas }}{{- end -}}
{{- end -}}
