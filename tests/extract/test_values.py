"""Numbers, prices and dates as pages write them."""

import pytest

from farm.extract.values import date_of, number_of, price_of, price_of_offer


@pytest.mark.parametrize(
    ("text", "lang", "amount", "currency"),
    [
        ("1 299,00 kr", "sv", "1299.00", "SEK"),
        ("1\u202f299 kr", "nb-NO", "1299", "NOK"),
        ("1 299,00 kr", "", "1299.00", None),
        ("€1,299.00", "", "1299.00", "EUR"),
        ("Ab 1.299,00 €", "en", "1299.00", "EUR"),
        ("$5", "", "5", "USD"),
        ("$5", "en-AU", "5", "AUD"),
        ("US$5", "en-AU", "5", "USD"),
        ("1.299,-", "de", "1299", None),
        ("1,299", "de", "1299", None),
        ("CHF 1\u2019299.50", "", "1299.50", "CHF"),
        ("1.234.567 Ft", "hu", "1234567", "HUF"),
        ("0,999 €", "de", "0.999", "EUR"),
    ],
)
def test_prices(text: str, lang: str, amount: str, currency: str | None) -> None:
    """The amount is exact; the currency is what the text, or else the language, says."""
    assert price_of(text, lang) == {"amount": amount, "currency": currency}


def test_a_currency_that_is_given_counts() -> None:
    """Before what the text says."""
    assert price_of("$5", currency="CAD") == {"amount": "5", "currency": "CAD"}


def test_offers() -> None:
    """In the words of schema.org, one or an aggregate."""
    assert price_of_offer({"price": 89, "priceCurrency": "EUR"}) == {"amount": "89", "currency": "EUR"}
    assert price_of_offer({"lowPrice": "8.50"}) == {"amount": "8.50", "currency": None}
    nested = {"priceSpecification": [{"price": "5", "priceCurrency": "SEK"}]}
    assert price_of_offer(nested) == {"amount": "5", "currency": "SEK"}
    with pytest.raises(ValueError, match="without a price"):
        price_of_offer({"name": "x"})


@pytest.mark.parametrize(
    ("text", "lang", "number"),
    [
        ("1.299", "de", "1299"),
        ("1.299", "en", "1.299"),
        ("1,299", "en", "1299"),
        ("1,5", "en", "1.5"),
        ("\u22123.5 °C", "", "-3.5"),
        ("about 12,000 people", "", "12000"),
        ("4.5 of 5", "", "4.5"),
    ],
)
def test_numbers(text: str, lang: str, number: str) -> None:
    """The language decides what a lone separator is; where it is plain, nothing decides."""
    assert str(number_of(text, lang)) == number


@pytest.mark.parametrize("text", ["", "none", ".,", "-"])
def test_what_is_no_number(text: str) -> None:
    """It is said."""
    with pytest.raises(ValueError, match="no number"):
        number_of(text)


@pytest.mark.parametrize(
    ("text", "lang", "date"),
    [
        ("2026-03-01", "", "2026-03-01"),
        ("2026-03-01T12:00:00Z", "", "2026-03-01T12:00:00+00:00"),
        ("03/04/2026", "en-GB", "2026-04-03"),
        ("03/04/2026", "en-US", "2026-03-04"),
        ("03/04/2026", "", "2026-03-04"),
        ("3. März 2026", "de", "2026-03-03"),
        ("3 mars 2026 kl 10:30", "sv", "2026-03-03T10:30:00"),
        ("le 14 juillet 2026", "fr", "2026-07-14"),
        ("Sun, 01 Mar 2026 10:00:00 +0100", "", "2026-03-01T10:00:00+01:00"),
    ],
)
def test_dates(text: str, lang: str, date: str) -> None:
    """ISO 8601; a time only where there is one."""
    assert date_of(text, lang) == date


@pytest.mark.parametrize("text", ["5", "12:30", "March 2026", "soon", "9" * 50, "x" * 10_000, "1." * 40])
def test_what_is_no_date(text: str) -> None:
    """A day that is not written is not today's."""
    with pytest.raises(ValueError, match=r"it (is|has)"):
        date_of(text)
