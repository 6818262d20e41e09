{{/*
The pod of one role, or of all of them.

  root      the chart's own context
  role      intake, estimate or publish; empty does everything
  once      whether it ends by itself; then it serves nothing
  gpu       whether it gets the device
  place     resources, nodeSelector, tolerations, affinity
  claim     of what it writes; empty keeps that no longer than the pod
*/}}
{{- define "riskmon.pod" -}}
{{- $root := .root }}
{{- $probe := dict "port" "http" "scheme" (include "riskmon.scheme" $root | upper) }}
{{- with $root }}
metadata:
  labels:
    {{- include "riskmon.labels" . | nindent 4 }}
    {{- include "riskmon.component" $.role | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    # The configuration is read once at start: a changed one must start a new pod.
    checksum/config: {{ include "riskmon.config" . | sha256sum }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- if $.once }}
  restartPolicy: Never
  {{- end }}
  serviceAccountName: {{ include "riskmon.serviceAccount" . }}
  automountServiceAccountToken: false
  # Variables of a Service named riskmon would begin with RISKMON_, as those of the configuration do.
  enableServiceLinks: false
  # The drain takes ten seconds at most.
  terminationGracePeriodSeconds: 30
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if and $.gpu .Values.gpu.runtimeClassName }}
  runtimeClassName: {{ .Values.gpu.runtimeClassName }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 10001
    runAsGroup: 10001
    fsGroup: 10001
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile:
      type: RuntimeDefault
  containers:
    - name: riskmon
      image: {{ include "riskmon.image" (dict "root" . "gpu" $.gpu) | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      {{- if $.role }}
      args: [run, -c, /etc/riskmon/riskmon.yaml, --role, {{ $.role }}{{ if $.once }}, --once{{ end }}]
      {{- end }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities:
          drop: [ALL]
      env:
        - name: HF_HOME
          value: /var/lib/riskmon/hub
        - name: RISKMON_SECRETS_DIR
          value: /run/secrets/riskmon
        {{- if and (eq $.role "intake") (gt (int .Values.roles.intake.replicas) 1) }}
        # Several readers share the partitions; each alone would read them all, and be refused by the store.
        - name: RISKMON_TRAFFIC__KAFKA__ASSIGNMENT
          value: group
        {{- end }}
      {{- if not $.once }}
      ports:
        - name: http
          containerPort: 9108
      # A restart cures a dead loop, and neither a slow model nor an absent Kafka: those are readiness.
      startupProbe:
        httpGet: {{ merge (dict "path" "/healthz") $probe | toJson }}
        periodSeconds: 5
        failureThreshold: 24
      livenessProbe:
        httpGet: {{ merge (dict "path" "/healthz") $probe | toJson }}
        periodSeconds: 30
        timeoutSeconds: 5
        failureThreshold: 3
      readinessProbe:
        httpGet: {{ merge (dict "path" "/readyz") $probe | toJson }}
        periodSeconds: 15
        timeoutSeconds: 5
      {{- end }}
      resources:
        {{- $limits := deepCopy $.place.resources.limits }}
        {{- if and $.gpu (gt (int .Values.gpu.count) 0) }}
        {{- $_ := set $limits .Values.gpu.resource (int .Values.gpu.count) }}
        {{- end }}
        requests:
          {{- toYaml $.place.resources.requests | nindent 10 }}
        limits:
          {{- toYaml $limits | nindent 10 }}
      volumeMounts:
        - name: config
          mountPath: /etc/riskmon
          readOnly: true
        - name: secrets
          mountPath: /run/secrets/riskmon
          readOnly: true
        - name: data
          mountPath: /var/lib/riskmon
        - name: tmp
          mountPath: /tmp
        {{- if and .Values.models.existingClaim (ne $.role "intake") }}
        - name: models
          mountPath: /models
          readOnly: true
        {{- end }}
  volumes:
    - name: config
      configMap:
        name: {{ include "riskmon.fullname" . }}
    - name: secrets
      projected:
        # Readable by riskmon's group, which fsGroup gives it, and by nobody else.
        defaultMode: 0440
        {{- $sources := list }}
        {{- with .Values.secrets.existingSecret }}
        {{- $sources = append $sources (dict "secret" (dict "name" .)) }}
        {{- end }}
        {{- if eq .Values.store.kind "postgresql" }}
        {{- $items := list (dict "key" .Values.store.postgresql.key "path" "RISKMON_STORE__URL") (dict "key" .Values.store.postgresql.textKey "path" "RISKMON_STORE__KEY") }}
        {{- $sources = append $sources (dict "secret" (dict "name" .Values.store.postgresql.existingSecret "items" $items)) }}
        {{- end }}
        {{- if eq .Values.auth.kind "basic" }}
        {{- $items := list (dict "key" "username" "path" "RISKMON_PUBLISH__AUTH__USERNAME") (dict "key" "password" "path" "auth_password") }}
        {{- $sources = append $sources (dict "secret" (dict "name" .Values.auth.existingSecret "items" $items)) }}
        {{- else if eq .Values.auth.kind "bearer" }}
        {{- $sources = append $sources (dict "secret" (dict "name" .Values.auth.existingSecret "items" (list (dict "key" "token" "path" "auth_token")))) }}
        {{- end }}
        {{- with .Values.tls.existingSecret }}
        {{- $items := list (dict "key" "tls.crt" "path" "tls.crt") (dict "key" "tls.key" "path" "tls.key") }}
        {{- $sources = append $sources (dict "secret" (dict "name" . "items" $items)) }}
        {{- end }}
        sources: {{ toJson $sources }}
    - name: data
      {{- if $.claim }}
      persistentVolumeClaim:
        claimName: {{ $.claim }}
      {{- else }}
      emptyDir: {}
      {{- end }}
    - name: tmp
      emptyDir: {}
    {{- if and .Values.models.existingClaim (ne $.role "intake") }}
    - name: models
      persistentVolumeClaim:
        claimName: {{ .Values.models.existingClaim }}
        readOnly: true
    {{- end }}
  {{- end }}
  {{- with .place.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .place.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .place.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{/* What tells the pods of the roles apart; nothing where one pod does everything. */}}
{{- define "riskmon.component" -}}
{{- with . -}}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end }}

{{/* The claim of the pod that keeps reports, and with SQLite the store. */}}
{{- define "riskmon.claim" -}}
{{- if .Values.persistence.enabled }}{{ default (include "riskmon.fullname" .) .Values.persistence.existingClaim }}{{ end }}
{{- end }}

{{/* A name with room for what Kubernetes appends: to a Deployment's 17 characters, to a CronJob's 11. */}}
{{- define "riskmon.partname" -}}
{{ include "riskmon.fullname" .root | trunc 43 | trimSuffix "-" }}-{{ .role }}
{{- end }}
