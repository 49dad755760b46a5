import textwrap
from pathlib import Path

import pytest

from fastchat.local.manifest import Manifest, ManifestError, read
from fastchat.v1alpha1.deployment import ModelDeployment

ROOT = Path(__file__).parents[4]
HEAD = "apiVersion: fastchat.io/v1alpha1\nkind: ModelDeployment\n"
GOOD = HEAD + "metadata: {name: demo}\nspec: {model: {source: hf://org/name}}\n"


def write(folder: Path, text: str, name: str = "m.yaml") -> Path:
    file = folder / name
    file.write_text(textwrap.dedent(text))
    return file


def load(*files: Path) -> list[Manifest]:
    return read(files, pytest.fail)


def problems(*files: Path) -> list[str]:
    """What `read` complains about, without the folder of the test."""
    with pytest.raises(ManifestError) as error:
        load(*files)
    return [problem.replace(f"{files[0].parent}/", "") for problem in error.value.problems]


def test_the_quickstart_is_two_deployments() -> None:
    chat, embed = (manifest.deployment for manifest in load(ROOT / "examples" / "quickstart.yaml"))
    assert list(chat.names) == ["smollm2", "vicuna-7b-v1.1"]
    assert (embed.name, embed.spec.model.task) == ("all-minilm-l6-v2", "Embed")


def test_every_problem_of_a_file_is_told_with_its_line_and_field(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        HEAD
        + """\
metadata:
  name: demo
spec:
  replicas: two
  model:
    # where it comes from
    source: ftp://host/model
    task: embed
  tolerations:
    - key: a
      effect: NoSchedule
    - key: b
      operator: Exists
      value: x
  modle: {}
---
apiVersion: fastchat.io/v1alpha1
kind: ModelDeployment
metadata: {name: other}
spec:
  model:
    name: other
""",
    )
    assert sorted(problems(file), key=lambda problem: int(problem.split(":")[1])) == [
        "m.yaml:6: spec.replicas: should be a valid integer, not 'two'",
        "m.yaml:9: spec.model.source: unknown scheme 'ftp'; use one of hf://, pvc://, s3://, file://, package://",
        "m.yaml:10: spec.model.task: should be 'Generate', 'Embed' or 'Rerank', not 'embed'",
        "m.yaml:16: spec.tolerations[1].value: operator Exists takes no value",
        "m.yaml:17: spec.modle: is not a field; did you mean model?",
        "m.yaml:23: spec.model.source: is missing",
    ]


def test_two_files_are_judged_together(tmp_path: Path) -> None:
    first = write(tmp_path, GOOD + "nope: 1\n", "a.yaml")
    second = write(tmp_path, GOOD.replace("hf://org/name", "hf://name"), "b.yaml")
    assert [problem.split(": ")[0] for problem in problems(first, second)] == ["a.yaml:5", "b.yaml:4"]


def test_a_rule_between_fields_blames_the_line_of_its_field(tmp_path: Path) -> None:
    spec = "spec:\n  model: {source: hf://org/name}\n  autoscaling:\n    minReplicas: 3\n    maxReplicas: 2\n"
    file = write(tmp_path, HEAD + "metadata: {name: demo}\n" + spec)
    assert problems(file) == ["m.yaml:8: spec.autoscaling.maxReplicas: must not be less than minReplicas"]


def test_a_rule_about_a_field_that_was_left_out_blames_the_part_it_belongs_to(tmp_path: Path) -> None:
    spec = "spec:\n  model: {source: hf://org/name}\n  engine:\n    type: Custom\n"
    file = write(tmp_path, HEAD + "metadata: {name: demo}\n" + spec)
    assert problems(file) == ["m.yaml:6: spec.engine.image: engine Custom needs an image"]


def test_a_python_spelling_of_a_field_is_refused_as_in_the_cluster(tmp_path: Path) -> None:
    file = write(tmp_path, GOOD.replace("source:", "secret_name: a, source:"))
    assert problems(file) == ["m.yaml:4: spec.model.secret_name: is not a field; did you mean secretName?"]


def test_broken_yaml_is_told_with_its_line(tmp_path: Path) -> None:
    (problem,) = problems(write(tmp_path, GOOD + "---\nkind: x\nspec: {a: [1}\n"))
    assert problem.startswith("m.yaml:7: is not YAML: ")


def test_a_character_that_yaml_forbids_is_told(tmp_path: Path) -> None:
    (problem,) = problems(write(tmp_path, "a: \x07"))
    assert problem.startswith("m.yaml: is not YAML: ")


