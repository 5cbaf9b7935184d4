"""Texts and JSON of a page as typed values: numbers, prices, dates, addresses.

`lang` is a language tag such as `sv-SE`; it resolves ambiguities of the text. Every function raises `ValueError`.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

import ada_url
from dateutil import parser as dates
from pydantic import Field, StringConstraints, TypeAdapter

from farm.extract.declaration import FieldRule

_NUMBER_CHARS = 60
_DATE_CHARS = 100
_NUMBER = re.compile(r"[-\u2212+]?\s?\d(?:[\d.,'\u2019\u00a0\u202f ]{0,40}\d)?")
_SPACES = re.compile(r"[\s'\u2019\u00a0\u202f]")
_POINT = frozenset({"en", "zh", "ja", "ko", "th", "he", "hi", "ms", "es-mx", "de-ch", "fr-ch", "it-ch"})
"""Languages, and some of their regions, that write decimals after a point; the others do after a comma."""
_SYMBOLS = (
    *(
        ("R$", "BRL"),
        ("A$", "AUD"),
        ("C$", "CAD"),
        ("CA$", "CAD"),
        ("NZ$", "NZD"),
        ("HK$", "HKD"),
        ("US$", "USD"),
    ),
    *(("€", "EUR"), ("£", "GBP"), ("$", "USD"), ("¥", "JPY"), ("₹", "INR"), ("₽", "RUB"), ("₺", "TRY")),
    *(("₩", "KRW"), ("₪", "ILS"), ("₴", "UAH"), ("zł", "PLN"), ("Kč", "CZK"), ("Ft", "HUF"), ("лв", "BGN")),
)
_OF_REGION = {
    "SE": "SEK",
    "NO": "NOK",
    "DK": "DKK",
    "IS": "ISK",
    "AU": "AUD",
    "CA": "CAD",
    "NZ": "NZD",
    "MX": "MXN",
    "HK": "HKD",
    "SG": "SGD",
    "US": "USD",
    "CN": "CNY",
    "JP": "JPY",
}
_OF_LANGUAGE = {"sv": "SEK", "nb": "NOK", "nn": "NOK", "no": "NOK", "da": "DKK", "is": "ISK"}
_KRONA = re.compile(r"(?i)(?<![a-z])kr\b")
_CODE = re.compile(
    r"(?<![A-Za-z])(AED|ARS|AUD|BGN|BRL|CAD|CHF|CLP|CNY|COP|CZK|DKK|EGP|EUR|GBP|HKD|HUF|IDR|ILS|INR|ISK|JPY|KRW|"
    r"KWD|MAD|MXN|MYR|NOK|NZD|PEN|PHP|PLN|RON|RSD|RUB|SAR|SEK|SGD|THB|TRY|TWD|UAH|USD|VND|ZAR)(?![A-Za-z])"
)
_MONTHS = (
    "january januar janvier enero gennaio januari janeiro styczeń stycznia",
    "february februar février fevrier febrero febbraio februari fevereiro luty lutego",
    "march märz maerz mars marzo maart março marco marts marzec marca",
    "april avril abril aprile kwiecień kwietnia",
    "may mai mayo maggio mei maj maio maja",
    "june juni juin junio giugno junho czerwiec czerwca",
    "july juli juillet julio luglio julho lipiec lipca",
    "august août aout agosto augustus augusti sierpień sierpnia",
    "september septembre septiembre settembre setembro wrzesień września",
    "october oktober octobre octubre ottobre outubro październik października",
    "november novembre noviembre novembro listopad listopada",
    "december dezember décembre decembre diciembre dicembre dezembro grudzień grudnia",
)


_SHORT = ("", "", "mär", "", "", "", "", "", "sept", "okt", "", "dez")


class _Words(dates.parserinfo):  # type: ignore[misc]
    MONTHS = tuple(
        tuple(dict.fromkeys([line[:3], *line.split(), *short.split()]))
        for line, short in zip(_MONTHS, _SHORT, strict=True)
    )
    JUMP = (*dates.parserinfo.JUMP, *("de", "del", "den", "der", "le", "el", "il", "kl", "um", "uhr", "à"))


_PARSER = dates.parser(_Words())


def number_of(text: str, lang: str = "", *, is_price: bool = False) -> Decimal:
    """Return the first number in a text: `1 299,00` and `1,299.00` are 1299.00.

    If a single separator precedes three digits, `lang` decides its meaning; in a price it groups digits.
    """
    found = _NUMBER.search(text[:_NUMBER_CHARS])
    if found is None:
        raise ValueError("there is no number in it")
    digits = _SPACES.sub("", found[0]).replace("\u2212", "-")
    kinds = [mark for mark in ".," if mark in digits]
    if len(kinds) == len(".,"):
        decimal = max(kinds, key=digits.rfind)
    elif not kinds:
        decimal = ""
    else:
        decimal = kinds[0]
        head, _, tail = digits.rpartition(decimal)
        groups = digits.count(decimal) > 1 or (
            len(tail) == 3 and head.lstrip("+-") not in {"0", ""} and (is_price or decimal != _decimal(lang))  # noqa: PLR2004 - a group of digits
        )
        decimal = "" if groups else decimal
    plain = "".join(one for one in digits if one not in ".," or one == decimal).replace(decimal or ",", ".")
    try:
        return Decimal(plain)
    except InvalidOperation:
        raise ValueError(f"{found[0]!r} is not a number") from None


def price_of(text: str, lang: str = "", currency: str = "") -> dict[str, Any]:
    """Return `{"amount": "1299.00", "currency": "EUR"}`; the currency is None if unknown."""
    # The last digits of `kr 1.299,-` are left out.
    amount = number_of(_longest_digits(text), lang, is_price=True)
    return {"amount": format(amount, "f"), "currency": currency or _currency(text[:_DATE_CHARS], lang)}


def price_of_offer(offer: Mapping[str, Any], currency: str = "") -> dict[str, Any]:
    """Return the price of an offer in the words of schema.org."""
    nested = offer.get("priceSpecification")
    if isinstance(nested, list):
        nested = next(iter(nested), None)
    for one in (offer, nested if isinstance(nested, Mapping) else {}):
        amount = one.get("price", one.get("lowPrice"))
        if amount is not None and not isinstance(amount, bool):
            code = currency or one.get("priceCurrency") or offer.get("priceCurrency")
            return {
                "amount": format(number_of(str(amount), "en", is_price=True), "f"),
                "currency": code if isinstance(code, str) else None,
            }
    raise ValueError("it is an object without a price")


def date_of(text: str, lang: str = "") -> str:
    """Return a date in ISO 8601, with its time and its offset if the text has them."""
    given = text.strip()
    if len(given) > _DATE_CHARS:
        raise ValueError(f"it has more than {_DATE_CHARS} characters, too many for a date")
    try:
        exact = datetime.fromisoformat(given)
    except ValueError:
        exact = None
    if exact is not None and re.match(r"\d{4}-", given):
        return exact.isoformat() if len(given) > len("2026-03-01") else exact.date().isoformat()
    # What the text leaves out is filled in from the default: two show what that is.
    first, second = (
        _parsed(given, lang, datetime(year, month, day, hour, hour))  # noqa: DTZ001
        for year, month, day, hour in ((2000, 1, 1, 0), (2004, 3, 3, 5))
    )
    if first.date() != second.date():
        raise ValueError("it has no day, month or year")
    has_time = first.time() == second.time()
    return first.isoformat() if has_time else first.date().isoformat()


def _parsed(text: str, lang: str, default: datetime) -> datetime:
    try:
        found = _PARSER.parse(
            text,
            default=default,
            dayfirst=bool(lang) and not lang.lower().startswith(("en-us", "zh", "ja", "ko")) and lang != "en",
            tzinfos=_offset_of,
        )
    # dateutil raises internal errors on strange texts.
    except (ValueError, OverflowError, TypeError, IndexError, AttributeError, ArithmeticError):
        raise ValueError("it is not a date") from None
    if not isinstance(found, datetime):
        raise ValueError("it is not a date")  # noqa: TRY004 - a value that cannot be read
    return found


def _offset_of(_: str, offset: int | None) -> int | None:
    """Return the offset in the text itself: a zone of three letters is ambiguous."""
    return offset


def _longest_digits(text: str) -> str:
    found = _NUMBER.search(text[: 4 * _NUMBER_CHARS])
    return text[found.start() :] if found is not None else ""


def _decimal(lang: str) -> str:
    lower = lang.lower()
    return "." if not lower or lower in _POINT or lower.partition("-")[0] in _POINT else ","


def _currency(text: str, lang: str) -> str | None:
    language, _, region = lang.partition("-")
    of_place = _OF_REGION.get(region.upper()) or _OF_LANGUAGE.get(language.lower())
    code = _CODE.search(text)
    if code is not None:
        return code[1]
    if _KRONA.search(text):
        return of_place if of_place in {"SEK", "NOK", "DKK", "ISK"} else None
    found = next((name for symbol, name in _SYMBOLS if symbol in text), None)
    if (
        found == "USD"
        and "US$" not in text
        and of_place
        and of_place in {"AUD", "CAD", "NZD", "MXN", "HKD", "SGD"}
    ):
        return of_place
    return "CNY" if found == "JPY" and of_place == "CNY" else found


def typed(  # noqa: PLR0911 - a type each
    raw: Any, rule: FieldRule, lang: str, base: str
) -> Any:
    """Return a text or a JSON value as the rule's type; addresses are relative to `base`."""
    is_json = rule.is_json
    if rule.type in {None, "json"}:
        return raw
    if rule.type == "price" and isinstance(raw, Mapping):
        return price_of_offer(raw, rule.currency or "")
    if rule.type == "boolean":
        return _boolean(raw)
    text = _scalar(raw)
    if rule.type == "price":
        return price_of(text, "en" if is_json and not isinstance(raw, str) else lang, rule.currency or "")
    if rule.type in {"number", "integer"}:
        return _number(text, "en" if is_json else lang, whole=rule.type == "integer")
    if rule.type == "date":
        return date_of(text, lang)
    return address_of(text, base) if rule.type == "url" else text


