{{/* How the admin port is scraped. Call with (dict "root" $ "values" .Values.serviceMonitor). */}}
{{- define "fanwire.scrape" -}}
port: admin
path: /metrics
scheme: {{ if include "fanwire.adminTLS" .root }}https{{ else }}http{{ end }}
{{- with .values }}
{{- with .interval }}
interval: {{ . }}
{{- end }}
{{- with .scrapeTimeout }}
scrapeTimeout: {{ . }}
{{- end }}
{{- with .tlsConfig }}
tlsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .relabelings }}
relabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end -}}
