"""Laws of attribution: they hold for any model; what a trained one finds is in test_eval_attribute_command."""

import json
import random
from pathlib import Path

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from eval import ladder, loss_drop, pieces, whitening
from eval.attribute import DEFAULT, among
from eval.evidence import shared_run
from eval.gradients import Projector, captured, layers_of, signs, token_moments, unit
from eval.mistakes import BadMistakes, Mistake, collected, joined, of_options, stated
from eval.mistakes import load as load_mistakes
from trainer import recipe as recipes
from trainer.model import Transformer, shape_of

torch.set_num_threads(1)
END = 0


def tiny(mlp: str = "swiglu", seed: int = 1) -> Transformer:
    """Two layers of 32, with nothing at zero, so that every gradient is something."""
    shape = shape_of(recipes.Model(depth=2, width=32, head_width=16, mlp=mlp), 50)  # type: ignore[arg-type]
    model = Transformer(shape)
    model.initialise(seed)
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=draw) * 0.1)
    return model.eval()


def some_pieces(number: int = 5, seed: int = 0) -> list[pieces.Piece]:
    draw = random.Random(seed)
    told = [(n, [draw.randrange(1, 50) for _ in range(2 + 3 * n)]) for n in range(number)]
    return pieces.of_documents(told, END, 8, 100)


def explicit(model: Transformer, mine: list[pieces.Piece]) -> dict[str, torch.Tensor]:
    """Gradients of the summed loss by torch alone, one row at a time."""
    model.zero_grad()
    for piece in mine:
        tokens, targets = torch.tensor([piece.tokens]), torch.tensor([piece.targets])
        model(tokens, targets).sum().backward()
    found = {name: layer.weight.grad.clone() for name, layer in layers_of(model).items()}  # type: ignore[union-attr]
    model.zero_grad()
    return found


@pytest.mark.parametrize("mlp", ["swiglu", "relu2"])
def test_projected_gradients_are_those_of_autograd(mlp: str) -> None:
    """R_out^T G R_in of the true gradient, for documents of several rows in padded batches."""
    model, rows = tiny(mlp), some_pieces()
    projector = Projector(model, width=4, seed=3)
    found = projector.of(rows, END, 5)
    assert found.shape == (5, projector.size) == (5, len(layers_of(model)) * 16)
    for number in range(5):
        gradients = explicit(model, [row for row in rows if row.document == number])
        wanted = []
        for name, gradient_OI in gradients.items():
            out_OK, in_IK = projector.sides(name)
            wanted.append((out_OK.T @ gradient_OI @ in_IK).flatten())
        torch.testing.assert_close(found[number], torch.cat(wanted), rtol=2e-4, atol=2e-5)


def test_only_answer_tokens_count() -> None:
    """The query's gradient is that of the answer's loss, whatever the loss of its prompt."""
    model, projector = tiny(), Projector(tiny(), 4)
    row = pieces.of_answer(0, [5, 6, 7], [8, 9], END, 8)
    assert row.targets == (pieces.IGNORED,) * 3 + (8, 9)
    assert row.tokens == (END, 5, 6, 7, 8)
    losses = model(torch.tensor([row.tokens]), torch.tensor([row.targets]))
    assert (losses[0, :3] == 0).all()
    assert (losses[0, 3:] > 0).all()
    changed = pieces.Piece(0, row.tokens, (6, 7, 8, 8, 9))
    assert not torch.allclose(projector.of([row], END, 1), projector.of([changed], END, 1))


def test_a_long_prompt_loses_its_beginning_and_a_long_answer_its_end() -> None:
    row = pieces.of_answer(0, list(range(1, 30)), [40, 41], END, 8)
    assert len(row.tokens) == 8
    assert row.targets[-2:] == (40, 41)
    assert row.tokens[-2:] == (29, 40)
    assert pieces.of_answer(0, [1], list(range(1, 30)), END, 8).targets == tuple(range(1, 9))
    assert pieces.of_answer(0, [1], [], END, 8).tokens == ()


def test_every_token_is_a_target_once() -> None:
    rows = pieces.of_documents([(0, list(range(1, 21))), (1, [])], END, 8, 100)
    assert [t for row in rows if row.document == 0 for t in row.targets] == [*range(1, 21), END]
    assert [row.targets for row in rows if row.document == 1] == [(END,)]
    assert max(len(row.tokens) for row in rows) == 8
    cut = pieces.of_documents([(0, list(range(1, 21)))], END, 8, 10)
    assert [t for row in cut for t in row.targets] == list(range(1, 11))


