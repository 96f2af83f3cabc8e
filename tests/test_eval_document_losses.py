"""Windows that slide score every token once, with the context that is promised, and as the model itself does."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from eval.document_losses import BadStride, Scorer, token_nats, windows_of
from trainer.model import Shape, Transformer

torch.set_num_threads(1)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 16), st.integers(1, 16))
def test_every_token_is_scored_once_and_with_context(first: int, size: int, length: int, stride: int) -> None:
    stride = min(stride, length)
    found = list(windows_of(7, min(first, size), size, length, stride))
    scored = [at for w in found for at in range(w.scored, w.stop)]
    assert scored == list(range(min(first, size), size))
    for w in found:
        assert w.stop - w.start <= length
        assert w.start == 0 or w.scored - w.start >= length - stride


@pytest.fixture(scope="module")
def model() -> Transformer:
    made = Transformer(_shape())
    made.initialise(3)
    with torch.no_grad():  # a fresh model gives every token the same loss, which would prove nothing
        made.output_weight().normal_(0, 1, generator=torch.Generator().manual_seed(1))
    return made.eval()


def _shape() -> Shape:
    from trainer import recipe
    from trainer.model import shape_of

    return shape_of(recipe.Model(depth=1, width=32, tied=False), 50)


def rows(sizes: list[int]) -> list[list[int]]:
    draw = np.random.default_rng(0)
    return [draw.integers(1, 50, size).tolist() for size in sizes]


def test_a_text_of_one_window_is_scored_as_the_model_scores_it(model: Transformer) -> None:
    (row,) = rows([10])
    (found,) = token_nats(model, [row], [0], 0, 16)
    with torch.no_grad():
        losses = model(torch.tensor([[0, *row[:-1]]]), torch.tensor([row]))
        logits = model.logits(torch.tensor([[0, *row[:-1]]]))
    assert isinstance(losses, torch.Tensor)
    np.testing.assert_allclose(found.nats, losses[0].numpy(), rtol=1e-4)
    np.testing.assert_array_equal(found.likeliest, (logits.argmax(-1)[0] == torch.tensor(row)).numpy())


def test_stride_one_gives_every_token_a_full_window(model: Transformer) -> None:
    (row,) = rows([20])
    (found,) = token_nats(model, [row], [0], 0, 8, 1)
    behind = [0, *row]
    for at in (0, 5, 8, 19):
        context = behind[max(0, at - 7) : at + 1]
        (alone,) = token_nats(model, [[*context[1:], row[at]]], [len(context) - 1], context[0], 8)
        assert found.nats[at] == pytest.approx(alone.nats[0], rel=1e-4)


def test_other_rows_and_what_is_skipped_change_nothing(model: Transformer) -> None:
    many = rows([0, 3, 30, 9, 30, 1])
    together = token_nats(model, many, [0] * 6, 0, 8, 4, batch_tokens=24)
    for row, found in zip(many, together, strict=True):
        (alone,) = token_nats(model, [row], [0], 0, 8, 4)
        np.testing.assert_allclose(found.nats, alone.nats, rtol=1e-4)
        (tail,) = token_nats(model, [row], [min(5, len(row))], 0, 8, 4)
        np.testing.assert_allclose(tail.nats, alone.nats[min(5, len(row)) :], rtol=1e-4)


def test_a_stride_beyond_the_row_is_refused(model: Transformer) -> None:
    with pytest.raises(BadStride, match="from 1 to the model's row of 8"):
        token_nats(model, rows([4]), [0], 0, 8, 9)


def test_continuations_hold_all_of_the_text_that_follows(model: Transformer) -> None:
    class Letters:
        """A tokenizer that joins `ab`, so that a token can lie over the border."""

        end = 0

        def encode(self, text: str) -> list[int]:
            return [ord(c) % 40 + 1 for c in text.replace("ab", "z")]

    scorer = Scorer(model, Letters(), 16)  # type: ignore[arg-type]
    whole, apart, joined, none = scorer.continuations([("", "cd"), ("xy", "cd"), ("xa", "bc"), ("xy", "")])
    assert [len(one.nats) for one in (whole, apart, joined, none)] == [2, 2, 2, 0]
    assert not np.allclose(whole.nats, apart.nats)
