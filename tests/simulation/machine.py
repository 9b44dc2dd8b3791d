"""One invocation's machine: its time, its steps, and its end at any of them."""

from __future__ import annotations

from collections.abc import Callable

from .clock import SECOND, SimulatedClock

TIME_OUT = "time-out"
_STEP = 200  # microseconds


class Killed(BaseException):
    """Lambda ended the invocation, as it ends them: no code of the function runs any more."""


class Hanging(BaseException):
    """A call that has not returned when nobody waits for it any more."""


class Machine:
    """What runs one invocation; it is also the context that Lambda hands the function.

    Whatever the function asks of the outside world is a step: the time, the store, a log line.
    At step `dies_at` it dies, for `cause`; and at its time-out. `timeout` is in seconds.
    """

    aws_request_id = "8f507cfc-xmpl-4697-b07a-ac58fc914c95"

    def __init__(
        self,
        clock: SimulatedClock,
        timeout: float,
        dies_at: int | None = None,
        cause: str = "",
    ) -> None:
        self.clock = clock
        self.deadline = clock.now + round(timeout * SECOND)
        self.gives_up = self.deadline
        """When the function stops waiting for its writes, in microseconds since 1970."""
        self.steps = 0
        self._dies_at = dies_at
        self._cause = cause
        self._dead = False
        self._on_death: list[Callable[[], object]] = []

    def step(self) -> None:
        """Take one step, or die."""
        self.steps += 1
        self.clock.move_to(self.clock.now + _STEP)
        if self._dead:
            raise Killed(self._cause)
        if self.steps == self._dies_at:
            self.die(self._cause)
        if self.clock.now >= self.deadline:
            self.die(TIME_OUT)

    def die(self, cause: str) -> None:
        """End now; what other threads had begun may still happen."""
        self._dead, self._cause = True, cause
        if cause == TIME_OUT:
            self.clock.move_to(self.deadline)  # the step had stalled until then
        for action in self._on_death:
            action()
        raise Killed(cause)

    def on_death(self, action: Callable[[], object]) -> None:
        """Call `action` when the machine dies."""
        self._on_death.append(action)

    def get_remaining_time_in_millis(self) -> int:
        """Return the time left, as Lambda does: whole milliseconds, never below 0."""
        self.step()
        return max(0, (self.deadline - self.clock.now) // 1_000)

    def seconds(self) -> float:
        """Return the time in seconds, for the stopwatch and the retries."""
        self.step()
        return self.clock.seconds

    def sleep(self, seconds: float) -> None:
        """Let time pass between two tries."""
        self.step()
        self.clock.advance(seconds)
        self.step()

    def spend(self, seconds: float) -> None:
        """Let time pass in a thread; raise `Hanging` if nobody waits for it to the end."""
        end = self.clock.now + round(seconds * SECOND)
        self.clock.move_to(min(end, self.gives_up))
        if end > self.gives_up:
            raise Hanging