def _number(text: str, lang: str, *, whole: bool) -> float | int:
    number = number_of(text, lang)
    if not whole:
        return float(number)
    if number != int(number) or abs(number) >= 1 << 63:
        raise ValueError("it is not an integer of 64 bits")
    return int(number)


_TRUE, _FALSE = {"true", "yes", "1"}, {"false", "no", "0"}


def _boolean(raw: Any) -> bool:
    if isinstance(raw, bool):
        return raw
    text = _scalar(raw).lower().rpartition("/")[2]
    if text not in _TRUE | _FALSE:
        raise ValueError("it is neither true, yes or 1 nor false, no or 0")
    return text in _TRUE


def _scalar(raw: Any) -> str:
    if isinstance(raw, str):
        return raw
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        raise ValueError("it is neither a text nor a number")  # noqa: TRY004 - a value that cannot be read
    return str(raw)


def address_of(text: str, base: str) -> str:
    """Return an absolute address without credentials."""
    try:
        # Credentials are in no record.
        url = ada_url.URL(text, base=base)
        url.username = url.password = ""
    except ValueError:
        raise ValueError("it is not an address") from None
    return str(url.href)


_TYPES: Mapping[str | None, Any] = {
    "text": str,
    "html": str,
    "url": str,
    "date": str,
    "number": float,
    "integer": int,
    "boolean": bool,
    "price": dict[str, str | None],
}


def check_of(rule: FieldRule) -> TypeAdapter[Any]:
    """Return the function that checks a typed value against the rule's bounds."""
    kind = _TYPES.get(rule.type, Any if rule.is_json else str)
    if rule.pattern is not None:
        kind = Annotated[str, StringConstraints(pattern=rule.pattern)]
    if rule.min is not None or rule.max is not None:
        kind = Annotated[kind, Field(ge=rule.min, le=rule.max)]
    return TypeAdapter(kind)
