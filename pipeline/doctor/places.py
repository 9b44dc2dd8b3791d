"""What to look at: what options name, and what a stack or a function says of the rest."""

from typing import Any

import msgspec

from pipeline.adapters.aws.account import Refusal
from pipeline.doctor.findings import Asked, Findings

_OUTPUTS = {
    "StreamName": "stream",
    "FunctionName": "function",
    "Output": "output",
    "DeadLetters": "dead_letters",
    "Database": "database",
}
_VARIABLES = {"PIPELINE_OUTPUT": "output", "PIPELINE_DEAD_LETTERS": "dead_letters"}


class Places(msgspec.Struct):
    """Names and URIs; "" for what nobody named. `configuration` is the function's, if any."""

    stream: str = ""
    function: str = ""
    output: str = ""
    dead_letters: str = ""
    database: str = ""
    configuration: dict[str, Any] = msgspec.field(default_factory=dict)

    def fill(self, name: str, value: str) -> None:
        """Set what no option has named."""
        if value and not getattr(self, name):
            setattr(self, name, value)


def find_places(stack: str, places: Places, account: Asked, findings: Findings) -> None:
    """Fill in what the stack, and then the function, says."""
    if stack:
        _ask_stack(stack, places, account, findings)
    if places.function:
        _ask_function(places, account, findings)


def _ask_stack(stack: str, places: Places, account: Asked, findings: Findings) -> None:
    answer = account.ask("cloudformation", "describe_stacks", StackName=stack)
    if isinstance(answer, Refusal):
        if answer.code == "ValidationError":
            sentence = f"There is no stack {stack} in this account and region."
            findings.add_wrong("stack", sentence, "aws cloudformation list-stacks")
            return
        findings.refused("stack", f"the stack {stack}", "cloudformation:DescribeStacks", answer)
        return
    (described,) = answer.found["Stacks"]
    findings.ok("stack", f"The stack {stack} is in the state {described['StackStatus']}.")
    for output in described.get("Outputs", ()):
        if output["OutputKey"] in _OUTPUTS:
            places.fill(_OUTPUTS[output["OutputKey"]], output["OutputValue"])


def _ask_function(places: Places, account: Asked, findings: Findings) -> None:
    name = places.function
    answer = account.ask("lambda", "get_function_configuration", FunctionName=name)
    if isinstance(answer, Refusal):
        if answer.missing:
            sentence = f"There is no function {name} in this account and region."
            findings.add_wrong("function", sentence, "aws lambda list-functions")
        else:
            findings.refused("function", f"the function {name}", "lambda:GetFunction", answer)
        return
    places.configuration = answer.found
    variables = answer.found.get("Environment", {}).get("Variables", {})
    for variable, place in _VARIABLES.items():
        places.fill(place, variables.get(variable, ""))
