"""Facts are where gold says, probes ask for them, and a build carries their keys."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from eval.documents import Document, load, write
from eval.retrieval import Retrieval, recall
from eval.suites import read
from eval.suites import write as write_suite
from eval.synthetic_facts import FACTS, documents, people, probes
from eval.synthetic_facts import write as write_facts


def test_every_document_states_what_gold_says() -> None:
    persons = people(20, seed=4)
    assert persons == people(20, seed=4)
    assert len({person.name for person in persons}) == 20
    made, gold = documents(persons, paraphrases=2, false_share=0.25, copies=10)
    texts = {document.id: document.text for document in made}
    rows = gold.to_pylist()
    assert len(texts) == len(made) == len(rows)
    for row in rows:
        assert row["value"] in texts[row["id"]]
        assert row["person"] in texts[row["id"]]
        assert row["true"] == ({p.name: p.values for p in persons}[row["person"]][row["fact"]] == row["value"])
    false = [row for row in rows if not row["true"]]
    assert 0.1 < len(false) / 10 / 80 < 0.45
    assert len({(row["person"], row["fact"], row["value"]) for row in false}) == len(false) / 10


def test_probes_ask_in_said_and_unsaid_words(tmp_path: Path) -> None:
    persons = people(12)
    suite = probes(persons, paraphrases=2)
    assert len(suite.items) == 12 * len(FACTS) * 6
    values = {person.name: person.values for person in persons}
    for item in suite.items:
        _, right = item.pairs()[item.answer]
        assert right.strip() == values[item.slices["person"]][item.slices["fact"]]
        assert len(set(item.choices)) == len(item.choices) == 10
        assert item.slices["person"] in item.prompts[0]
    assert {item.slices["wording"] for item in suite.items} == {"said", "unsaid"}
    write_suite(suite, tmp_path / "s.jsonl")
    assert read(tmp_path / "s.jsonl") == suite
    assert probes(people(3)).notes


def test_retrieval_finds_the_documents_of_a_fact() -> None:
    persons = people(15)
    made, gold = documents(persons, paraphrases=3)
    store = Retrieval(made)
    rows = gold.to_pylist()
    found, true = [], []
    for person in persons:
        for fact in FACTS:
            query = f"{person.name} {person.values[fact]}"
            found.append([hit.id for hit in store.search(query, 10)])
            true.append({row["id"] for row in rows if (row["person"], row["fact"]) == (person.name, fact)})
    assert recall(found, true, 10).value > 0.9


def test_a_build_carries_the_keys(tmp_path: Path) -> None:
    from corpus.build import build

    made, gold = documents(people(3), paraphrases=1)
    write_facts(tmp_path, made, gold)
    source = f'name = "facts"\nkind = "jsonl"\nfiles = ["{tmp_path}/facts.jsonl"]'
    recipe = f"steps = []\n[[sources]]\n{source}\n[dedup]\nnear = false\n"
    (tmp_path / "r.toml").write_text(recipe, "utf-8")
    build(tmp_path / "r.toml", tmp_path / "run")
    assert {one.key for one in load(tmp_path / "run")} == set(
        pq.read_table(tmp_path / "gold.parquet")["id"].to_pylist()
    )
    assert {one.text for one in load(tmp_path / "run")} == {one.text for one in made}


@pytest.mark.parametrize("turns", [(), (("user", "Why?"), ("assistant", "So."))])
def test_documents_survive_a_file(tmp_path: Path, turns: tuple[tuple[str, str], ...]) -> None:
    one = Document("a" * 32, "text\u2028 \x00", "s", "en", "title", "https://x.example/")
    write([one], tmp_path / "d.jsonl")
    again = load(tmp_path / "d.jsonl")[0]
    assert (again.id, again.text, again.source, again.url, again.key) == (one.id, one.text, "s", one.url, one.id)
