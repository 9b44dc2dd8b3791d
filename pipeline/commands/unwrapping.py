"""`pipeline infer --preset`: sample documents as they come out of their envelopes."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.commands.sampling import Text

if TYPE_CHECKING:
    from pipeline.core.envelope import Envelope
    from pipeline.core.envelope_rules import Rule
    from pipeline.core.records import Limits


@dataclass(frozen=True, slots=True)
class Preset:
    """Presets by their names, and what came of envelopes beside documents, by its description."""

    names: tuple[str, ...]
    envelope: "Envelope"
    others: Counter[str] = field(default_factory=Counter)

    def documents(self, texts: Iterator[Text]) -> Iterator[Text]:
        """Yield the documents in envelopes, each at the place of its envelope."""
        for text in texts:
            if text.why is not None:
                yield text
                continue
            opened = self.envelope.open(text.text)
            for number, document in enumerate(opened.texts):
                if number in opened.drops:
                    self.others[f"would be dropped: {opened.drops[number]}"] += 1
                elif number in opened.violations:
                    self.others[f"would be dead letters: {opened.violations[number].message}"] += 1
                else:
                    yield Text(document, text.name, text.offset)

    @property
    def setting(self) -> str:
        """The line of stream.toml that names the presets."""
        return setting_of(self.names)

    def report(self, folder: Path) -> None:
        """Say what came beside documents, and have the stream of the drafts use the preset."""
        from pipeline.core.stream import NAME

        for description, count in self.others.most_common():
            print(f"{count:,} {description}")
        path, line = folder / NAME, self.setting
        if path.exists():
            print(f"see that {path} says: {line}")
        else:
            path.write_text(f"{line}\n", "utf-8", newline="\n")
            print(f"wrote {path}: {line}")


def setting_of(names: Sequence[str]) -> str:
    """Return the line of stream.toml that names presets."""
    return f"preset = {json.dumps(names[0] if len(names) == 1 else names)}"


def open_preset(names: Sequence[str], limits: "Limits") -> Preset:
    """Return presets that follow one another. Raises `SettingsError` for a name that is none."""
    from pipeline.adapters.schemas import preset_names, read_preset
    from pipeline.core.envelope import Envelope
    from pipeline.core.errors import SettingsError
    from pipeline.core.stream import parse_preset

    rules = list["Rule"]()
    for name in names:
        text = read_preset(name)
        if text is None:
            known = ", ".join(preset_names())
            message = f"There is no preset {name!r}; there are {known}."
            raise SettingsError(message)
        rules += parse_preset(text, f"preset {name}")
    return Preset(tuple(names), Envelope(rules, limits))


def open_own(folder: Path, limits: "Limits") -> Preset | None:
    """Return the rules that a folder's stream.toml has, if it has some. Raises `DatasetError`."""
    from pipeline.adapters.schemas import read_stream
    from pipeline.core.envelope import Envelope

    rules = read_stream(folder).rules
    return Preset((), Envelope(rules, limits)) if rules else None