def test_batches_change_nothing() -> None:
    """Losses, hidden states and gradients of a document do not depend on what it is padded beside."""
    model, rows = tiny(), some_pieces()
    alone = [[row for row in rows if row.document == number] for number in range(5)]
    together = pieces.losses(model, rows, END, 5)
    assert together == pytest.approx([pieces.losses(model, mine, END, 5).sum() for mine in alone], rel=1e-5)
    hidden = pieces.mean_hidden(model, rows, END, 5)
    one = pieces.mean_hidden(model, alone[4], END, 5)[4]
    np.testing.assert_allclose(hidden[4], one, atol=1e-5)
    projector = Projector(model, 4)
    torch.testing.assert_close(projector.of(rows, END, 5)[3], projector.of(alone[3], END, 5)[3], rtol=1e-4, atol=1e-5)


def test_signs_keep_inner_products_on_average() -> None:
    x, y = torch.randn(2, 40, generator=torch.Generator().manual_seed(0))
    found = [float((signs(f"{n}", 40, 8).T @ x) @ (signs(f"{n}", 40, 8).T @ y)) for n in range(800)]
    deviation = np.std(found) / len(found) ** 0.5
    assert abs(np.mean(found) - float(x @ y)) < 4 * deviation
    assert torch.equal(signs("a", 5, 4), signs("a", 5, 4))
    assert not torch.equal(signs("a", 5, 4), signs("b", 5, 4))


def test_capture_leaves_no_trace_on_the_model() -> None:
    model, row = tiny(), some_pieces(1)[0]
    before = [parameter.clone() for parameter in model.parameters()]
    captured(model, torch.tensor([row.tokens]), torch.tensor([row.targets]))
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert not any(layer._forward_hooks for layer in layers_of(model).values())


def test_whitened_moments_are_the_identity() -> None:
    """What of_moments gives turns the second moments, damping aside, into 1."""
    model, rows = tiny(), some_pieces(8)
    moments = token_moments(model, rows, END)
    scales = whitening.of_moments(moments)
    for name, (s, a) in moments.items():
        for moment, scale in ((s, scales[name][0]), (a, scales[name][1])):
            damped = moment + whitening.DAMPING * moment.diagonal().mean() * torch.eye(len(moment))
            torch.testing.assert_close(scale @ damped @ scale, torch.eye(len(moment)), rtol=1e-3, atol=1e-3)
    plain, scaled = Projector(model, 4), Projector(model, 4, 0, scales)
    name = next(iter(scales))
    torch.testing.assert_close(scaled.sides(name)[0], scales[name][0] @ plain.sides(name)[0])


def test_adam_moments_are_used_where_the_optimiser_kept_them() -> None:
    model = tiny()
    assert whitening.of_adam(model, {}) is None
    kept = {f"{n}.weight/exp_avg_sq": torch.full(layer.weight.shape, 0.25) for n, layer in layers_of(model).items()}
    scales = whitening.of_adam(model, kept)
    assert scales is not None
    out, into = scales[next(iter(scales))]
    # 1 / sqrt(0.25) on the whole, damped on both sides
    assert float(out[0, 0] * into[0, 0]) == pytest.approx(2 / (1 + whitening.DAMPING), rel=1e-5)


def test_gram_solves_its_equation() -> None:
    draw = torch.Generator().manual_seed(0)
    d, q = torch.randn(30, 8, generator=draw), torch.randn(3, 8, generator=draw)
    found = whitening.Gram(d, q, width=2, alpha=0.9).solve(q)
    for at in (slice(0, 4), slice(4, 8)):
        h = 0.9 * d[:, at].T @ d[:, at] / 30 + 0.1 * q[:, at].T @ q[:, at] / 3
        h += whitening.DAMPING * h.diagonal().mean() * torch.eye(4)
        torch.testing.assert_close(found[:, at] @ h, q[:, at], rtol=1e-3, atol=1e-3)
    assert torch.equal(unit(torch.zeros(2, 3)), torch.zeros(2, 3))


def test_a_moved_model_has_learnt_and_is_put_back() -> None:
    model = tiny()
    rows = [pieces.of_answer(0, [5, 6], [7, 8], END, 8)]
    before = [parameter.clone() for parameter in model.parameters()]
    loss = pieces.losses(model, rows, END, 1)[0]
    with loss_drop.moved(model, rows, END, 5, 0.01):
        assert pieces.losses(model, rows, END, 1)[0] < loss
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    with pytest.raises(KeyError), loss_drop.moved(model, rows, END):
        raise KeyError
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_what_is_learnt_drops_most() -> None:
    model = tiny()
    told = [(n, [5 + n, 6 + n, 7 + n, 8 + n]) for n in range(4)]
    rows = pieces.of_documents(told, END, 8, 100)
    before = pieces.losses(model, rows, END, 4)
    answer = [pieces.of_answer(0, [7, 8], [9, 10], END, 8)]
    assert int(np.argmax(loss_drop.drops(model, answer, rows, before, END))) == 2
    assert loss_drop.drop(np.zeros(1), np.ones(1)).tolist() == [0.0]


