{{- define "riskmon.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "riskmon.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains (include "riskmon.name" .) .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "riskmon.name" .) | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "riskmon.selector" -}}
app.kubernetes.io/name: {{ include "riskmon.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "riskmon.labels" -}}
{{ include "riskmon.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "riskmon.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ default (include "riskmon.fullname" .) .Values.serviceAccount.name }}
{{- else }}{{ default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "riskmon.image" -}}
{{- $image := .root.Values.image }}
{{- $variant := ternary "cuda" "cpu" (and .gpu (gt (int .root.Values.gpu.count) 0)) }}
{{- $tag := default (printf "%s-%s" .root.Chart.AppVersion $variant) $image.tag }}
{{- if $image.digest }}{{ $image.repository }}@{{ $image.digest }}
{{- else }}{{ $image.repository }}:{{ $tag }}
{{- end }}
{{- end }}

{{- define "riskmon.scheme" -}}
{{ ternary "https" "http" (ne .Values.tls.existingSecret "") }}
{{- end }}

{{/* How Prometheus asks a pod. */}}
{{- define "riskmon.scrape" -}}
path: /metrics
scheme: {{ include "riskmon.scheme" . }}
interval: {{ .Values.serviceMonitor.interval }}
{{- if eq .Values.auth.kind "basic" }}
basicAuth:
  username: {name: {{ .Values.auth.existingSecret }}, key: username}
  password: {name: {{ .Values.auth.existingSecret }}, key: password}
{{- else if eq .Values.auth.kind "bearer" }}
authorization:
  type: Bearer
  credentials: {name: {{ .Values.auth.existingSecret }}, key: token}
{{- end }}
{{- if .Values.tls.existingSecret }}
tlsConfig:
  ca:
    secret: {name: {{ .Values.tls.existingSecret }}, key: ca.crt}
  serverName: {{ default (printf "%s.%s.svc" (include "riskmon.fullname" .) .Release.Namespace) .Values.tls.serverName }}
{{- end }}
{{- end }}

{{/* riskmon.yaml: the values, with what only the chart can know. */}}
{{- define "riskmon.config" -}}
{{- $publish := dict "listen" "0.0.0.0:9108" "reports" "/var/lib/riskmon/reports" }}
{{- if eq .Values.auth.kind "basic" }}
{{- /* The username is in the Secret, too: riskmon reads it from RISKMON_PUBLISH__AUTH__USERNAME there. */}}
{{- $_ := set $publish "auth" (dict "kind" "basic" "password_file" "/run/secrets/riskmon/auth_password") }}
{{- else if eq .Values.auth.kind "bearer" }}
{{- $_ := set $publish "auth" (dict "kind" "bearer" "token_file" "/run/secrets/riskmon/auth_token") }}
{{- end }}
{{- if .Values.tls.existingSecret }}
{{- $_ := set $publish "tls" (dict "certificate" "/run/secrets/riskmon/tls.crt" "key" "/run/secrets/riskmon/tls.key") }}
{{- end }}
{{- $config := deepCopy .Values.config }}
{{- $_ := set $config "publish" $publish }}
{{- $calibrate := default dict $config.calibrate }}
{{- if not $calibrate.folder }}
{{- $_ := set $config "calibrate" (merge (dict "folder" "/var/lib/riskmon/proposals") $calibrate) }}
{{- end }}
{{- if eq .Values.store.kind "sqlite" }}
{{- $store := merge (dict "url" "sqlite:////var/lib/riskmon/riskmon.db") (default dict $config.store) }}
{{- $_ := set $config "store" $store }}
{{- end }}
{{- toYaml $config }}
{{- end }}

{{/* Faults that the schema cannot put into words. */}}
{{- define "riskmon.check" -}}
{{- $config := .Values.config }}
{{- if $config.publish }}
{{- fail "config.publish is set by the chart; use the values auth, tls and service" }}
{{- end }}
{{- if dig "store" "url" "" $config }}
{{- fail "config.store.url is set by the chart; use the value store, with the URL of PostgreSQL in a Secret" }}
{{- end }}
{{- range $path := list "traffic.sample_key" "traffic.kafka.security.password" "report.smtp.password" "report.webhook.secret" "report.webhook.url" "judge.api_key" "sensitivity.paraphrase.api_key" }}
{{- $found := $config }}
{{- range splitList "." $path }}
{{- $found = ternary (get (default dict $found) .) "" (kindIs "map" $found) }}
{{- end }}
{{- if $found }}
{{- fail (printf "config.%s is a secret; put it into the Secret of secrets.existingSecret, as the key RISKMON_%s" $path ($path | upper | replace "." "__")) }}
{{- end }}
{{- end }}
{{- if and (eq .Values.store.kind "postgresql") (not .Values.store.postgresql.existingSecret) }}
{{- fail "store.kind postgresql needs store.postgresql.existingSecret, a Secret that holds the URL" }}
{{- end }}
{{- if and (ne .Values.auth.kind "none") (not .Values.auth.existingSecret) }}
{{- fail (printf "auth.kind %s needs auth.existingSecret, a Secret with %s" .Values.auth.kind (ternary "the keys username and password" "the key token" (eq .Values.auth.kind "basic"))) }}
{{- end }}
{{- if and .Values.roles.split (ne .Values.store.kind "postgresql") }}
{{- fail "roles.split needs store.kind postgresql: intake, estimate and publish are pods of their own that meet in the store, and SQLite is a file of one machine" }}
{{- end }}
{{- if and .Values.roles.split (gt (int .Values.roles.intake.replicas) 1) (eq (dig "traffic" "kafka" "mode" "stream" $config) "seek") }}
{{- fail "config.traffic.kafka.mode seek reads a sample in one process; set roles.intake.replicas to 1" }}
{{- end }}
{{- if hasSuffix "latest" (include "riskmon.image" (dict "root" . "gpu" true)) }}
{{- fail "image.tag latest changes under your feet; name a version" }}
{{- end }}
{{- end }}
