"""Orders and clicks as a web shop would send them: `schemas/orders`, `schemas/clicks`."""

import random
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

# The night between these two days, so that partitions and dead letters have more than one.
START = datetime(2026, 11, 23, 22, 40, tzinfo=UTC)
HOURS = 2.5

_COUNTRIES = ("DE", "FR", "US", "GB", "PL", "JP", "BR", "AT")
_COUNTRY_WEIGHTS = (30, 44, 62, 75, 84, 91, 96, 100)  # cumulative, as are all weights here
_STATUSES = ("placed", "paid", "shipped", "cancelled")
_STATUS_WEIGHTS = (70, 90, 96, 100)
_COUPONS = ("SPRING-10", "Grüße", '10 % off, "today" only', "line one\nline two", "送料無料", "")
_EVENTS = ("page_view", "scroll", "click", "purchase")
_EVENT_WEIGHTS = (60, 82, 97, 100)
_DEVICES: tuple[tuple[str, str | None, tuple[int, int, float] | None], ...] = (
    ("phone", "Android 16", (412, 915, 2.625)),
    ("phone", "iOS 26.1", (393, 852, 3.0)),
    ("desktop", "Windows 11", (1920, 1080, 1.0)),
    ("desktop", "macOS 26", (1512, 982, 2.0)),
    ("tablet", "iPadOS 26", (820, 1180, 2.0)),
    ("bot", None, None),
)
_DEVICE_WEIGHTS = (34, 60, 80, 91, 97, 100)
_PAGES = ("", "search", "cart", "checkout", "help/returns", "p/rain-jacket", "p/espresso-machine")
_ZONES = (UTC, UTC, UTC, timezone(timedelta(hours=1)), timezone(timedelta(hours=-5)))


class Shop:
    """Makes documents. `now` is the time they are sent; whoever sends them moves it on."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now = START

    def order(self) -> dict[str, Any]:
        """Make an order, in most cases of a moment ago; in some, of a shop that was offline."""
        fraction = self.random.random
        items = [self._item() for _ in range(1 + int(fraction() ** 2 * 4))]
        cents = sum(round(item["price"] * 100) * item["quantity"] for item in items)
        order: dict[str, Any] = {
            "@stream": "orders",
            "order_id": self._uuid(),
            "placed_at": self._time(hours=48 if fraction() < 0.01 else 0.005),
            "country": self.choice(_COUNTRIES, _COUNTRY_WEIGHTS),
            "status": self.choice(_STATUSES, _STATUS_WEIGHTS),
            # Some producers write money as a number, the careful ones as a string.
            "total": cents / 100 if fraction() < 0.5 else f"{cents // 100}.{cents % 100:02}",
            "customer": self._customer(),
            "items": items,
        }
        if fraction() < 0.1:
            order["coupon"] = _COUPONS[int(fraction() * len(_COUPONS))]
        if fraction() < 0.05:
            order["gift"] = True
        if fraction() < 0.7:
            order["weight_kg"] = round(0.1 + 20 * fraction() ** 3, 3)
        return order

    def click(self) -> dict[str, Any]:
        """Make a click, a page view, a scroll or a purchase."""
        fraction = self.random.random
        event = self.choice(_EVENTS, _EVENT_WEIGHTS)
        page = _PAGES[int(fraction() * len(_PAGES))]
        click: dict[str, Any] = {
            "@stream": "clicks",
            "click_id": self._uuid(),
            "at": self._time(hours=0.001),
            "session_id": f"s-{self.random.getrandbits(64):016x}",
            "url": f"https://shop.example/{page}",
            "event": event,
            "duration_ms": int(fraction() * 30_000),
            "device": self._device(),
        }
        if fraction() < 0.4:
            click["user_id"] = 1 + int(fraction() * 200_000)
        if fraction() < 0.3:
            click["referrer"] = "https://search.example/?q=espresso%20machine"
        if event == "scroll":
            click["scroll_depth"] = round(fraction(), 3)
        if event == "purchase":
            click["amount"] = f"{int(fraction() * 400)}.{int(fraction() * 100):02}"
        if fraction() < 0.2:
            click["tags"] = ["campaign", "new-visitor"]
            click["properties"] = {"experiment": "checkout-2", "variant": "ab"[int(fraction() * 2)]}
        return click

    def choice(self, values: tuple[Any, ...], cumulative_weights: tuple[int, ...]) -> Any:
        """Pick one of several values, some more often than others."""
        return self.random.choices(values, cum_weights=cumulative_weights)[0]

    def key(self) -> str:
        """Make a partition key, which decides on the shard."""
        return f"{self.random.getrandbits(32):08x}"

    def _item(self) -> dict[str, Any]:
        fraction = self.random.random
        return {
            "sku": f"SKU-{int(fraction() * 90_000) + 10_000}",
            "quantity": 1 + int(fraction() ** 4 * 5),
            "price": (99 + int(fraction() ** 3 * 40_000)) / 100,
        }

    def _customer(self) -> dict[str, Any]:
        number = 1 + int(self.random.random() * 200_000)
        customer: dict[str, Any] = {"id": number}
        if number % 10:
            customer["email"] = f"customer{number}@mail.example"
            customer["loyalty_points"] = number % 3_000
        return customer

    def _device(self) -> dict[str, Any]:
        kind, system, screen = self.choice(_DEVICES, _DEVICE_WEIGHTS)
        device: dict[str, Any] = {"type": kind, "os": system}
        if screen:
            width, height, ratio = screen
            device["screen"] = {"width": width, "height": height, "pixel_ratio": ratio}
        return device

    def _time(self, hours: float) -> str:
        """Write a time up to so many hours ago, as different producers do."""
        fraction = self.random.random
        then = self.now - timedelta(hours=hours * fraction())
        zone = _ZONES[int(fraction() * len(_ZONES))]
        if zone is UTC:
            return then.isoformat()[:-6] + "Z"
        return then.astimezone(zone).isoformat()

    def _uuid(self) -> str:
        digits = f"{self.random.getrandbits(128):032x}"
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"
