"""Laws of the signals: a value per document, company changes nothing that it should not, odd texts work."""

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import prose
from hypothesis import given, settings
from hypothesis import strategies as st

from eval import (
    first_seen,
    gradient_signals,
    learned_order,
    loss_shape,
    names_in_place,
    sentence_cues,
    shared_text,
    signals,
    text_signals,
)
from eval.chance import Chance
from eval.detrend import MIN_LIKE, robust_z, step_buckets
from eval.documents import Document
from eval.forwards import Losses, token_losses
from eval.mentions import sentences
from trainer import recipe
from trainer.model import Transformer, shape_of

torch.set_num_threads(1)
ODD = ["", " ", "x", "word " * 300, "日本語のテキストです。" * 9, "a\nb\n\nc", "“", "\ufffd\ufffd", "🙂" * 30]
MEASURES = (text_signals.measure, shared_text.measure, sentence_cues.measure, learned_order.measure,
            names_in_place.measure)  # fmt: skip


def document(text: str, source: str = "web") -> Document:
    return Document(Chance("id", source, text)._key[:32], text, source)


def model(vocab: int = 50) -> Transformer:
    made = Transformer(shape_of(recipe.Model(depth=1, width=32, head_width=16), vocab))
    made.initialise(3)
    with torch.no_grad():  # output projections start at 0: then no token would look at another
        for name, parameter in made.named_parameters():
            if "o_proj" in name or "down_proj" in name:
                parameter.normal_(0, 0.3, generator=torch.Generator().manual_seed(1))
    return made.eval()


@pytest.mark.parametrize("measure", MEASURES)
def test_one_value_per_text_and_only_missing_ones_are_not_numbers(measure: Any) -> None:
    texts = [*ODD, prose(1), prose(2)]
    for name, values in measure(texts).items():
        assert values.shape == (len(texts),), name
        assert not np.isinf(values).any(), name
    assert all(len(values) == 0 for values in measure([]).values())


@pytest.mark.parametrize("measure", [sentence_cues.measure, shared_text.measure])
def test_the_order_of_documents_changes_nothing(measure: Any) -> None:
    texts = [*ODD, *(prose(n) for n in range(6)), prose(2)]
    forth, back = measure(texts), measure(texts[::-1])
    for name in forth:
        np.testing.assert_array_equal(forth[name], back[name][::-1], name)


def test_shared_text_finds_copies_and_is_0_without_any() -> None:
    alone = shared_text.measure([prose(1), "unlike text of its own kind with nothing in common at all"])
    assert alone["shared"].tolist() == [0, 0]
    assert alone["nearest"].tolist() == [0, 0]
    found = shared_text.measure([prose(1), prose(1) + " and a little more than that stands here", "one two three"])
    assert found["nearest"][0] == 1
    assert 0.5 < found["nearest"][1] < 1
    assert found["shared"][2] == 0


