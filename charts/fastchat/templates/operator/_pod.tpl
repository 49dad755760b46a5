{{- /* What the operator's pods and the pod of `helm test` have in common; both pass Pod Security's `restricted`. */ -}}
{{- define "fastchat.pod" -}}
enableServiceLinks: false
{{- with .Values.images.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  seccompProfile:
    type: RuntimeDefault
{{- with pick .Values.operator "nodeSelector" "tolerations" "affinity" "priorityClassName" | include "fastchat.given" }}
{{ . }}
{{- end }}
{{- end -}}

{{- define "fastchat.container" -}}
imagePullPolicy: {{ .Values.images.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
terminationMessagePolicy: FallbackToLogsOnError
{{- end -}}
