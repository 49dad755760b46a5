{{- /* Metadata of what somebody else finds by its labels: list of the root, the name and those labels. */ -}}
{{- define "fastchat.found" -}}
{{- $root := index . 0 -}}
name: {{ index . 1 }}
namespace: {{ $root.Release.Namespace }}
labels:
  {{- merge (include "fastchat.labels" $root | fromYaml) (index . 2) | toYaml | nindent 2 }}
{{- end -}}