@given(st.lists(st.lists(st.integers(0, 6), min_size=0, max_size=12), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_the_nearest_document_is_that_of_a_plain_search(words: list[list[int]]) -> None:
    texts = [" ".join(f"w{n}" for n in row) for row in words]
    sets = [{tuple(row[i : i + 5]) for i in range(len(row) - 4)} for row in words]
    best = [
        max((len(a & b) / len(a) for k, b in enumerate(sets) if k != n and a), default=0) for n, a in enumerate(sets)
    ]
    np.testing.assert_allclose(shared_text.measure(texts)["nearest"], best)


@pytest.mark.parametrize(
    ("bad", "good", "signal"),
    [
        ("He said cafÃ© and naÃ¯ve.", "He said café and naïve – “quite”.", "garbled_words"),
        ("one two " * 40, prose(3), "top_2_gram"),
        ("Buy! Now! Cheap!", "Bread was cheap then.", "exclamations"),
        ("Home | News | Login", "Home is where the news is read.", "page_marks"),
    ],
)
def test_text_signals_are_higher_where_the_text_is_worse(bad: str, good: str, signal: str) -> None:
    found = text_signals.measure([bad, good])[signal]
    assert found[0] > found[1]
    assert found[1] < 0.2


def test_another_language_than_most_is_told() -> None:
    german = "Der alte Fischer verkaufte am frühen Morgen frisches Brot und Käse in der kleinen Stadt am Fluss."
    assert text_signals.measure([prose(1), prose(2), german])["language_other"].tolist() == [0, 0, 1]
    assert text_signals.other_language(["de", "en"], ["a", " "]).tolist() == [0, 0]


def test_marks_that_open_what_is_open_are_out_of_order() -> None:
    assert sentence_cues.quote_order("“One,” he said. “Two.”") == 0
    assert sentence_cues.quote_order("Two.” “One,” he said. “") > 0


def test_a_short_name_before_the_full_one_is_noticed() -> None:
    right = "It was said that John Miller came. Later Miller left the town."
    wrong = "Later Miller left the town. It was said that John Miller came."
    assert sentence_cues.name_order(right) < 0 < sentence_cues.name_order(wrong)


def test_orders_that_were_learned_prefer_the_order_that_stands() -> None:
    """Texts in which each sentence names the word that the next one begins with."""
    texts = []
    for n in range(200):
        chance = Chance("chain", n)
        words = chance.sample("apple bridge candle dragon engine forest garden hammer island jacket".split(), 8)
        texts.append(" ".join(f"Then {a} met {b} here." for a, b in itertools.pairwise(words)))
    mixed = [" ".join(Chance("mix", t).shuffled([t[a:b] for a, b in sentences(t)])) for t in texts[:60]]
    found = learned_order.measure([*mixed, *texts[60:]])["learned_order"]
    assert found[60:].mean() > found[:60].mean() + 0.5


def _tale(chance: Chance, people: list[str], places: list[str]) -> str:
    return " ".join(
        f"Then {chance.pick(people)} walked to {chance.pick(places)} for {chance.pick(['bread', 'wine', 'news'])}."
        for _ in range(8)
    )


def test_a_name_from_other_tales_is_stranger_than_those_that_keep_company() -> None:
    casts = [[f"{a}{b}" for b in ("la", "ro", "mund", "wen", "bert")] for a in ("Al", "Go", "Ru", "Si")]
    lands = [[f"{a}{b}" for b in ("ton", "ville", "burg")] for a in ("Ash", "Fen", "Oak", "Elm")]
    texts = [_tale(Chance("tale", n), casts[n % 4], lands[n % 4]) for n in range(160)]
    for n in range(20):
        name = next(word for word in texts[n].split() if word in casts[n % 4])
        texts[n] = texts[n].replace(name, casts[(n + 1) % 4][0], 1)
    for values in names_in_place.measure(texts).values():
        assert values[:20].mean() > values[20:].mean() + 1


def test_names_are_not_judged_where_there_are_too_few() -> None:
    for values in names_in_place.measure(["Then Anna met Peter in Paris."] * 3).values():
        assert np.isnan(values).all()


@pytest.mark.parametrize(
    "text", ["NumPy ✅ n/a ⛔", "==== ─── → •", "你好。世界", "Это слово.", "Ein schönes Café, naïve – “quite”."]
)
def test_signs_and_other_scripts_are_not_garbled(text: str) -> None:
    assert text_signals.garbled_words(text) == 0


def test_signs_among_letters_are_garbled() -> None:
    assert text_signals.garbled_words("├⌐t├⌐ ├▒├á") == 1


def test_gradients_without_trusted_text_are_not_known(tmp_path: Path) -> None:
    found = gradient_signals.measure(tmp_path, [document("A text.")], [])
    assert all(np.isnan(values).all() for values in found.values())


def test_losses_do_not_depend_on_company_and_every_token_is_scored_once() -> None:
    tokens = model()
    rows = [[1, 2, 3], [], list(range(1, 41)), [7] * 17]
    together = token_losses(tokens, rows, 0, 16)
    for row, found in zip(rows, together, strict=True):
        assert len(found) == len(row)
        np.testing.assert_allclose(found, token_losses(tokens, [row], 0, 16)[0], atol=1e-5)
        assert (found > 0).all()


def test_losses_within_a_window_are_those_of_a_plain_forward() -> None:
    made, row = model(), [5, 9, 2, 2, 31, 8]
    logits = made.logits(torch.tensor([[0, *row[:-1]]]))
    plain = torch.nn.functional.cross_entropy(logits[0].float(), torch.tensor(row), reduction="none")
    np.testing.assert_allclose(token_losses(made, [row], 0, 16)[0], plain.detach().numpy(), atol=1e-5)


def test_the_profile_of_a_text_adds_up_to_its_bits_whatever_the_tokens() -> None:
    nats, sizes = np.linspace(0.5, 6, 90), np.array([1.0, 4, 7] * 30)
    found = loss_shape.profile(Losses(nats, sizes))
    assert len(found) == int(sizes.sum() // loss_shape.WINDOW)
    assert found.mean() == pytest.approx(nats.sum() / math.log(2) / sizes.sum())
    halves = Losses(np.repeat(nats / 2, 2), np.repeat(sizes / 2, 2))
    np.testing.assert_allclose(loss_shape.profile(halves), found)


def test_the_shape_of_nothing_is_not_known() -> None:
    nothing = Losses(np.array([1.0]), np.array([0.0]))
    assert all(math.isnan(value) for value in loss_shape.shape(nothing).values())
    assert all(math.isnan(value) for value in loss_shape.contrast(nothing, nothing).values())


@given(st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=200), st.floats(0.1, 10), st.floats(-100, 100))
@settings(max_examples=50, deadline=None)
def test_z_scores_do_not_move_with_the_scale(values: list[float], times: float, plus: float) -> None:
    column = np.array(values)
    groups = [np.arange(len(values)) % 2]
    z, usual = robust_z(column, 1.0, groups)
    moved, _ = robust_z(column * times + plus, times, groups)
    assert np.isfinite(z).all()
    np.testing.assert_allclose(moved, z, rtol=1e-6, atol=1e-6)
    assert ((z > 0) <= (column > usual)).all()
    assert ((z < 0) <= (column < usual)).all()


def test_few_documents_are_compared_with_all_and_unknown_values_stay_unknown() -> None:
    column = np.concatenate([np.zeros(MIN_LIKE), np.full(MIN_LIKE - 1, 10.0), [np.nan]])
    group = np.repeat([0, 1], MIN_LIKE)
    z, usual = robust_z(column, 1.0, [group])
    assert usual[0] == 0
    assert usual[MIN_LIKE] == np.median(column[:-1])  # one short of a group of its own
    assert np.isnan(z[-1])
    assert np.isnan(usual[-1])


def test_steps_without_a_number_have_a_bucket_of_their_own() -> None:
    assert step_buckets(np.array([np.nan, 1, 2, 4, 4.1])).tolist() == [-1, 0, 2, 4, 4]


def test_what_cannot_be_measured_is_null_in_the_table() -> None:
    found = signals.measure([document(prose(n)) for n in range(4)])
    learnt = {"learned_order", "learned_start", "strange_name", "strange_names"}  # from more documents than four
    table = found.table()
    assert table.column_names == ["id", "source", *(s.name for s in signals.SIGNALS)]
    for signal in signals.SIGNALS:
        assert table[signal.name].null_count == (0 if signal.rung == "text" and signal.name not in learnt else 4)
    assert found.known() == {s.name for s in signals.SIGNALS if s.rung == "text"} - learnt


def test_no_lineage_says_nothing(tmp_path: Any) -> None:
    found = first_seen.measure(tmp_path, ["a", "b"], [3, 4], [10, 10])
    assert set(found) == set(first_seen.NAMES)
    assert all(np.isnan(values).all() for values in found.values())
