"""Samples depend on their seed alone, stand beside what people wrote, and a judge is asked in both orders."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_model import trained

from eval import generated, judges, model_checks, results
from eval.cli import app
from eval.document_losses import Scorer, open_scorer
from eval.documents import load
from eval.suites import Item, Suite


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return open_scorer(trained()[0])


def run(*arguments: object) -> None:
    app([str(argument) for argument in arguments], standalone_mode=False)


def test_prompt_and_human_continuation_are_the_document(scorer: Scorer) -> None:
    documents = load(trained()[1])
    asked = generated.Asked(prompt_tokens=8, max_tokens=12)
    found = generated.of_documents(documents, scorer, asked, 5)
    texts = {document.id: document.text for document in documents}
    assert len(found) == 5
    for prompt in found:
        assert texts[prompt.id].startswith(prompt.text + prompt.human)
        assert prompt.human


def test_samples_depend_on_their_seed_alone(scorer: Scorer) -> None:
    prompts = generated.of_documents(load(trained()[1]), scorer, generated.Asked(prompt_tokens=8), 4)
    asked = generated.Asked(samples=2, max_tokens=6, seed=5)
    one, again = generated.draw(scorer, prompts, asked), generated.draw(scorer, prompts, asked)
    assert one.equals(again)
    first = generated.draw(scorer, prompts, generated.Asked(max_tokens=6, seed=6)).to_pylist()
    second = [row for row in one.to_pylist() if row["sample"] == 1]
    assert [row["text"] for row in first] == [row["text"] for row in second]
    assert one.num_rows == 8


def test_a_check_is_told_beside_its_human_value(scorer: Scorer) -> None:
    prompts = [generated.Prompt(str(n), "The old mill", " stood by the river for years and years") for n in range(3)]
    found = generated.summary(generated.draw(scorer, prompts, generated.Asked(max_tokens=8))).to_pylist()
    by_name = {row["check"]: row for row in found}
    assert by_name["characters"]["human"] == 39
    assert by_name["rep_1"]["prompts"] == 3
    assert by_name["self_bleu"]["human"] == 1  # the same text three times
    assert by_name["ended"]["human"] is None


def test_order_response_and_support(scorer: Scorer) -> None:
    text = load(trained()[1])[0].text
    whole, short = model_checks.order_scores(scorer, [text, "One sentence."])
    assert -5 < whole < 5
    assert short != short
    explained, nothing = model_checks.responsiveness(scorer, [text[:60], ""], [text[60:120], "words"])
    assert nothing == pytest.approx(0, abs=1e-4)
    assert explained > -1
    copied, strange, empty = model_checks.support([text], [text[:200], "zig zag zug zog zeg zyg", ""])
    assert copied > 0.9
    assert strange == 0
    assert empty != empty


def test_agreement_counts_pairs_of_wordings() -> None:
    items = tuple(
        Item(f"{fact}{n}", "fact", ("p",), ("x", "y"), 0, {"person": "Ann", "fact": fact})
        for fact in "ab"
        for n in range(3)
    )
    chosen = {item.id: 0 for item in items} | {"a2": 1}
    assert model_checks.agreement(Suite("facts", items), chosen) == [1 / 3, 1.0]
    assert model_checks.agreement(Suite("facts", ()), {}) == []


class First:
    """A judge that always takes the first text."""

    def ask(self, prompt: str, a: str, b: str) -> str:
        return "A"


class Longer:
    """A judge with a taste of its own."""

    def ask(self, prompt: str, a: str, b: str) -> str:
        return "T" if len(a) == len(b) else "A" if len(a) > len(b) else "B"


@given(st.text(), st.text())
def test_a_verdict_turns_with_the_texts(a: str, b: str) -> None:
    there, back = judges.judge(Longer(), "p", a, b), judges.judge(Longer(), "p", b, a)
    assert there.consistent
    assert back.consistent
    assert there.choice is None or back.choice == 1 - there.choice
    assert not judges.judge(First(), "p", a, b).consistent


def test_verdicts_are_counted_apart() -> None:
    found = [judges.judge(Longer(), "p", "aa", "b")] * 3 + [judges.judge(Longer(), "p", "a", "b")]
    told = judges.judged([*found, judges.judge(First(), "p", "a", "b")])
    assert (told.wins.value, told.wins.units, told.ties, told.inconsistent, told.asked) == (1, 3, 1, 1, 5)


@pytest.mark.parametrize(("said", "meant"), [("B", "B"), ("Answer: A.", "A"), ("", "T"), ("neither", "T"), ("T", "T")])
def test_letters(said: str, meant: str) -> None:
    assert judges.letter(said) == meant


@pytest.fixture
def address() -> Iterator[str]:
    """A server of chat completions that prefers the text with a full stop; the asked model says otherwise if `deaf`."""

    class Stub(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            said = asked["messages"][0]["content"]
            first = said.partition("Text A:")[2].partition("Text B:")[0]
            content = "A" if "." in first or asked["model"] == "first" else "B"
            body = json.dumps({"choices": [{"message": {"content": content}}]} if asked["model"] != "deaf" else {})
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
            pass

    server = HTTPServer(("127.0.0.1", 0), Stub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()
    thread.join()


def test_an_address_judges(address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, end in (("a", ""), ("b", ".")):
        lines = [json.dumps({"prompt": f"p{n}", "text": f"text {n}{end}"}) + "\n" for n in range(4)]
        (tmp_path / f"{name}.jsonl").write_text("".join(lines))
    sides = ("--a", tmp_path / "a.jsonl", "--b", tmp_path / "b.jsonl", "--out", tmp_path / "v.parquet")
    run("judge", *sides, "--judge", address)
    found = results.table(tmp_path, "v.parquet")
    assert found is not None
    assert found["choice"].to_pylist() == [1] * 4
    run("judge", *sides, "--judge", f"{address}#first")
    assert "0 neither, 4 inconsistent" in capsys.readouterr().out
    with pytest.raises(judges.JudgeFailed, match="chat completions"):
        run("judge", *sides, "--judge", f"{address}#deaf")
    with pytest.raises(judges.JudgeFailed, match="no address"):
        run("judge", *sides, "--judge", tmp_path)


def test_generate_judges_samples_against_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, corpus = trained()
    run(
        "generate", model, "--corpus", corpus, "--out", tmp_path, "--tokens", 6, "--prompt-tokens", 6, "--judge", model
    )  # fmt: skip
    assert "each in both orders" in capsys.readouterr().out
    found = results.table(tmp_path, "verdicts.parquet")
    assert found is not None
    assert all(found["consistent"].to_pylist())  # likelihoods do not know an order


def test_a_local_folder_judges(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    from trainer import checkpoint, huggingface

    model, _ = trained()
    huggingface.export(checkpoint.load_model(model)[0], model / "tokenizer", tmp_path / "hf")
    asked = judges.LocalFolder(tmp_path / "hf")
    assert asked.ask("p", "a", "b") in ("A", "B", "T")
    with pytest.raises(judges.JudgeFailed, match="no model"):
        judges.LocalFolder(tmp_path)
