{{- /* The operator's settings file. Its keys are the values' own; what is empty is left to the operator. */ -}}
{{- define "fastchat.settings" -}}
{{- $values := .Values -}}
{{- $election := $values.leaderElection -}}
{{- if gt (mul 2 $election.renewSeconds) (int $election.leaseSeconds) -}}
{{- fail "leaderElection.renewSeconds must be at most half of leaderElection.leaseSeconds: a Lease is renewed before it runs out" -}}
{{- end -}}
{{- include "fastchat.checkEnv" . -}}
{{- $images := pick $values.images "gateway" "worker" "vllm" "pullPolicy" "pullSecrets" -}}
{{- $release := dict -}}
{{- range list "gateway" "worker" -}}
{{- $_ := include "fastchat.releaseImage" (list $ .) | set $release . -}}
{{- end -}}
{{- $gateway := include "fastchat.given" $values.gateway | fromYaml -}}
{{- if $values.monitoring.podMonitors -}}
{{- $_ := append (default list $gateway.args) "--open-metrics" | set $gateway "args" -}}
{{- end -}}
{{- $settings := dict
  "namespaces" $values.namespaces
  "release" $release
  "images" (include "fastchat.given" $images | fromYaml)
  "gateway" $gateway
  "worker" (include "fastchat.given" $values.worker | fromYaml)
  "leaderElection" (include "fastchat.name" . | set (deepCopy $election) "name")
  "resyncSeconds" $values.resyncSeconds
-}}
{{- $policy := include "fastchat.given" $values.networkPolicies | fromYaml -}}
{{- with $policy.gatewayFrom -}}
{{- $_ := include "fastchat.operatorPeer" $ | fromYaml | prepend . | set $policy "gatewayFrom" -}}
{{- end -}}
{{- $_ := set $settings "networkPolicy" $policy -}}
{{- include "fastchat.given" $settings -}}
{{- end -}}

{{- /* Environment variables that FastChat sets itself; the operator refuses them too. */ -}}
{{- define "fastchat.reserved" -}}
gateway: [POD_NAMESPACE, FASTCHAT_INTERNAL_TOKEN]
worker: [FASTCHAT_INTERNAL_TOKEN, VLLM_API_KEY, HOME, USER, HF_HOME, FASTCHAT_CACHE_DIR, VLLM_CACHE_ROOT,
  FASTCHAT_MODEL_NAME, FASTCHAT_MODEL_PATH, PORT]
{{- end -}}

{{- define "fastchat.checkEnv" -}}
{{- range $part, $reserved := include "fastchat.reserved" . | fromYaml -}}
{{- $seen := list -}}
{{- range (index $.Values $part).env -}}
{{- if has .name $reserved -}}
{{- fail (printf "%s.env: %s is set by FastChat itself: leave it out" $part .name) -}}
{{- end -}}
{{- if has .name $seen -}}
{{- fail (printf "%s.env: %s is given twice" $part .name) -}}
{{- end -}}
{{- $seen = append $seen .name -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* The operator as a peer: the autoscaler asks gateways for their demand. */ -}}
{{- define "fastchat.operatorPeer" -}}
namespaceSelector:
  matchLabels:
    kubernetes.io/metadata.name: {{ .Release.Namespace }}
podSelector:
  matchLabels:
    {{- include "fastchat.selector" . | nindent 4 }}
{{- end -}}

{{- /* The fields that say something; 0 and false do. */ -}}
{{- define "fastchat.given" -}}
{{- $given := dict -}}
{{- range $name, $value := . -}}
{{- if or $value (has (kindOf $value) (list "bool" "int" "int64" "float64")) -}}
{{- $_ := set $given $name $value -}}
{{- end -}}
{{- end -}}
{{- with $given }}{{ toYaml . }}{{ end -}}
{{- end -}}
