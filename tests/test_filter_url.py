"""Lists of domains, URLs and words."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from filters.url import Url


def measure(step: Url, *urls: str | None) -> list[dict[str, Any]]:
    return step.measure(pa.table({"url": pa.array(urls, pa.string())})).to_pylist()


@pytest.fixture
def ut1(tmp_path: Path) -> str:
    folder = tmp_path / "adult"
    folder.mkdir()
    (folder / "domains").write_text("bad.example\nWWW.Worse.example.\n# comment.example\nxn--e1afmkfd.xn--p1ai\n")
    (folder / "urls").write_text("http://host.example/~Bad/\nother.example/a/b\n")
    return str(folder)


@pytest.mark.parametrize(
    ("url", "domain", "path"),
    [
        ("http://bad.example/", True, False),
        ("https://www.BAD.example:8080/x?y#z", True, False),
        ("//user:pw@sub.deep.bad.example./", True, False),
        ("worse.example", True, False),
        ("http://notbad.example", False, False),
        ("http://comment.example", False, False),
        ("http://пример.рф/страница", True, False),
        ("http://host.example/~bad/page.html", False, True),
        ("http://host.example/~badly", False, False),
        ("http://host.example", False, False),
        ("https://other.example/a/b?c=/d", False, True),
        ("https://other.example/a", False, False),
        ("http://good.example/?u=http://bad.example", False, False),
        (None, False, False),
        ("", False, False),
        ("http://", False, False),
        ("\udcff not a url".encode("utf-8", "replace").decode(), False, False),
        ("http://[::1]:80/" + "/".join("x" * 40), False, False),
    ],
)
def test_hosts_and_paths(ut1: str, url: str | None, domain: bool, path: bool) -> None:
    (row,) = measure(Url(domains=(ut1,)), url)
    assert (row["listed_domain"], row["listed_url"]) == (domain, path)


def test_words_match_whole_tokens(tmp_path: Path) -> None:
    hard, soft = tmp_path / "hard", tmp_path / "soft"
    hard.write_text("sex\n")
    soft.write_text("hot\ngirls\n")
    step = Url(hard_words=(str(hard),), soft_words=(str(soft),))
    rows = measure(step, "http://essex.example/hotel", "http://x.example/Sex%20hot", "http://hot-girls.example/hot_x")
    assert [(row["hard_words"], row["soft_words"]) for row in rows] == [(0, 0), (1, 1), (0, 3)]


def test_a_plain_file_may_mix_domains_and_urls(tmp_path: Path) -> None:
    plain = tmp_path / "list.txt"
    plain.write_text("a.example\r\nb.example/c\r\n", encoding="utf-8")
    rows = measure(Url(domains=(str(plain),)), "http://a.example/x", "http://b.example/c/d", "http://b.example")
    assert [(row["listed_domain"], row["listed_url"]) for row in rows] == [(True, False), (False, True), (False, False)]


@pytest.mark.parametrize("setting", ["domains", "hard_words", "soft_words"])
def test_a_missing_path_is_named(tmp_path: Path, setting: str) -> None:
    with pytest.raises(ValueError, match="nowhere: no such file"):
        Url(**{setting: (str(tmp_path / "nowhere"),)})
    with pytest.raises(ValueError, match="without a file `domains` or `urls`"):
        Url(**{setting: (str(tmp_path),)})
