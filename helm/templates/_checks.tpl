{{/* What is wrong with the values, beyond what the schema tells. */}}
{{- define "fanwire.checks" -}}
{{- $v := .Values -}}
{{- if and $v.redis.trial.enabled $v.redis.addresses -}}
{{- fail "redis.trial.enabled, redis.addresses: there is a Redis already; choose one" -}}
{{- end -}}
{{- if and $v.redis.trial.enabled (or (ne $v.redis.mode "single") $v.redis.tls.enabled $v.redis.tls.existingSecret $v.redis.username) -}}
{{- fail "redis.trial.enabled: that Redis is a single one, without TLS and users" -}}
{{- end -}}
{{- if and (eq $v.redis.mode "sentinel") (not $v.redis.masterName) -}}
{{- fail "redis.masterName: is needed with the mode sentinel" -}}
{{- end -}}
{{- if and (ne $v.redis.mode "single") (not $v.redis.addresses) -}}
{{- fail (printf "redis.addresses: must be given with the mode %s" $v.redis.mode) -}}
{{- end -}}
{{- if and (not $v.redis.addresses) (not $v.redis.trial.enabled) $v.secrets.redisPassword.existingSecret -}}
{{- fail "secrets.redisPassword: is set, but there are no redis.addresses" -}}
{{- end -}}
{{- if ne (empty $v.redis.tls.certKey) (empty $v.redis.tls.keyKey) -}}
{{- fail "redis.tls.certKey, redis.tls.keyKey: one needs the other" -}}
{{- end -}}
{{- if and $v.httpRoute.enabled (not $v.httpRoute.parentRefs) -}}
{{- fail "httpRoute.parentRefs: name the Gateway that the route belongs to" -}}
{{- end -}}
{{- if and $v.serviceMonitor.enabled $v.podMonitor.enabled -}}
{{- fail "serviceMonitor.enabled, podMonitor.enabled: every pod would be scraped twice; choose one" -}}
{{- end -}}
{{- $ports := list (int $v.ports.http) (int $v.ports.admin) (int $v.ports.peers) -}}
{{- if ne (len (uniq $ports)) 3 -}}
{{- fail "ports: each needs a number of its own" -}}
{{- end -}}
{{- include "fanwire.checkScaling" . -}}
{{- include "fanwire.checkMade" . -}}
{{- include "fanwire.checkSecrets" . -}}
{{- include "fanwire.checkDrain" . -}}
{{- end -}}

{{- define "fanwire.checkScaling" -}}
{{- $v := .Values -}}
{{- if and $v.autoscaling.enabled $v.keda.enabled -}}
{{- fail "autoscaling.enabled, keda.enabled: both would scale the same pods; choose one" -}}
{{- end -}}
{{- with $v.autoscaling -}}
{{- if .enabled -}}
{{- if and .cpuPercent (not (dig "requests" "cpu" "" $v.resources)) -}}
{{- fail "autoscaling.cpuPercent: is of resources.requests.cpu, which is not set" -}}
{{- end -}}
{{- if not (or .sessionsPerPod .cpuPercent .metrics) -}}
{{- fail "autoscaling: nothing to scale by; set sessionsPerPod, cpuPercent or metrics" -}}
{{- end -}}
{{- if lt (int .maxReplicas) (int .minReplicas) -}}
{{- fail "autoscaling.maxReplicas: is less than minReplicas" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with $v.keda -}}
{{- if and .enabled (not .prometheus.serverAddress) (not .triggers) -}}
{{- fail "keda: nothing to scale by; set prometheus.serverAddress or triggers" -}}
{{- end -}}
{{- if and .enabled (lt (int .maxReplicas) (int .minReplicas)) -}}
{{- fail "keda.maxReplicas: is less than minReplicas" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The kind of the value at a path of a tree; nothing if it is not there or empty. */}}
{{- define "fanwire.kindAt" -}}
{{- $at := .tree -}}
{{- range splitList "." .path -}}
{{- if and (kindIs "map" $at) (hasKey $at .) }}{{ $at = get $at . }}{{ else }}{{ $at = "" }}{{ end -}}
{{- end -}}
{{- if not (empty $at) }}{{ kindOf $at }}{{ end -}}
{{- end -}}

{{/* Settings that other values make. */}}
{{- define "fanwire.checkMade" -}}
{{- $config := .Values.config -}}
{{- range $path, $instead := dict
  "node.id" "every pod would have it; it is random"
  "node.advertise" "every pod would have it; pods find their address by themselves"
  "node.peer_address" "use ports.peers"
  "listen.address" "use ports.http"
  "admin.address" "use ports.admin"
  "redis.addresses" "use redis.addresses"
  "redis.mode" "use redis.mode"
  "redis.master_name" "use redis.masterName"
  "redis.username" "use redis.username"
  "redis.sentinel_username" "use redis.sentinelUsername"
  "redis.tls" "use redis.tls"
-}}
{{- if include "fanwire.kindAt" (dict "tree" $config "path" $path) -}}
{{- fail (printf "config.%s: cannot be set here: %s" $path $instead) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Secrets do not belong in a ConfigMap. */}}
{{- define "fanwire.checkSecrets" -}}
{{- $config := .Values.config -}}
{{- $plain := list -}}
{{- range list "redis.password" "redis.sentinel_password" "node.cluster_secret" "auth.jwt.secret" "auth.jwt.previous_secret" "admin_ui.password_hash" -}}
{{- $kind := include "fanwire.kindAt" (dict "tree" $config "path" .) -}}
{{- if and $kind (ne $kind "map") }}{{ $plain = append $plain . }}{{ end -}}
{{- end -}}
{{- range $i, $key := dig "api" "keys" list $config -}}
{{- if and $key.key (not (kindIs "map" $key.key)) }}{{ $plain = append $plain (printf "api.keys[%d].key" $i) }}{{ end -}}
{{- end -}}
{{- range $name, $hook := default dict $config.webhooks -}}
{{- range list "secret" "previous_secret" -}}
{{- if and (get $hook .) (not (kindIs "map" (get $hook .))) }}{{ $plain = append $plain (printf "webhooks.%s.%s" $name .) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- with $plain -}}
{{- fail (printf "config.%s: would stand in a ConfigMap for everybody to read; use secrets, or {file: PATH} with extraVolumes" (join ", config." .)) -}}
{{- end -}}
{{- range $name, $_ := .Values.secrets.webhooks -}}
{{- if not (hasKey (default dict $config.webhooks) $name) -}}
{{- fail (printf "secrets.webhooks.%s: there is no config.webhooks.%s" $name $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "fanwire.checkDrain" -}}
{{- $_ := include "fanwire.terminationGracePeriodSeconds" . -}}
{{- $drain := include "fanwire.drain" . | fromYaml -}}
{{- $delay := include "fanwire.seconds" (dict "path" "config.drain.delay" "value" $drain.delay) | int -}}
{{- $spread := include "fanwire.seconds" (dict "path" "config.drain.spread" "value" $drain.spread) | int -}}
{{- $timeout := include "fanwire.seconds" (dict "path" "config.drain.timeout" "value" $drain.timeout) | int -}}
{{- if lt $timeout (add $delay $spread | int) -}}
{{- fail (printf "config.drain.timeout: must be as long as delay and spread together, %ds" (add $delay $spread)) -}}
{{- end -}}
{{- end -}}
