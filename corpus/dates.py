"""Dates as pages and books write them, to ISO 8601 as far as they are sure.

Day and month are only told apart where a name or ISO order does it: 03/04/2020 is two dates, so it is none.
"""

import re

ISO = re.compile(r"(?<!\d)((?:1[5-9]|20)\d\d)[-/.]([01]?\d)[-/.]([0-3]?\d)(?!\d)")
COMPACT = re.compile(r"(?<!\d)((?:19|20)\d\d)([01]\d)([0-3]\d)(?:T\d|(?!\d))")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
NAMED = "|".join(MONTHS)
# the full names go on behind the first three letters
DAY_FIRST = re.compile(rf"(?<!\d)([0-3]?\d)(?:st|nd|rd|th)?\s+({NAMED})[a-z]*\.?,?\s+((?:1[5-9]|20)\d\d)(?!\d)", re.I)
MONTH_FIRST = re.compile(rf"\b({NAMED})[a-z]*\.?\s+([0-3]?\d)(?:st|nd|rd|th)?,?\s+((?:1[5-9]|20)\d\d)(?!\d)", re.I)
MONTH_ONLY = re.compile(rf"\b({NAMED})[a-z]*\.?,?\s+((?:1[5-9]|20)\d\d)(?!\d)", re.IGNORECASE)
YEAR_MONTH = re.compile(r"^\s*((?:1[5-9]|20)\d\d)-([01]\d)\s*$")
YEAR = re.compile(r"^\s*((?:1[5-9]|20)\d\d)\s*$")


def iso_date(written: str) -> str | None:
    """`YYYY-MM-DD`, `YYYY-MM` or `YYYY` of a date from 1500 on; None if there is none or it is ambiguous."""
    if m := ISO.search(written) or COMPACT.search(written):
        return _day(m[1], m[2], m[3])
    if m := DAY_FIRST.search(written):
        return _day(m[3], _month(m[2]), m[1])
    if m := MONTH_FIRST.search(written):
        return _day(m[3], _month(m[1]), m[2])
    if m := MONTH_ONLY.search(written):
        return f"{m[2]}-{_month(m[1])}"
    if m := YEAR_MONTH.match(written):
        return f"{m[1]}-{m[2]}" if 1 <= int(m[2]) <= 12 else None
    return m[1] if (m := YEAR.match(written)) else None


def _month(name: str) -> str:
    return f"{MONTHS.index(name[:3].lower()) + 1:02d}"


def _day(year: str, month: str, day: str) -> str | None:
    if 1 <= int(month) <= 12 and 1 <= int(day) <= 31:
        return f"{year}-{int(month):02d}-{int(day):02d}"
    return None
