{{- /* Fails where another release acts on the same namespaces: two would undo each other's work. */ -}}
{{- define "fastchat.mustBeAlone" -}}
{{- $rbac := "rbac.authorization.k8s.io/v1" -}}
{{- $bindings := list -}}
{{- range .Values.namespaces -}}
{{- $bindings = concat $bindings (default list (lookup $rbac "RoleBinding" . "").items) -}}
{{- else -}}
{{- $bindings = default list (lookup $rbac "ClusterRoleBinding" "" "").items -}}
{{- end -}}
{{- range $bindings -}}
{{- $labels := default dict .metadata.labels -}}
{{- $ours := eq (get $labels "app.kubernetes.io/instance") $.Release.Name -}}
{{- $lease := hasSuffix "-lease" .metadata.name -}}
{{- if and (eq (get $labels "app.kubernetes.io/name") "fastchat-operator") (not $ours) (not $lease) -}}
{{- $release := get $labels "app.kubernetes.io/instance" -}}
{{- $namespace := (default (list dict) .subjects | first).namespace -}}
{{- fail (printf "the release %q in namespace %q acts on %s already, and two would undo each other's work: uninstall it (helm uninstall %s --namespace %s), or set `namespaces` to different ones in both" $release $namespace (default "all namespaces" .metadata.namespace) $release $namespace) -}}
{{- end -}}
{{- end -}}
{{- end -}}
