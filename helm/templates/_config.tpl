{{/* Where the files of a pod are. */}}
{{- define "fanwire.secretsDir" -}}/etc/fanwire/secrets{{- end -}}

{{- define "fanwire.redisAddresses" -}}
{{- if .Values.redis.trial.enabled -}}
{{- list (printf "%s-redis:6379" (include "fanwire.fullname" .)) | toJson -}}
{{- else -}}
{{- .Values.redis.addresses | toJson -}}
{{- end -}}
{{- end -}}

{{- define "fanwire.redisPasswordSecret" -}}
{{- if .Values.secrets.redisPassword.existingSecret -}}
{{- .Values.secrets.redisPassword.existingSecret -}}
{{- else if .Values.redis.trial.enabled -}}
{{- include "fanwire.fullname" . }}-redis
{{- end -}}
{{- end -}}

{{/* Secrets that become files, as a list of {path, secret, key, file}: the setting, where
it comes from, its name in the folder. A setting that ends in _file gets the name itself. */}}
{{- define "fanwire.secretFiles" -}}
{{- $s := .Values.secrets -}}
{{- $list := list -}}
{{- range list
  (dict "path" "redis.password" "secret" (include "fanwire.redisPasswordSecret" .) "key" $s.redisPassword.key "file" "redis-password")
  (dict "path" "redis.sentinel_password" "secret" $s.redisSentinelPassword.existingSecret "key" $s.redisSentinelPassword.key "file" "redis-sentinel-password")
  (dict "path" "node.cluster_secret" "secret" $s.clusterSecret.existingSecret "key" $s.clusterSecret.key "file" "cluster-secret")
  (dict "path" "auth.jwt.secret" "secret" $s.jwtSecret.existingSecret "key" $s.jwtSecret.key "file" "jwt-secret")
  (dict "path" "auth.jwt.previous_secret" "secret" $s.jwtPreviousSecret.existingSecret "key" $s.jwtPreviousSecret.key "file" "jwt-previous-secret")
  (dict "path" "auth.jwt.public_key_file" "secret" $s.jwtPublicKey.existingSecret "key" $s.jwtPublicKey.key "file" "jwt-public-key.pem")
  (dict "path" "auth.jwt.jwks_file" "secret" $s.jwks.existingSecret "key" $s.jwks.key "file" "jwks.json")
  (dict "path" "admin_ui.password_hash" "secret" $s.adminUIPasswordHash.existingSecret "key" $s.adminUIPasswordHash.key "file" "admin-ui-password-hash")
-}}
{{- if .secret }}{{ $list = append $list . }}{{ end -}}
{{- end -}}
{{- range $s.apiKeys -}}
{{- $list = append $list (dict "path" "" "secret" .existingSecret "key" .key "file" (printf "api-key-%s" .name)) -}}
{{- end -}}
{{- range $name, $hook := $s.webhooks -}}
{{- $list = append $list (dict "path" (printf "webhooks.%s.secret" $name) "secret" $hook.existingSecret "key" $hook.key "file" (printf "webhook-%s" $name)) -}}
{{- if $hook.previousKey -}}
{{- $list = append $list (dict "path" (printf "webhooks.%s.previous_secret" $name) "secret" $hook.existingSecret "key" $hook.previousKey "file" (printf "webhook-%s-previous" $name)) -}}
{{- end -}}
{{- end -}}
{{- $list | toJson -}}
{{- end -}}

{{/* The configuration of the gateway as YAML: what was given, and what the chart knows. */}}
{{- define "fanwire.config" -}}
{{- $made := include "fanwire.madeConfig" . | fromYaml -}}
{{- $files := dict -}}
{{- $dir := include "fanwire.secretsDir" . -}}
{{- range include "fanwire.secretFiles" . | fromJsonArray -}}
{{- if .path -}}
{{- $value := printf "%s/%s" $dir .file -}}
{{- $tree := dict "file" $value -}}
{{- if hasSuffix "_file" .path }}{{ $tree = $value }}{{ end -}}
{{- range splitList "." .path | reverse }}{{ $tree = dict . $tree }}{{ end -}}
{{- $files = merge $files $tree -}}
{{- end -}}
{{- end -}}
{{- $config := mergeOverwrite (deepCopy .Values.config) $made $files -}}
{{- with .Values.secrets.apiKeys -}}
{{- $keys := dig "api" "keys" list $config -}}
{{- range . -}}
{{- $key := dict "name" .name "key" (dict "file" (printf "%s/api-key-%s" $dir .name)) -}}
{{- with .scopes }}{{ $_ := set $key "scopes" . }}{{ end -}}
{{- with .namespaces }}{{ $_ := set $key "namespaces" . }}{{ end -}}
{{- $keys = append $keys $key -}}
{{- end -}}
{{- $config = mergeOverwrite $config (dict "api" (dict "keys" $keys)) -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{/* What comes from other values than "config". */}}
{{- define "fanwire.madeConfig" -}}
node:
  peer_address: {{ printf ":%d" (int .Values.ports.peers) | quote }}
listen:
  address: {{ printf ":%d" (int .Values.ports.http) | quote }}
{{- if .Values.tls.http.existingSecret }}
  tls:
    cert_file: /etc/fanwire/tls/http/tls.crt
    key_file: /etc/fanwire/tls/http/tls.key
    {{- with .Values.tls.http.clientCAKey }}
    client_ca_file: /etc/fanwire/tls/http/{{ . }}
    {{- end }}
{{- end }}
admin:
  address: {{ printf ":%d" (int .Values.ports.admin) | quote }}
{{- if .Values.tls.admin.existingSecret }}
  tls:
    cert_file: /etc/fanwire/tls/admin/tls.crt
    key_file: /etc/fanwire/tls/admin/tls.key
{{- end }}
drain:
  {{- include "fanwire.drain" . | nindent 2 }}
{{- $addresses := include "fanwire.redisAddresses" . | fromJsonArray }}
{{- with .Values.redis }}
{{- if $addresses }}
redis:
  addresses:
    {{- toYaml $addresses | nindent 4 }}
  mode: {{ .mode }}
  {{- with .masterName }}
  master_name: {{ . | quote }}
  {{- end }}
  {{- with .username }}
  username: {{ . | quote }}
  {{- end }}
  {{- with .sentinelUsername }}
  sentinel_username: {{ . | quote }}
  {{- end }}
  {{- with .tls }}
  {{- if or .enabled .existingSecret }}
  tls:
    enabled: true
    {{- if .existingSecret }}
    {{- with .caKey }}
    ca_file: /etc/fanwire/redis-tls/{{ . }}
    {{- end }}
    {{- with .certKey }}
    cert_file: /etc/fanwire/redis-tls/{{ . }}
    {{- end }}
    {{- with .keyKey }}
    key_file: /etc/fanwire/redis-tls/{{ . }}
    {{- end }}
    {{- end }}
    {{- with .serverName }}
    server_name: {{ . | quote }}
    {{- end }}
  {{- end }}
  {{- end }}
{{- end }}
{{- end }}
{{- end -}}
