"""`pipeline infer --preset`: sample documents as they come out of their envelopes."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.commands.sampling import Text

if TYPE_CHECKING:
    from pipeline.core.envelope import Envelope
    from pipeline.core.records import Limits


@dataclass(frozen=True, slots=True)
class Preset:
    """A preset by its name, and what came of the envelopes beside documents, by its description."""

    name: str
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

    def report(self, folder: Path) -> None:
        """Say what came beside documents, and have the stream of the drafts use the preset."""
        from pipeline.core.stream import NAME

        for description, count in self.others.most_common():
            print(f"{count:,} {description}")
        path, line = folder / NAME, f'preset = "{self.name}"'
        if path.exists():
            print(f"see that {path} says: {line}")
        else:
            path.write_text(f"{line}\n", "utf-8", newline="\n")
            print(f"wrote {path}: {line}")


def open_preset(name: str, limits: "Limits") -> Preset:
    """Return a preset. Raises `SettingsError` where there is none of this name."""
    from pipeline.adapters.schemas import preset_names, read_preset
    from pipeline.core.envelope import Envelope
    from pipeline.core.errors import SettingsError
    from pipeline.core.stream import parse_preset

    text = read_preset(name)
    if text is None:
        known = ", ".join(preset_names())
        message = f"There is no preset {name!r}; there are {known}."
        raise SettingsError(message)
    return Preset(name, Envelope(parse_preset(text, f"preset {name}"), limits))


def open_own(folder: Path, limits: "Limits") -> Preset | None:
    """Return the rules that a folder's stream.toml has, if it has some. Raises `DatasetError`."""
    from pipeline.adapters.schemas import read_stream
    from pipeline.core.envelope import Envelope

    rules = read_stream(folder).rules
    return Preset(str(folder), Envelope(rules, limits)) if rules else None
