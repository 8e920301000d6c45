{{/* The pod of the gateway. */}}
{{- define "fanwire.podSpec" -}}
serviceAccountName: {{ include "fanwire.serviceAccountName" . }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with include "fanwire.pullSecrets" . }}
{{ . }}
{{- end }}
terminationGracePeriodSeconds: {{ include "fanwire.terminationGracePeriodSeconds" . }}
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- include "fanwire.topologySpread" . }}
{{- with .Values.initContainers }}
initContainers:
  {{- toYaml . | nindent 2 }}
{{- end }}
containers:
  - {{ include "fanwire.container" . | nindent 4 | trim }}
  {{- with .Values.extraContainers }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
volumes:
  {{- include "fanwire.volumes" . | nindent 2 }}
{{- end -}}

{{- define "fanwire.topologySpread" -}}
{{- if or .Values.topologySpread.enabled .Values.topologySpreadConstraints }}
topologySpreadConstraints:
{{- if .Values.topologySpread.enabled }}
{{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: {{ $.Values.topologySpread.whenUnsatisfiable }}
    labelSelector:
      matchLabels:
        {{- include "fanwire.selectorLabels" $ | nindent 8 }}
    # Old pods of an update do not count.
    matchLabelKeys: [pod-template-hash]
{{- end }}
{{- end }}
{{- with .Values.topologySpreadConstraints }}
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "fanwire.container" -}}
name: fanwire
image: {{ include "fanwire.image" (dict "root" $ "image" .Values.image "tag" .Chart.AppVersion) | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args: [serve]
env:
  - name: FANWIRE_CONFIG
    value: /etc/fanwire/config/gateway.yaml
  # The image sets these, and variables come before the file. Empty ones do not count.
  - name: FANWIRE_LISTEN_ADDRESS
    value: ""
  - name: FANWIRE_ADMIN_ADDRESS
    value: ""
  {{- if dig "socketio" "client_dir" "" .Values.config }}
  - name: FANWIRE_SOCKETIO_CLIENT_DIR
    value: ""
  {{- end }}
  {{- with .Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .Values.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
ports:
  - name: http
    containerPort: {{ .Values.ports.http }}
    protocol: TCP
  - name: admin
    containerPort: {{ .Values.ports.admin }}
    protocol: TCP
  - name: peers
    containerPort: {{ .Values.ports.peers }}
    protocol: TCP
{{- /* Liveness knows neither Redis nor the drain; readiness is about both. */}}
startupProbe:
  {{- include "fanwire.probe" (dict "root" $ "path" "/healthz" "values" .Values.startupProbe) | nindent 2 }}
livenessProbe:
  {{- include "fanwire.probe" (dict "root" $ "path" "/healthz" "values" .Values.livenessProbe) | nindent 2 }}
readinessProbe:
  {{- include "fanwire.probe" (dict "root" $ "path" "/readyz" "values" .Values.readinessProbe) | nindent 2 }}
{{- if .Values.preStop.sleepSeconds }}
lifecycle:
  preStop:
    sleep:
      seconds: {{ .Values.preStop.sleepSeconds }}
{{- end }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
resources:
  {{- toYaml .Values.resources | nindent 2 }}
volumeMounts:
  - name: config
    mountPath: /etc/fanwire/config
    readOnly: true
  {{- if include "fanwire.secretFiles" . | fromJsonArray }}
  - name: secrets
    mountPath: {{ include "fanwire.secretsDir" . }}
    readOnly: true
  {{- end }}
  {{- if .Values.redis.tls.existingSecret }}
  - name: redis-tls
    mountPath: /etc/fanwire/redis-tls
    readOnly: true
  {{- end }}
  {{- if .Values.tls.http.existingSecret }}
  - name: http-tls
    mountPath: /etc/fanwire/tls/http
    readOnly: true
  {{- end }}
  {{- if .Values.tls.admin.existingSecret }}
  - name: admin-tls
    mountPath: /etc/fanwire/tls/admin
    readOnly: true
  {{- end }}
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "fanwire.probe" -}}
httpGet:
  path: {{ .path }}
  port: admin
  {{- if include "fanwire.adminTLS" .root }}
  scheme: HTTPS
  {{- end }}
{{ toYaml .values }}
{{- end -}}

{{/* Files belong to root and the group of the pod (fsGroup); nobody else reads them. */}}
{{- define "fanwire.volumes" -}}
- name: config
  configMap:
    name: {{ include "fanwire.fullname" . }}
    defaultMode: 0440
{{- with include "fanwire.secretFiles" . | fromJsonArray }}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- range . }}
      - secret:
          name: {{ .secret }}
          items:
            - key: {{ .key }}
              path: {{ .file }}
      {{- end }}
{{- end }}
{{- with .Values.redis.tls.existingSecret }}
- name: redis-tls
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- with .Values.tls.http.existingSecret }}
- name: http-tls
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- with .Values.tls.admin.existingSecret }}
- name: admin-tls
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}
