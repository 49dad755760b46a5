{{- /* What the names of everything in the release begin with: fastchat for the release "fastchat". */ -}}
{{- define "fastchat.stem" -}}
{{- $stem := contains .Chart.Name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name) -}}
{{- $stem | trunc 49 | trimSuffix "-" -}}
{{- end -}}

{{- /* Name of what belongs to the operator. */ -}}
{{- define "fastchat.name" -}}
{{- printf "%s-operator" (include "fastchat.stem" .) -}}
{{- end -}}

{{- define "fastchat.selector" -}}
app.kubernetes.io/name: fastchat-operator
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "fastchat.labels" -}}
{{ include "fastchat.selector" . }}
app.kubernetes.io/part-of: fastchat
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- /* Reference of one of our images, named or this release's: list of the root and the part. */ -}}
{{- define "fastchat.image" -}}
{{- index (first .).Values.images (last .) | default (include "fastchat.releaseImage" .) -}}
{{- end -}}

{{- define "fastchat.releaseImage" -}}
{{- $root := first . -}}
{{- $part := last . -}}
{{- $images := $root.Values.images -}}
{{- $registry := empty $images.registry | ternary "" (printf "%s/" (trimSuffix "/" $images.registry)) -}}
{{- $tag := default $root.Chart.AppVersion $images.tag -}}
{{- printf "%sfastchat-%s:%s" $registry $part $tag -}}
{{- end -}}
