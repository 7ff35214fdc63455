{{/* The distribution's place for the kubelet's credential. */}}
{{- define "podidentd.distribution" -}}
{{- get (.Files.Get "distributions.yaml" | fromYaml) .Values.distribution | toYaml }}
{{- end }}

{{- define "podidentd.labels" -}}
app.kubernetes.io/name: podidentd
app.kubernetes.io/part-of: podidentd
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{/* The agent's configuration file. */}}
{{- define "podidentd.config" -}}
{{- $base := dict
    "cgroup" (dict "mount-point" "/host/sys/fs/cgroup")
    "bpf" (dict "pin-directory" "/sys/fs/bpf/podidentd")
    "admin" (dict "socket" "/run/podidentd/admin.sock") }}
{{- mergeOverwrite $base (deepCopy .Values.config) | toYaml }}
{{- end }}

{{/* The clouds that are served, as a list in YAML: config.clouds is a text with commas or a list. */}}
{{- define "podidentd.clouds" -}}
{{- $clouds := get .Values.config "clouds" | default "google" }}
{{- if kindIs "slice" $clouds }}{{ $clouds = join "," $clouds }}{{ end }}
{{- splitList "," (nospace $clouds) | toYaml }}
{{- end }}

{{/* "google" where Google's protocol is served, which needs Google's values; else nothing. */}}
{{- define "podidentd.google" -}}
{{- if has "google" (include "podidentd.clouds" . | fromYamlArray) }}google{{ end }}
{{- end }}

{{/* Settings by variable, which win over the file. */}}
{{- define "podidentd.settings" -}}
{{- if include "podidentd.google" . -}}
PODIDENTD_GOOGLE_PROVIDER: {{ .Values.google.provider | quote }}
PODIDENTD_GOOGLE_PROJECT_ID: {{ .Values.google.projectId | quote }}
PODIDENTD_GOOGLE_PROJECT_NUMBER: {{ .Values.google.projectNumber | quote }}
{{ end -}}
PODIDENTD_KUBERNETES_KUBECONFIG: {{ get (include "podidentd.distribution" . | fromYaml) "kubeconfig" | quote }}
{{- with .Values.rbac.audienceScopes }}
{{- $namespaces := list }}
{{- range . }}{{ $namespaces = append $namespaces .namespace }}{{ end }}
PODIDENTD_KUBERNETES_AUDIENCE_NAMESPACES: {{ $namespaces | uniq | join "," | quote }}
{{- end }}
{{- if .Values.google.caConfigMap }}
PODIDENTD_GOOGLE_CA_FILE: /etc/podidentd-google/ca.crt
{{- end }}
{{- if .Values.startupTaint }}
PODIDENTD_STARTUP_TAINT_KEY: podidentd.io/agent-not-ready
PODIDENTD_STARTUP_TAINT_TOKEN_FILE: /var/run/secrets/podidentd/token
{{- end }}
{{- if .Values.spiffe.trustDomain }}
PODIDENTD_SPIFFE_PORT: "9256"
PODIDENTD_SPIFFE_TRUST_DOMAIN: {{ .Values.spiffe.trustDomain | quote }}
PODIDENTD_SPIFFE_SIGNER: {{ .Values.spiffe.signer | quote }}
PODIDENTD_SPIFFE_CA_FILE: /etc/podidentd-signer/ca.crt
{{- with .Values.spiffe.metadataPort }}
PODIDENTD_SPIFFE_METADATA_PORT: {{ . | quote }}
{{- end }}
{{- if ne .Values.spiffe.certificates "auto" }}
PODIDENTD_SPIFFE_CERTIFICATES: {{ .Values.spiffe.certificates | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* The audiences that nodes may ask for, by the name of their rule. Google's is that of the tokens, which is the provider
unless it is configured. Another cloud's is rbac.cloudAudiences', else the configured one, else the cloud's default. */}}
{{- define "podidentd.audiences" -}}
{{- $audiences := dict }}
{{- $defaults := .Files.Get "clouds.yaml" | fromYaml }}
{{- range $cloud := include "podidentd.clouds" . | fromYamlArray }}
{{- $settings := get $.Values.config $cloud | default dict }}
{{- if eq $cloud "google" }}
{{- $_ := set $audiences "podidentd-audience" (get $settings "token-audience" | default $.Values.google.provider) }}
{{- else if get $defaults $cloud }}
{{- $_ := set $audiences (printf "podidentd-audience-%s" $cloud) (get $settings "audience" | default (get $defaults $cloud)) }}
{{- end }}
{{- end }}
{{- range $cloud, $audience := .Values.rbac.cloudAudiences }}
{{- $_ := set $audiences (printf "podidentd-audience-%s" $cloud) $audience }}
{{- end }}
{{- $audiences | toYaml }}
{{- end }}

{{/* Fails with one sentence that names every value that is missing. The schema cannot: it calls an empty text a mismatch. */}}
{{- define "podidentd.requireValues" -}}
{{- $missing := list }}
{{- range ternary (list "provider" "projectId" "projectNumber") list (ne (include "podidentd.google" .) "") }}
{{- if not (get $.Values.google .) }}{{ $missing = append $missing (printf "google.%s" .) }}{{ end }}
{{- end }}
{{- if $missing }}
{{- fail (printf "podidentd is not installed, because the chart needs %s: set each with --set NAME=VALUE (projectNumber with --set-string) or in a values file; values.yaml says what they are. Without Google: --set config.clouds=aws or azure" (join ", " $missing)) }}
{{- end }}
{{- end }}
