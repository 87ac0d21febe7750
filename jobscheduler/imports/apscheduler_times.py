"""Time zones and instants as APScheduler's jobs hold them: of `datetime`, `zoneinfo` and `pytz` (pure)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from jobscheduler.imports.not_expressible import NotExpressible
from jobscheduler.imports.pickle_values import Made, Name
from jobscheduler.timetable.timezones import UnknownTimezone, get_zone
from jobscheduler.util.text import quote

_HOUR = timedelta(hours=1)
_ZONEINFO = {"zoneinfo", "backports.zoneinfo"}
_BYTES_OF_DATETIME = 10
_FOLD_BIT = 0x80  # of the byte with the month
_ODD = "the job holds no time zone and time as APScheduler writes them"

NAMES = frozenset(
    {
        ("datetime", "datetime"),
        ("datetime", "timezone"),
        ("datetime", "timedelta"),
        ("builtins", "getattr"),  # how `zoneinfo` writes a zone
        *((module, name) for module in _ZONEINFO for name in ("ZoneInfo", "ZoneInfo._unpickle")),
        ("pytz", "_p"),
        ("pytz", "_UTC"),
        ("pytz", "_FixedOffset"),
    }
)


def zone_name(value: Any) -> str:
    """Return the name of a zone by which the service knows it.

    Raises:
        NotExpressible: the service knows none.

    """
    name = _named_zone(value)
    if name is None:
        name = _name_of_offset(_fixed_offset(value))
    try:
        get_zone(name)
    except UnknownTimezone as unknown:
        raise NotExpressible(unknown.message, unknown.help) from None
    return name


def instant(value: Any) -> datetime:
    """Return an aware `datetime` of a job, in UTC.

    Raises:
        NotExpressible: it is no such time.

    """
    if not isinstance(value, Made) or value.maker != Name("datetime", "datetime") or len(value.arguments) != 2:
        raise NotExpressible(_ODD)
    raw, zone = value.arguments
    if type(raw) is not bytes or len(raw) != _BYTES_OF_DATETIME:
        raise NotExpressible(_ODD)
    try:
        return _to_utc(_naive(raw), zone)
    except (ValueError, OverflowError):
        raise NotExpressible(_ODD) from None


def _naive(raw: bytes) -> datetime:
    month, fold = raw[2] & ~_FOLD_BIT, raw[2] >> 7
    year, fraction = int.from_bytes(raw[:2]), int.from_bytes(raw[7:])
    return datetime(year, month, raw[3], raw[4], raw[5], raw[6], fraction, fold=fold)  # noqa: DTZ001 - the zone follows


def _to_utc(naive: datetime, zone: Any) -> datetime:
    arguments = zone.arguments if isinstance(zone, Made) else ()
    if _maker(zone) == Name("pytz", "_p") and len(arguments) > 1:  # the offset that holds for this time
        return (naive - _seconds(arguments[1])).replace(tzinfo=UTC)
    name = _named_zone(zone)
    if name is None:
        return (naive - _fixed_offset(zone)).replace(tzinfo=UTC)
    return naive.replace(tzinfo=get_zone(zone_name(zone))).astimezone(UTC)


def _named_zone(value: Any) -> str | None:
    """Return the name that a zone has in the zone database; None for an offset."""
    maker = _maker(value)
    if maker == Name("pytz", "_UTC"):
        return "UTC"
    if maker in _NAMED and value.arguments and type(value.arguments[0]) is str:
        return str(value.arguments[0])
    return None


def _maker(value: Any) -> Name | None:
    """Return the name of what makes a value; `getattr(ZoneInfo, "_unpickle")` has one name."""
    if not isinstance(value, Made):
        return None
    maker = value.maker
    if isinstance(maker, Name):
        return maker
    if maker.maker != Name("builtins", "getattr") or len(maker.arguments) != 2:
        return None
    owner, attribute = maker.arguments
    is_zone = isinstance(owner, Name) and owner.module in _ZONEINFO and attribute == "_unpickle"
    return Name(owner.module, "ZoneInfo._unpickle") if is_zone else None


_NAMED = {Name("pytz", "_p"), *(Name(module, "ZoneInfo._unpickle") for module in _ZONEINFO)}


def _fixed_offset(value: Any) -> timedelta:
    maker = _maker(value)
    arguments = value.arguments if isinstance(value, Made) else ()
    if maker == Name("datetime", "timezone") and arguments:
        return _timedelta(arguments[0])
    if maker == Name("pytz", "_FixedOffset") and arguments and type(arguments[0]) is int:
        return _seconds(arguments[0] * 60)
    raise NotExpressible(_ODD)


def _timedelta(value: Any) -> timedelta:
    if not isinstance(value, Made) or _maker(value) != Name("datetime", "timedelta"):
        raise NotExpressible(_ODD)
    if any(type(one) is not int for one in value.arguments):
        raise NotExpressible(_ODD)
    days, seconds = [*value.arguments, 0, 0][:2]
    return _seconds(days * 86_400 + seconds)


def _seconds(value: Any) -> timedelta:
    """Return an offset of whole seconds, less than a day."""
    if type(value) is not int or abs(value) >= 86_400:
        raise NotExpressible(_ODD)
    return timedelta(seconds=value)


def _name_of_offset(offset: timedelta) -> str:
    """Return the zone with a fixed offset; in the names of the zone database the sign is the other way round."""
    if not offset:
        return "UTC"
    if offset % _HOUR:
        message = f"its time zone is the fixed offset {quote(str(offset))}, for which no zone has a name"
        raise NotExpressible(message, "write the job with the `timezone` of a place")
    return f"Etc/GMT{-(offset // _HOUR):+d}"
