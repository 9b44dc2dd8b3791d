"""How long each phase of one invocation takes."""

from collections.abc import Callable, Iterator
from typing import Literal, ParamSpec, TypeVar

import msgspec

Phase = Literal["decode", "route", "convert", "rules", "partition", "encode", "store", "check"]
PHASES: tuple[Phase, ...] = (
    "decode", "route", "convert", "rules", "partition", "encode", "store", "check",
)  # fmt: skip
_Result = TypeVar("_Result")
_Item = TypeVar("_Item")
_Args = ParamSpec("_Args")


class Stopwatch(msgspec.Struct):
    """Adds up how long each phase takes. `clock` is in seconds, and only its steps count.

    `phase` is the one that was begun last.
    """

    clock: Callable[[], float]
    milliseconds: dict[str, float] = msgspec.field(default_factory=dict)
    phase: Phase | None = None

    def run(
        self,
        phase: Phase,
        call: Callable[_Args, _Result],
        *args: _Args.args,
        **kwargs: _Args.kwargs,
    ) -> _Result:
        """Call a function on behalf of a phase."""
        self.phase = phase
        start = self.clock()
        try:
            return call(*args, **kwargs)
        finally:
            spent = (self.clock() - start) * 1_000
            self.milliseconds[phase] = self.milliseconds.get(phase, 0.0) + spent

    def each(self, phase: Phase, items: Iterator[_Item]) -> Iterator[_Item]:
        """Go through an iterator whose steps are a phase's work."""
        while (item := self.run(phase, lambda: next(items, None))) is not None:
            yield item
