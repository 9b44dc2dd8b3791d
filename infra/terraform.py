"""Write the parts of infra/terraform that follow from infra/template.yaml: variables and outputs.

.venv/bin/python infra/terraform.py
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

from samtranslator.yaml_helper import yaml_parse

HERE = Path(__file__).parent
FOLDER = HERE / "terraform"
_HEAD = "# Written by infra/terraform.py from infra/template.yaml.\n"
_TYPES = {"String": "string", "Number": "number", "CommaDelimitedList": "list(string)"}
# What the artifact's own template says, which has one architecture.
LEFT_OUT = frozenset({"Architecture"})


def snake_case(name: str) -> str:
    """Return a name as Terraform writes it: `StreamArn` is stream_arn."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def files(template: dict[str, Any]) -> dict[str, str]:
    """Return the text of each file, by its name."""
    parameters = {
        name: each for name, each in template["Parameters"].items() if name not in LEFT_OUT
    }
    return {
        "variables.tf": _HEAD + "".join(_variable(*item) for item in parameters.items()),
        "parameters.tf": _HEAD + _parameters(parameters),
        "outputs.tf": _HEAD + "".join(_output(*item) for item in template["Outputs"].items()),
    }


def _variable(name: str, parameter: dict[str, Any]) -> str:
    own = snake_case(name)
    lines = [
        f'\nvariable "{own}" {{',
        f"  description = {_text(_description(parameter['Description']))}",
        f"  type        = {_TYPES[parameter['Type']]}",
        f"  default     = {_default(parameter)}",
    ]
    for condition, message in _conditions(f"var.{own}", parameter):
        lines += [
            "",
            "  validation {",
            f"    condition     = {condition}",
            f"    error_message = {_text(f'{own} {message}')}",
            "  }",
        ]
    return "\n".join([*lines, "}", ""])


def _description(text: str) -> str:
    """Name other parameters as Terraform does."""
    names = yaml_parse((HERE / "template.yaml").read_text("utf-8"))["Parameters"]
    words = "|".join(sorted(names, key=len, reverse=True))
    text = re.sub(rf"\b({words})\b(?=[ ,.;:])", lambda found: _mentioned(found[1]), text)
    return " ".join(text.split())


def _mentioned(name: str) -> str:
    return snake_case(name) if re.search(r"[a-z][A-Z]", name) else name


def _default(parameter: dict[str, Any]) -> str:
    default = parameter["Default"]
    if parameter["Type"] == "CommaDelimitedList":
        return json.dumps([item for item in str(default).split(",") if item])
    return json.dumps(default)


def _conditions(variable: str, parameter: dict[str, Any]) -> list[tuple[str, str]]:
    found = []
    if values := parameter.get("AllowedValues"):
        contained = f"contains({json.dumps(values)}, {variable})"
        found.append((contained, f"must be one of {_listed(values)}."))
    if pattern := parameter.get("AllowedPattern"):
        regex = _text(f"^(?:{pattern})$")
        found.append(
            (f"can(regex({regex}, {variable}))", "must have the form that its description says.")
        )
    for key, operator, word in (("MinValue", ">=", "least"), ("MaxValue", "<=", "most")):
        if key in parameter:
            limit = parameter[key]
            found.append((f"{variable} {operator} {limit}", f"must be at {word} {limit}."))
    return found


def _listed(values: list[Any]) -> str:
    return ", ".join(str(value) or "nothing" for value in values)


def _parameters(parameters: dict[str, Any]) -> str:
    """Hand every variable to the stack, which takes texts."""
    width = max(map(len, parameters))
    lines = []
    for name, each in parameters.items():
        value = f"var.{snake_case(name)}"
        if each["Type"] == "CommaDelimitedList":
            value = f'join(",", {value})'
        elif each["Type"] == "Number":
            value = f"tostring({value})"
        lines.append(f"    {name.ljust(width)} = {value}")
    return "\n".join(["", "locals {", "  parameters = {", *lines, "  }", "}", ""])


def _output(name: str, output: dict[str, Any]) -> str:
    meaning = " ".join(output.get("Description", f"{name} of the stack.").split())
    value = f'lookup(aws_cloudformation_stack.pipeline.outputs, "{name}", null)'
    lines = [f'\noutput "{snake_case(name)}" {{']
    lines += [f"  description = {_text(meaning)}", f"  value       = {value}", "}", ""]
    return "\n".join(lines)


def _text(text: str) -> str:
    """Write a text of HCL, in which nothing is a template."""
    return json.dumps(text, ensure_ascii=False).replace("${", "$${").replace("%{", "%%{")


def main() -> int:
    """Write the files; return the exit code."""
    template: dict[str, Any] = yaml_parse((HERE / "template.yaml").read_text("utf-8"))
    for name, text in files(template).items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