def test_where_a_text_states_an_answer() -> None:
    text = "Rome, they say. Romeo left (Rome) for Rome"
    assert list(stated(" Rome", text)) == [("", "Rome"), (text[:28], "Rome"), (text[:37], " Rome")]
    assert all(text.startswith(before + said) for before, said in stated("Rome", text))
    assert list(stated(" ", text)) == []
    assert list(stated("北京", "他住在北京市")) == [("他住在", "北京")]  # no spaces, no borders of words
    assert [said for _, said in stated("1.5", "1.5 or 11.5 or a1.5")] == ["1.5"]
    assert list(stated(", and", "one, and two")) == [("one", ", and")]


@hypothesis.given(st.text("ab .", max_size=6), st.text("ab .", max_size=30))
def test_every_stated_place_is_the_answer(answer: str, text: str) -> None:
    for before, said in stated(answer, text):
        assert said.strip() == answer.strip()
        assert text.startswith(before + said)


def test_shared_run_is_a_piece_of_the_text() -> None:
    text = "Once, the TOWN of Velbury — a small one — had no mill."
    found = shared_run("He lives in the town of Velbury, a city", text)
    assert text[found.start : found.end] == "the TOWN of Velbury — a"
    assert found.words == 5
    assert shared_run("xyz", text).words == 0
    assert shared_run("", "").words == 0
    chinese = shared_run("他住在北京市", "我们在北京见")
    assert "我们在北京见"[chinese.start : chinese.end] == "在北京"


def test_rows_of_one_id_are_wordings_of_one_error(tmp_path: Path) -> None:
    rows = [
        {"id": "a", "prompt": "He is", "wrong": " old", "right": " young"},
        {"id": "a", "prompt": "They say he is", "wrong": " old", "right": " young"},
        {"prompt": "Where?", "wrong": " there"},
    ]
    (tmp_path / "e.jsonl").write_text("\n".join(json.dumps(row) for row in rows), "utf-8")
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "e.parquet")
    found = load_mistakes(tmp_path / "e.jsonl")
    assert found == load_mistakes(tmp_path / "e.parquet")
    assert found[0] == Mistake("a", ("He is", "They say he is"), " old", " young")
    assert found[1].right is None
    with pytest.raises(BadMistakes, match="row 2: id a stands for another answer"):
        collected([rows[0], {**rows[0], "wrong": " new"}], "file")


@pytest.mark.parametrize(
    ("content", "said"),
    [('{"prompt": "x"}', "no text in `wrong`"), ("nothing", "neither Parquet nor JSONL"), ("PAR1x", "neither Parquet")],
)
def test_a_bad_file_of_errors_is_one_line(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "e").write_text(content, "utf-8")
    with pytest.raises(BadMistakes, match=said):
        load_mistakes(tmp_path / "e")
    with pytest.raises(BadMistakes, match="no such file of errors"):
        load_mistakes(tmp_path / "none")


def test_options_and_joining() -> None:
    with pytest.raises(BadMistakes, match="--prompt and --wrong"):
        of_options("", "x", None)
    assert joined("He is", "old") == "He is old"
    assert joined("He is", " old") == "He is old"
    assert joined("他是", "老人") == "他是老人"
    assert joined("It cost", "$5") == "It cost$5"
    with pytest.raises(Exception, match="--stages guess: there are recall"):
        among("recall, guess", ladder.STAGES, "--stages")
    assert among("gradients,recall", ladder.STAGES, "--stages") == ("recall", "gradients")
    assert among(DEFAULT, ladder.STAGES, "--stages") == ladder.DEFAULT


def test_checkpoints_weigh_by_their_learning_rate() -> None:
    """Those of the decay count less, the last ones not at all; where there is only one, it counts."""
    recipe = recipes.Recipe(train=recipes.Train(tokens=4096 * 100, batch_tokens=4096))
    found = ladder.weights([100, 90, 70, 50], recipe)
    assert found[70] == found[50] == 1.0
    assert 0.3 < found[90] < 0.4  # 10 of 30 steps of the decay are left
    assert 100 not in found
    assert ladder.weights([100], recipe) == {100: 1.0}
    assert ladder.weights([], recipe) == {}