def test_a_file_that_is_not_text_is_told(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    file.write_bytes(b"\xff\xfe\x00")
    assert problems(file) == ["m.yaml: is not UTF-8 text"]


@pytest.mark.parametrize("document", ["just words", "- a\n- b", "42"])
def test_a_document_that_is_no_mapping_is_refused(document: str, tmp_path: Path) -> None:
    assert problems(write(tmp_path, GOOD + "---\n" + document)) == [
        "m.yaml:6: is not a mapping of apiVersion, kind, metadata and spec"
    ]


def test_a_key_given_twice_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path, GOOD.replace("{model:", "{\n  replicas: 1,\n  replicas: 2,\n  model:"))
    assert problems(file) == ["m.yaml:6: spec.replicas: is given twice"]


def test_a_key_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (problem,) = problems(write(tmp_path, GOOD + "7: x\n"))
    assert problem.startswith("m.yaml:5: ")


def test_an_anchor_that_holds_itself_is_refused(tmp_path: Path) -> None:
    (problem,) = problems(write(tmp_path, GOOD.replace("spec: {", "spec: &spec {affinity: *spec, ")))
    assert problem.startswith("m.yaml:4: ")


def test_another_version_of_the_type_is_refused(tmp_path: Path) -> None:
    assert problems(write(tmp_path, GOOD.replace("v1alpha1", "v2"))) == [
        "m.yaml:1: apiVersion: should be 'fastchat.io/v1alpha1', not 'fastchat.io/v2'"
    ]


def test_a_misspelt_kind_is_refused(tmp_path: Path) -> None:
    assert problems(write(tmp_path, GOOD.replace("ModelDeployment", "Modeldeployment"))) == [
        "m.yaml:2: kind: should be 'ModelDeployment', not 'Modeldeployment'"
    ]


def test_a_document_without_a_kind_is_refused(tmp_path: Path) -> None:
    assert problems(write(tmp_path, GOOD.replace("kind: ModelDeployment\n", ""))) == ["m.yaml:1: kind: is missing"]


def test_what_else_kubectl_would_apply_is_passed_over_with_a_note(tmp_path: Path) -> None:
    notes: list[str] = []
    file = write(tmp_path, "apiVersion: v1\nkind: Namespace\nmetadata: {name: team}\n---\n" + GOOD + "---\n")
    (manifest,) = read([file], notes.append)
    assert manifest.deployment.name == "demo"
    assert notes == [f"{file}:1: passed over: Namespace is for kubectl"]


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "---\n---\n"])
def test_a_file_without_a_deployment_is_refused(text: str, tmp_path: Path) -> None:
    assert problems(write(tmp_path, text)) == ["m.yaml: holds no ModelDeployment"]


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    assert problems(tmp_path / "m.yaml") == ["m.yaml: no such file or directory"]


def test_a_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    assert problems(tmp_path / "models") == ["models: is a directory; name the files in it, such as models/*.yaml"]


def test_a_resource_deployed_twice_is_refused(tmp_path: Path) -> None:
    first, second = write(tmp_path, GOOD, "a.yaml"), write(tmp_path, GOOD, "b.yaml")
    (problem,) = problems(first, second)
    assert problem == f"b.yaml:3: metadata.name: 'demo' is already deployed in {'a.yaml:3'}"


def test_a_name_that_another_deployment_serves_is_refused(tmp_path: Path) -> None:
    other = GOOD.replace("name: demo", "name: other").replace("{source", "{aliases: [x, demo], source")
    (problem,) = problems(write(tmp_path, GOOD + "---\n" + other))
    assert problem == "m.yaml:9: spec.model.aliases[1]: 'demo' is already served by the deployment in m.yaml:3"


def test_a_date_stays_the_text_that_it_is(tmp_path: Path) -> None:
    (manifest,) = load(write(tmp_path, GOOD.replace("{model", "{nodeSelector: {built: 2026-11-23}, model")))
    assert manifest.deployment.spec.node_selector == {"built": "2026-11-23"}


def test_a_merged_mapping_is_read_and_its_errors_have_lines(tmp_path: Path) -> None:
    spec = "spec:\n  model: {source: hf://org/name}\n  queue: &q {maxRequests: none}\n  resources: {limits: {<<: *q}}\n"
    file = write(tmp_path, HEAD + "metadata: {name: demo}\n" + spec)
    assert [problem.split(":")[1] for problem in problems(file)] == ["6", "6"]


def test_a_deployment_can_be_blamed_afterwards(tmp_path: Path) -> None:
    (manifest,) = load(write(tmp_path, GOOD, "a.yaml"))
    assert isinstance(manifest.deployment, ModelDeployment)
    assert manifest.problem(("spec", "engine", "type"), "no").endswith("a.yaml:4: spec.engine.type: no")
