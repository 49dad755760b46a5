{{- /* A ValidatingAdmissionPolicy and its binding: list of the root, what is checked, the policy's spec as YAML, and the
namespaces that it is for, none for all. There may be a release of the same name in another namespace. */ -}}
{{- define "fastchat.admission" -}}
{{- $root := index . 0 -}}
{{- $name := printf "%s-%s.%s" (include "fastchat.name" $root) (index . 1) $root.Release.Namespace -}}
{{- $namespaces := index . 3 -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: {{ $name }}
  labels:
    {{- include "fastchat.labels" $root | nindent 4 }}
spec:
  failurePolicy: Fail
  {{- index . 2 | nindent 2 }}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ $name }}
  labels:
    {{- include "fastchat.labels" $root | nindent 4 }}
spec:
  policyName: {{ $name }}
  validationActions: [Deny]
  {{- with $namespaces }}
  matchResources:
    namespaceSelector:
      matchExpressions:
        - {key: kubernetes.io/metadata.name, operator: In, values: {{ toJson . }}}
  {{- end }}
{{- end -}}

{{- /* Only what the operator writes is checked. */ -}}
{{- define "fastchat.byOperator" -}}
matchConditions:
  - name: by-operator
    expression: request.userInfo.username == "system:serviceaccount:{{ .Release.Namespace }}:{{ include "fastchat.name" . }}"
{{- end -}}

{{- /* What it makes for a namespace has one of these names; what it makes for a ModelDeployment belongs to that. */ -}}
{{- define "fastchat.operatorObjects" -}}
matchConstraints:
  resourceRules:
    - apiGroups: [apps]
      apiVersions: [v1]
      operations: [CREATE, UPDATE, DELETE]
      resources: [deployments]
    - apiGroups: [""]
      apiVersions: [v1]
      operations: [CREATE, UPDATE, DELETE]
      resources: [services, serviceaccounts, secrets]
    - apiGroups: [policy]
      apiVersions: [v1]
      operations: [CREATE, UPDATE, DELETE]
      resources: [poddisruptionbudgets]
    - apiGroups: [networking.k8s.io]
      apiVersions: [v1]
      operations: [CREATE, UPDATE, DELETE]
      resources: [networkpolicies]
    - apiGroups: [rbac.authorization.k8s.io]
      apiVersions: [v1]
      operations: [CREATE, UPDATE, DELETE]
      resources: [roles, rolebindings]
{{ include "fastchat.byOperator" . }}
variables:
  - name: subject
    expression: "request.operation == 'DELETE' ? oldObject : object"
  - name: isSecret
    expression: request.resource.resource == 'secrets'
  - name: wasOurs
    expression: >-
      oldObject == null
      || (has(oldObject.metadata.labels) && 'app.kubernetes.io/managed-by' in oldObject.metadata.labels
      && oldObject.metadata.labels['app.kubernetes.io/managed-by'] == 'fastchat-operator')
      || (has(oldObject.metadata.annotations) && 'fastchat.io/applied-hash' in oldObject.metadata.annotations)
  - name: isOurs
    expression: >-
      has(variables.subject.metadata.labels) && 'app.kubernetes.io/managed-by' in variables.subject.metadata.labels
      && variables.subject.metadata.labels['app.kubernetes.io/managed-by'] == 'fastchat-operator'
  - name: ownName
    expression: >-
      variables.isSecret ? variables.subject.metadata.name == 'fastchat-internal'
      : request.resource.resource == 'networkpolicies'
      ? variables.subject.metadata.name in ['fastchat-gateway', 'fastchat-workers']
      : variables.subject.metadata.name == 'fastchat-gateway'
  - name: ofModel
    expression: >-
      request.resource.resource in ['deployments', 'services'] && has(variables.subject.metadata.ownerReferences)
      && variables.subject.metadata.ownerReferences.exists(o, o.kind == 'ModelDeployment'
      && o.apiVersion.startsWith('fastchat.io/') && has(o.controller) && o.controller)
validations:
  - expression: variables.isSecret || variables.wasOurs
    message: FastChat's operator changes and deletes only what it has made
  - expression: request.operation == 'DELETE' || variables.isOurs
    message: FastChat's operator labels what it makes with app.kubernetes.io/managed-by
  - expression: variables.ownName || variables.ofModel
    message: FastChat's operator writes objects of a gateway and of ModelDeployments only
{{- end -}}

{{- define "fastchat.operatorPods" -}}
matchConstraints:
  resourceRules:
    - apiGroups: [apps]
      apiVersions: [v1]
      operations: [CREATE, UPDATE]
      resources: [deployments]
{{ include "fastchat.byOperator" . }}
variables:
  - name: pod
    expression: object.spec.template.spec
  - name: containers
    expression: >-
      variables.pod.containers + (has(variables.pod.initContainers) ? variables.pod.initContainers : [])
validations:
  - expression: >-
      !(has(variables.pod.hostNetwork) && variables.pod.hostNetwork)
      && !(has(variables.pod.hostPID) && variables.pod.hostPID) && !(has(variables.pod.hostIPC) && variables.pod.hostIPC)
    message: FastChat's operator starts no pods in the node's network, among its processes or with its memory
  - expression: >-
      has(variables.pod.securityContext) && has(variables.pod.securityContext.runAsNonRoot)
      && variables.pod.securityContext.runAsNonRoot
      && variables.containers.all(c, has(c.securityContext)
      && !(has(c.securityContext.privileged) && c.securityContext.privileged)
      && !(has(c.securityContext.runAsUser) && c.securityContext.runAsUser == 0)
      && (!has(c.securityContext.runAsNonRoot) || c.securityContext.runAsNonRoot)
      && has(c.securityContext.allowPrivilegeEscalation) && !c.securityContext.allowPrivilegeEscalation
      && !(has(c.securityContext.capabilities) && has(c.securityContext.capabilities.add)
      && size(c.securityContext.capabilities.add) > 0))
    message: FastChat's operator starts no pods with privileges
{{- end -}}

