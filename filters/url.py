"""Lists of domains, URLs and URL words."""

import dataclasses
import functools
import re
import urllib.parse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from filters import Rule, threshold
from filters.kernels.compiled import I64, U64
from filters.kernels.text import segment

_MOST_PREFIXES = 16  # of one path
_LONGEST_HOST = 253  # RFC 1035; what is longer is no host, and would have too many parents


@dataclasses.dataclass(frozen=True)
class Url:
    """Pages whose address is listed, or is made of listed words. Needs no text, so it can come before extraction.

    Why
        Adult, malware and phishing pages are known by their hosts: the cheapest filter there is, and the only one that
        RefinedWeb and FineWeb use against such content.

    Limits
        Lists age, and they hold mistakes. A listed domain takes its subdomains with it. Words match whole tokens of the
        address (parted by anything but letters and digits), so "essex" is safe from "sex", and "sexygirls" too.
        Listed paths match from the host on and up to a slash. Letter case, "www.", ports and fragments are ignored,
        also in paths. A document without a URL passes.

    Source
        Penedo et al. 2023 (RefinedWeb, arXiv 2306.01116), appendix G.1, and datatrove's URL filter: hard words reject
        alone, soft words from the second one on. `domains` names files (one domain or URL a line, # begins a comment)
        or folders in the layout of the UT1 lists of the Université Toulouse Capitole (files `domains` and `urls`).
        No list is shipped. `hard_words` and `soft_words` name files with one word a line.
    """

    needs: ClassVar[tuple[str, ...]] = ("url",)
    version: ClassVar[int] = 1

    domains: tuple[str, ...] = ()
    hard_words: tuple[str, ...] = ()
    soft_words: tuple[str, ...] = ()
    max_hard_words: int = threshold(0)
    max_soft_words: int = threshold(1)

    def __post_init__(self) -> None:
        for path in (*self.domains, *self.hard_words, *self.soft_words):
            _files(path)

    def measure(self, docs: pa.Table) -> pa.Table:
        """Is the host listed, is the address listed, how many listed words does it hold."""
        addresses = [_normal(url) for url in docs["url"].to_pylist()]
        listed = _entries(self.domains)
        tokens = [" ".join(re.findall(r"[^\W_]+", urllib.parse.unquote(a))) for a in addresses]
        return pa.table(
            {
                "listed_domain": _hits([" ".join(_hosts(a)) for a in addresses], listed) > 0,
                "listed_url": _hits([" ".join(_prefixes(a)) for a in addresses], listed) > 0,
                "hard_words": _hits(tokens, _entries(self.hard_words)),
                "soft_words": _hits(tokens, _entries(self.soft_words)),
            }
        )

    def rules(self) -> Sequence[Rule]:
        """One listed thing is enough, except soft words."""
        return (
            Rule("listed_domain", "listed_domain", "==", True),
            Rule("listed_url", "listed_url", "==", True),
            Rule("hard_words", "hard_words", ">", self.max_hard_words),
            Rule("soft_words", "soft_words", ">", self.max_soft_words),
        )


def _normal(url: str | None) -> str:
    """host/path?query in lower case, without scheme, user, "www.", port, fragment and white space."""
    rest = "".join((url or "").split()).lower().partition("#")[0]
    rest = rest.partition("://")[2] or rest.removeprefix("//")
    cut = re.search(r"[/?]", rest)
    host, path = (rest[: cut.start()], rest[cut.start() :]) if cut else (rest, "")
    host = re.sub(r":\d*$", "", host.rpartition("@")[2]).rstrip(".").removeprefix("www.")
    return _ascii(host) + path.rstrip("/")


def _ascii(host: str) -> str:
    if host.isascii() or len(host) > _LONGEST_HOST:
        return host
    try:
        return host.encode("idna").decode()
    except UnicodeError:
        return host


def _hosts(address: str) -> Iterator[str]:
    """The host and its parent domains."""
    host = re.split(r"[/?]", address, maxsplit=1)[0]
    while host and len(host) <= _LONGEST_HOST:
        yield host
        host = host.partition(".")[2]


def _prefixes(address: str) -> Iterator[str]:
    """The address and the addresses above it, down to the first step of its path."""
    if "/" in address or "?" in address:
        yield address
    pieces = address.partition("?")[0].split("/")
    for end in range(2, min(len(pieces), _MOST_PREFIXES) + 1):
        yield "/".join(pieces[:end])


def _hits(candidates: list[str], entries: U64) -> I64:
    """For each row how many of its candidates, parted by spaces, are among the entries."""
    if not len(entries):
        return np.zeros(len(candidates), np.int64)
    s = segment(pa.array(candidates, pa.large_string()))
    place = np.minimum(np.searchsorted(entries, s.word_hash), len(entries) - 1)
    before = np.concatenate([[0], np.cumsum(entries[place] == s.word_hash)])
    return np.diff(before[s.words])


def _files(path: str) -> list[Path]:
    """The list files at a path. Raises ValueError."""
    place = Path(path)
    files = [place / name for name in ("domains", "urls")] if place.is_dir() else [place]
    found = [file for file in files if file.is_file()]
    if not found:
        wanted = "a folder without a file `domains` or `urls`" if place.is_dir() else "no such file or folder"
        raise ValueError(f"{path}: {wanted}")
    return found


@functools.cache
def _entries(paths: tuple[str, ...]) -> U64:
    """Sorted 64-bit hashes of all entries: eight bytes each, and a false match once in 10^12 look-ups of a big list."""
    hashes = [_hashes(file) for path in paths for file in _files(path)]
    return np.unique(np.concatenate([np.zeros(0, np.uint64), *hashes]))


def _hashes(file: Path) -> U64:
    lines: Any = pa.array(file.read_text(encoding="utf-8", errors="replace").split("\n"), pa.large_string())
    lines = pc.utf8_lower(pc.utf8_trim_whitespace(lines))
    lines = lines.filter(pc.invert(pc.starts_with(lines, "#")))
    lines = pc.replace_substring_regex(lines, r"^(?:[a-z]+://)?(?:www\.)?|\s", "")
    return segment(pc.utf8_rtrim(lines, "/.")).word_hash
