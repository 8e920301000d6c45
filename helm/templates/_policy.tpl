{{- define "fanwire.policyIngress" -}}
{{- with .Values.networkPolicy -}}
# clients
- ports:
    - {port: {{ $.Values.ports.http }}, protocol: TCP}
  {{- with .clients.from }}
  from:
    {{- toYaml . | nindent 4 }}
    {{- if $.Values.test.enabled }}
    - podSelector:
        matchLabels:
          {{- include "fanwire.testLabels" $ | nindent 10 }}
    {{- end }}
  {{- end }}
# the other nodes
- ports:
    - {port: {{ $.Values.ports.peers }}, protocol: TCP}
  from:
    - podSelector:
        matchLabels:
          {{- include "fanwire.selectorLabels" $ | nindent 10 }}
{{- with concat .metrics.from .admin.from }}
# metrics and API
- ports:
    - {port: {{ $.Values.ports.admin }}, protocol: TCP}
  from:
    {{- toYaml . | nindent 4 }}
{{- end }}
{{- with .extraIngress }}
{{ toYaml . }}
{{- end }}
{{- end -}}
{{- end -}}

{{- define "fanwire.policyEgress" -}}
{{- with .Values.networkPolicy -}}
# names
- ports:
    {{- range .dns.ports }}
    - {port: {{ . }}, protocol: UDP}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
  {{- with .dns.to }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
# the other nodes
- ports:
    - {port: {{ $.Values.ports.peers }}, protocol: TCP}
  to:
    - podSelector:
        matchLabels:
          {{- include "fanwire.selectorLabels" $ | nindent 10 }}
{{- with include "fanwire.redisPorts" $ | fromJsonArray }}
# Redis
- ports:
    {{- range . }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
  {{- if $.Values.redis.trial.enabled }}
  to:
    - podSelector:
        matchLabels:
          {{- include "fanwire.redisSelectorLabels" $ | nindent 10 }}
  {{- else if $.Values.networkPolicy.redis.to }}
  to:
    {{- toYaml $.Values.networkPolicy.redis.to | nindent 4 }}
  {{- end }}
{{- end }}
{{- with include "fanwire.urlPorts" $ | fromJsonArray }}
# webhooks, key sets, traces
- ports:
    {{- range . }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
  to:
    {{- if $.Values.networkPolicy.webhooks.to }}
    {{- toYaml $.Values.networkPolicy.webhooks.to | nindent 4 }}
    {{- else }}
    # Metadata services are on link-local addresses; some network plugins take
    # addresses for those outside of the cluster only, hence the last one.
    - ipBlock: {cidr: 0.0.0.0/0, except: [169.254.0.0/16]}
    - ipBlock: {cidr: "::/0", except: ["fe80::/10"]}
    - namespaceSelector: {}
    {{- end }}
{{- end }}
{{- with .extraEgress }}
{{ toYaml . }}
{{- end }}
{{- end -}}
{{- end -}}

{{- define "fanwire.redisPorts" -}}
{{- $ports := list -}}
{{- range include "fanwire.redisAddresses" . | fromJsonArray -}}
{{- $host := . -}}
{{- if contains "://" . }}{{ $host = (urlParse .).host }}{{ end -}}
{{- $port := regexFind ":[0-9]+$" $host | trimPrefix ":" -}}
{{- $ports = append $ports (default 6379 $port | int) -}}
{{- end -}}
{{- if and $ports (eq .Values.redis.mode "sentinel") }}{{ $ports = append $ports 6379 }}{{ end -}}
{{- if and $ports (not .Values.redis.trial.enabled) }}{{ $ports = default $ports .Values.networkPolicy.redis.ports }}{{ end -}}
{{- $ports | uniq | toJson -}}
{{- end -}}

{{/* Ports of what the configuration names: webhooks, key sets, the collector of traces. */}}
{{- define "fanwire.urlPorts" -}}
{{- $urls := list (dig "auth" "jwt" "jwks_url" "" .Values.config) (dig "tracing" "endpoint" "" .Values.config) -}}
{{- range $_, $hook := default dict .Values.config.webhooks }}{{ $urls = append $urls (default "" $hook.url) }}{{ end -}}
{{- $ports := list -}}
{{- range compact $urls -}}
{{- $url := urlParse . -}}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" -}}
{{- $ports = append $ports (default (ternary 80 443 (eq $url.scheme "http")) $port | int) -}}
{{- end -}}
{{- if $ports }}{{ $ports = default $ports .Values.networkPolicy.webhooks.ports }}{{ end -}}
{{- $ports | uniq | sortAlpha | toJson -}}
{{- end -}}
