"""The page answers itself and nobody else; it holds no model's name and lets no text become markup."""

import re
from pathlib import Path
from typing import Any

import pytest

from eval.ratings import Pair, Store
from eval.serve import application, page

fastapi = pytest.importorskip("fastapi", reason="the page needs the extra `eval`")
pytest.importorskip("httpx", reason="FastAPI's test client needs it")

URL = "http://127.0.0.1:8383"
GOOD = {"X-Token": "secret", "Origin": URL}


@pytest.fixture
def client(tmp_path: Path) -> Any:
    from fastapi.testclient import TestClient

    store = Store(tmp_path)
    store.begin([Pair("1", "<script>alert(1)</script>", ("aaa", "bbb"))], ("model-one", "model-two"))
    return TestClient(application(store, "secret", 8383), base_url=URL)


def test_a_vote_and_its_undoing(client: Any) -> None:
    item = client.get("/next?rater=ann", headers=GOOD).json()
    assert item["prompt"] == "<script>alert(1)</script>"
    assert "model-" not in str(item)
    vote = {"rater": "ann", "place": item["place"], "choice": "left", "ratings": {"factual_left": 4}, "spans": []}
    assert client.post("/vote", json=vote, headers=GOOD).json() == {"vote": 1}
    assert client.get("/next?rater=ann", headers=GOOD).json() == {"finished": True}
    assert client.post("/undo", json={"rater": "ann"}, headers=GOOD).json() == {"undone": True}
    assert client.get("/next?rater=ann", headers=GOOD).json()["place"] == item["place"]


def test_others_are_refused(client: Any) -> None:
    vote = {"rater": "ann", "place": 0, "choice": "left"}
    assert client.get("/next?rater=a").status_code == 403
    assert client.get("/next?rater=a", headers={"X-Token": "wrong"}).status_code == 403
    assert client.get("/next?rater=a", headers={**GOOD, "Host": "evil.example"}).status_code == 403
    assert client.get("/next?rater=a", headers={**GOOD, "Origin": "http://evil.example"}).status_code == 403
    assert client.post("/vote", json=vote, headers={"X-Token": "secret"}).status_code == 403
    assert client.post("/vote", json=vote, headers={**GOOD, "Origin": "null"}).status_code == 403
    assert client.get("/openapi.json", headers=GOOD).status_code == 404


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"rater": "a", "place": "x", "choice": "left"}', b"x" * 300_000])
def test_bad_votes_are_one_line_each(client: Any, body: bytes) -> None:
    answer = client.post("/vote", content=body, headers=GOOD)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_the_page_is_whole_and_lets_nothing_in(client: Any) -> None:
    answer = client.get("/")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert policy.count("sha256-") == 2
    html, _ = page()
    assert answer.text == html
    for forbidden in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "http://", "https://"):
        assert forbidden not in html
    assert not re.search(r"\son\w+=|style=", html)  # the policy forbids them
