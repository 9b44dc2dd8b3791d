"""A finding, and the list that all of them get into."""

from typing import Any, Literal, Protocol

import msgspec

from pipeline.adapters.aws.account import Answer, Refusal

Level = Literal["ok", "note", "wrong"]


class Asked(Protocol):
    """An account; see `pipeline.adapters.aws.account`."""

    def ask(self, service: str, operation: str, **arguments: Any) -> Answer | Refusal:
        """Call an operation; never raises for what the other side does."""
        ...


class Finding(msgspec.Struct, frozen=True):
    """`wrong` stops the pipeline or loses something; a `note` may hurt, or was not seen."""

    level: Level
    about: str
    sentence: str
    command: str = ""


class Findings:
    """What was found, in the order of the questions."""

    def __init__(self) -> None:
        self.found: list[Finding] = []

    @property
    def wrong(self) -> bool:
        """Whether anything is."""
        return any(finding.level == "wrong" for finding in self.found)

    def ok(self, about: str, sentence: str) -> None:
        """Note what is as it should be."""
        self.found.append(Finding("ok", about, sentence))

    def note(self, about: str, sentence: str, command: str = "") -> None:
        """Note what may hurt, or was not seen."""
        self.found.append(Finding("note", about, sentence, command))

    def add_wrong(self, about: str, sentence: str, command: str = "") -> None:
        """Note what has to be mended."""
        self.found.append(Finding("wrong", about, sentence, command))

    def refused(self, about: str, subject: str, action: str, refusal: Refusal) -> None:
        """Note why there is no answer; that one may not look is not what is wrong with it."""
        match refusal.code:
            case "credentials" | "expired" | "clock" | "region" | "unreachable":
                self.note(about, f"Not looked at: {subject}. AWS was not reached ({refusal.text}).")
            case _ if refusal.denied:
                sentence = f"Not looked at: {subject}. Whoever runs this may not {action}."
                self.note(about, sentence, "aws sts get-caller-identity")
            case _:
                sentence = (
                    f"Not looked at: {subject}. AWS answered {refusal.code} ({refusal.text})."
                )
                self.note(about, sentence, "aws sts get-caller-identity")