{{- define "fastchat.operatorRights" -}}
matchConstraints:
  resourceRules:
    - apiGroups: [rbac.authorization.k8s.io]
      apiVersions: [v1]
      operations: [CREATE, UPDATE]
      resources: [roles]
{{ include "fastchat.byOperator" . }}
validations:
  - expression: >-
      has(object.rules) && object.rules.all(r, r.verbs.all(v, v in ['get', 'list', 'watch'])
      && has(r.resources) && r.resources.all(each, each in ['modeldeployments', 'endpointslices']))
    message: FastChat's operator lets gateways read ModelDeployments and EndpointSlices, and nothing else
{{- end -}}

{{- define "fastchat.operatorBindings" -}}
matchConstraints:
  resourceRules:
    - apiGroups: [rbac.authorization.k8s.io]
      apiVersions: [v1]
      operations: [CREATE, UPDATE]
      resources: [rolebindings]
{{ include "fastchat.byOperator" . }}
validations:
  - expression: >-
      object.roleRef.kind == 'Role' && object.roleRef.name == 'fastchat-gateway' && has(object.subjects)
      && object.subjects.all(s, s.kind == 'ServiceAccount' && s.name == 'fastchat-gateway'
      && has(s.namespace) && s.namespace == object.metadata.namespace)
    message: FastChat's operator gives rights to the gateway of the same namespace only
{{- end -}}

{{- define "fastchat.operatorServices" -}}
matchConstraints:
  resourceRules:
    - apiGroups: [""]
      apiVersions: [v1]
      operations: [CREATE, UPDATE]
      resources: [services]
{{ include "fastchat.byOperator" . }}
validations:
  - expression: >-
      (!has(object.spec.type) || object.spec.type == 'ClusterIP') && (!has(object.spec.externalIPs)
      || (oldObject != null && has(oldObject.spec.externalIPs) && object.spec.externalIPs == oldObject.spec.externalIPs))
    message: FastChat's operator opens Services inside the cluster only
{{- end -}}

{{- define "fastchat.operatorIdleness" -}}
matchConstraints:
  resourceRules:
    - apiGroups: [""]
      apiVersions: [v1]
      operations: [CREATE, UPDATE, DELETE]
      resources: [pods]
{{ include "fastchat.byOperator" . }}
variables:
  - name: now
    expression: "object != null && has(object.metadata.annotations) ? object.metadata.annotations : {}"
  - name: before
    expression: "oldObject != null && has(oldObject.metadata.annotations) ? oldObject.metadata.annotations : {}"
validations:
  - expression: >-
      request.operation == 'UPDATE' && object.spec == oldObject.spec
      && has(oldObject.metadata.labels) && object.metadata.labels == oldObject.metadata.labels
      && 'app.kubernetes.io/managed-by' in oldObject.metadata.labels
      && oldObject.metadata.labels['app.kubernetes.io/managed-by'] == 'fastchat-operator'
      && variables.now.all(k, k == 'controller.kubernetes.io/pod-deletion-cost'
      || (k in variables.before && variables.before[k] == variables.now[k]))
      && variables.before.all(k, k in variables.now)
    message: FastChat's operator says of its pods which is idle, and nothing else
{{- end -}}

{{- /* What a ModelDeployment may ask for, whoever writes it; what is there already stays as long as it is not changed. */ -}}
{{- define "fastchat.modelDeployments" -}}
{{- $allowed := .Values.admissionPolicies.modelDeployments -}}
matchConstraints:
  resourceRules:
    - apiGroups: [fastchat.io]
      apiVersions: ["*"]
      operations: [CREATE, UPDATE]
      resources: [modeldeployments]
matchConditions:
  - name: asks-for-something-new
    expression: oldObject == null || object.spec != oldObject.spec
validations:
  - expression: >-
      !has(object.spec.serviceAccountName) || object.spec.serviceAccountName in {{ toJson $allowed.serviceAccounts }}
    messageExpression: >-
      "spec.serviceAccountName: " + object.spec.serviceAccountName + " is not one of those that the cluster's administrator allows: "
      + {{ join ", " $allowed.serviceAccounts | default "none" | toJson }}
    reason: Forbidden
  - expression: >-
      !has(object.spec.volumes) || object.spec.volumes.all(v, v.all(k, k in {{ prepend $allowed.volumeTypes "name" | toJson }}))
    message: >-
      spec.volumes: the cluster's administrator allows only these types: {{ join ", " $allowed.volumeTypes | default "none" }}
    reason: Forbidden
  - expression: >-
      !has(object.spec.engine) || !has(object.spec.engine.image)
      || {{ toJson $allowed.imagePrefixes }}.exists(p, object.spec.engine.image.startsWith(p))
    messageExpression: >-
      "spec.engine.image: " + object.spec.engine.image + " does not begin with what the cluster's administrator allows: "
      + {{ join ", " $allowed.imagePrefixes | default "none" | toJson }}
    reason: Forbidden
  {{- if not $allowed.trustRemoteCode }}
  - expression: >-
      !(has(object.spec.model.trustRemoteCode) && object.spec.model.trustRemoteCode)
      && (!has(object.spec.engine) || !has(object.spec.engine.args)
      || object.spec.engine.args.all(a, size(a) < 4
      || !'--trust-remote-code'.startsWith(a.lowerAscii().replace('_', '-').split('=')[0])))
    message: >-
      spec.model.trustRemoteCode: the cluster's administrator does not allow models to bring code of their own
    reason: Forbidden
  {{- end }}
{{- end -}}
