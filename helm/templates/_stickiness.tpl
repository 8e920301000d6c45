{{/* Annotations of the Service, for the controllers that read them there. */}}
{{- define "fanwire.serviceStickiness" -}}
{{- $tls := include "fanwire.httpTLS" . -}}
{{- with .Values.stickiness -}}
{{- if eq .preset "traefik" -}}
traefik.ingress.kubernetes.io/service.sticky.cookie: "true"
traefik.ingress.kubernetes.io/service.sticky.cookie.name: {{ .cookieName | quote }}
traefik.ingress.kubernetes.io/service.sticky.cookie.httponly: "true"
traefik.ingress.kubernetes.io/service.sticky.cookie.secure: {{ .secure | quote }}
traefik.ingress.kubernetes.io/service.sticky.cookie.samesite: {{ lower .sameSite | quote }}
traefik.ingress.kubernetes.io/service.sticky.cookie.path: /
{{- if $tls }}
traefik.ingress.kubernetes.io/service.serversscheme: https
{{- end }}
{{- else if eq .preset "haproxy" -}}
{{/* Cookies by a key of the controller's; not read on an Ingress. */ -}}
haproxy.org/cookie-persistence: {{ .cookieName | quote }}
haproxy.org/load-balance: leastconn
haproxy.org/check: "true"
haproxy.org/check-http: /readyz
haproxy.org/timeout-server: 60s
{{- if $tls }}
haproxy.org/server-ssl: "true"
{{- end }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Annotations of the Ingress. */}}
{{- define "fanwire.ingressStickiness" -}}
{{- $tls := include "fanwire.httpTLS" . -}}
{{- with .Values.stickiness -}}
{{- if eq .preset "haproxy-ingress" -}}
haproxy-ingress.github.io/affinity: cookie
haproxy-ingress.github.io/session-cookie-name: {{ .cookieName | quote }}
haproxy-ingress.github.io/session-cookie-strategy: insert
haproxy-ingress.github.io/session-cookie-value-strategy: pod-uid
haproxy-ingress.github.io/session-cookie-keywords: {{ printf "indirect nocache httponly%s" (ternary " secure" "" .secure) | quote }}
{{- if eq .sameSite "None" }}
haproxy-ingress.github.io/session-cookie-same-site: "true"
{{- end }}
haproxy-ingress.github.io/balance-algorithm: leastconn
haproxy-ingress.github.io/health-check-uri: /readyz
haproxy-ingress.github.io/timeout-server: 60s
haproxy-ingress.github.io/timeout-tunnel: 1h
{{- if $tls }}
haproxy-ingress.github.io/secure-backends: "true"
{{- end }}
{{- else if eq .preset "ingress-nginx" -}}
nginx.ingress.kubernetes.io/affinity: cookie
nginx.ingress.kubernetes.io/affinity-mode: persistent
nginx.ingress.kubernetes.io/session-cookie-name: {{ .cookieName | quote }}
nginx.ingress.kubernetes.io/session-cookie-path: /
nginx.ingress.kubernetes.io/session-cookie-samesite: {{ .sameSite | quote }}
nginx.ingress.kubernetes.io/session-cookie-secure: {{ .secure | quote }}
nginx.ingress.kubernetes.io/proxy-read-timeout: "3600"
nginx.ingress.kubernetes.io/proxy-send-timeout: "3600"
nginx.ingress.kubernetes.io/proxy-buffering: "off"
nginx.ingress.kubernetes.io/proxy-body-size: 2m
{{- if $tls }}
nginx.ingress.kubernetes.io/backend-protocol: HTTPS
{{- end }}
{{- end -}}
{{- end -}}
{{- end -}}
