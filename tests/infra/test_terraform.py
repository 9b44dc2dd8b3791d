"""infra/terraform: the same parameters and outputs as the template, read by another parser of HCL."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import hcl2
import pytest
from policies import GIVEN, MADE
from samtranslator.yaml_helper import yaml_parse
from stack import deployed_text, translated
from support import ROOT
from terraform import FOLDER, LEFT_OUT, files, snake_case

pytestmark = pytest.mark.xdist_group("infra")

TEMPLATE: dict[str, Any] = translated()
PARAMETERS = {name: each for name, each in TEMPLATE["Parameters"].items() if name not in LEFT_OUT}
OWN = {"name", "artifact", "artifact_bucket", "tags"}
KINDS = {"String": "string", "Number": "number", "CommaDelimitedList": "list(string)"}


def text_of(value: Any) -> Any:
    """Return a value as it is, without what the parser keeps of its spelling."""
    if isinstance(value, dict):
        return {text_of(key): text_of(item) for key, item in value.items() if key != "__is_block__"}
    if isinstance(value, list):
        return [text_of(item) for item in value]
    if isinstance(value, str):
        plain = re.fullmatch(r'"(.*)"', value, re.DOTALL)
        whole = re.fullmatch(r"\$\{(.*)\}", value, re.DOTALL)
        return json.loads(value) if plain else whole[1] if whole else value
    return value


def module() -> dict[str, list[Any]]:
    """Return all blocks of the module, by their kind."""
    blocks: dict[str, list[Any]] = {}
    for path in sorted(FOLDER.glob("*.tf")):
        for kind, found in text_of(hcl2.loads(path.read_text("utf-8"))).items():
            blocks.setdefault(kind, []).extend(found)
    return blocks


def named(kind: str) -> dict[str, Any]:
    return {name: body for block in module()[kind] for name, body in block.items()}


def local(name: str) -> Any:
    (found,) = [block[name] for block in module()["locals"] if name in block]
    return found


def test_what_follows_from_the_template_is_up_to_date() -> None:
    source: dict[str, Any] = yaml_parse((ROOT / "infra" / "template.yaml").read_text("utf-8"))
    for name, text in files(source).items():
        assert (FOLDER / name).read_text("utf-8") == text, "run infra/terraform.py"


def test_every_parameter_is_a_variable_with_the_same_default() -> None:
    variables = named("variable")
    assert variables.keys() == {snake_case(name) for name in PARAMETERS} | OWN
    for name, parameter in PARAMETERS.items():
        variable = variables[snake_case(name)]
        assert variable["type"] == KINDS[parameter["Type"]]
        default = variable["default"]
        if parameter["Type"] == "CommaDelimitedList":
            assert ",".join(default) == parameter["Default"]
        else:
            assert str(default) == str(parameter["Default"]), name
        assert len(variable["description"]) > 20


def test_every_bound_of_a_parameter_is_one_of_its_variable() -> None:
    variables = named("variable")
    bounds = {
        "AllowedValues": "contains(",
        "AllowedPattern": "can(regex(",
        "MinValue": ">=",
        "MaxValue": "<=",
    }
    checked = 0
    for name, parameter in PARAMETERS.items():
        conditions = [
            each["condition"] for each in variables[snake_case(name)].get("validation", ())
        ]
        wanted = [bounds[key] for key in bounds if key in parameter]
        assert len(conditions) == len(wanted), name
        assert all(any(mark in condition for condition in conditions) for mark in wanted)
        checked += len(wanted)
    assert checked > 40


def test_every_variable_reaches_the_stack_as_its_parameter() -> None:
    handed = local("parameters")
    assert handed.keys() == PARAMETERS.keys()
    for name, value in handed.items():
        assert re.search(rf"\bvar\.{snake_case(name)}\b", value)
    (stack,) = [block["pipeline"] for block in (named("resource")["aws_cloudformation_stack"],)]
    assert stack["parameters"] == "local.parameters"
    assert set(stack["capabilities"]) == {"CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"}


def test_every_output_of_the_stack_is_one_of_the_module() -> None:
    outputs = named("output")
    assert outputs.keys() == {snake_case(name) for name in TEMPLATE["Outputs"]}
    for name in TEMPLATE["Outputs"]:
        assert outputs[snake_case(name)]["value"] == (
            f'lookup(aws_cloudformation_stack.pipeline.outputs, "{name}", null)'
        )


def test_the_archives_that_are_uploaded_are_those_of_the_template() -> None:
    named_in_it = set(re.findall(r"CodeUri: (\S+)", deployed_text()))
    assert named_in_it == {"function.zip", "scheduled.zip"}
    assert all(f'"{name}"' in str(local("archives")) for name in named_in_it)
    assert deployed_text().count("CodeUri: ") == 5  # and none in a comment, which is replaced, too


@pytest.mark.parametrize("path", sorted(FOLDER.glob("examples/*/main.tf")), ids=str)
def test_an_example_gives_variables_that_there_are(path: Path) -> None:
    parsed = text_of(hcl2.loads(path.read_text("utf-8")))
    (call,) = [block["pipeline"] for block in parsed["module"]]
    given = call.keys() - {"source"}
    assert given <= named("variable").keys()
    assert {"name", "artifact", "artifact_bucket"} <= given
    assert (path.parent / call["source"]).resolve() == FOLDER.resolve()
    for name in re.findall(r"module\.pipeline\.(\w+)", path.read_text("utf-8")):
        assert name in named("output")


# ------------------------------------------------------------- by Terraform itself, where it is


def terraform(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("terraform")
    if program is None:
        pytest.skip("There is no terraform on the PATH: the module was read by python-hcl2 alone.")
    environment = {**os.environ, "TF_CLI_CONFIG_FILE": "/dev/null", "CHECKPOINT_DISABLE": "1"}
    return subprocess.run(
        [program, *words], cwd=folder, capture_output=True, text=True, check=False, env=environment
    )


@pytest.fixture
def without_provider(tmp_path: Path) -> Path:
    """What of the module needs no provider, which cannot be had offline: variables and parameters."""
    for name in ("variables.tf", "parameters.tf"):
        shutil.copy(FOLDER / name, tmp_path)
    (tmp_path / "shown.tf").write_text('output "parameters" {\n  value = local.parameters\n}\n')
    assert terraform(tmp_path, "init", "-no-color").returncode == 0
    return tmp_path


def planned(folder: Path, variables: dict[str, Any]) -> dict[str, str]:
    """Return the parameters that Terraform would hand to the stack."""
    (folder / "given.auto.tfvars.json").write_text(json.dumps(variables))
    done = terraform(folder, "plan", "-no-color", "-out=plan")
    assert done.returncode == 0, done.stderr
    shown = terraform(folder, "show", "-json", "plan")
    found: dict[str, str] = json.loads(shown.stdout)["planned_values"]["outputs"]["parameters"][
        "value"
    ]
    return found


def test_the_files_are_formatted_as_terraform_has_it() -> None:
    done = terraform(FOLDER, "fmt", "-check", "-recursive", "-no-color")
    assert (done.returncode, done.stdout) == (0, "")


def test_terraform_hands_the_templates_own_defaults_to_the_stack(without_provider: Path) -> None:
    assert terraform(without_provider, "validate", "-no-color").returncode == 0
    defaults = {name: str(parameter["Default"]) for name, parameter in PARAMETERS.items()}
    assert planned(without_provider, {}) == defaults


@pytest.mark.parametrize("given", [MADE, GIVEN])
def test_terraform_hands_on_what_it_is_given(given: dict[str, str], without_provider: Path) -> None:
    lists = {name for name, each in PARAMETERS.items() if each["Type"] == "CommaDelimitedList"}
    variables = {
        snake_case(name): value.split(",") if name in lists else value
        for name, value in given.items()
    }
    found = planned(without_provider, variables)
    assert {name: found[name] for name in given} == given


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("stream_arn", "shop"),
        ("lake", "yes"),
        ("batch_size", 0),
        ("batch_size", 10_001),
        ("retention_hours", "25"),
        ("permissions_boundary", "boundary"),
    ],
)
def test_terraform_refuses_what_the_template_would(
    name: str, value: Any, without_provider: Path
) -> None:
    (without_provider / "given.auto.tfvars.json").write_text(json.dumps({name: value}))
    done = terraform(without_provider, "plan", "-no-color")
    assert done.returncode == 1
    assert f"{name} must " in " ".join(done.stderr.split())
