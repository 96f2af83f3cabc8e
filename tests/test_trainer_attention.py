"""Attention by every backend that runs here equals a plain matrix of who sees whom."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer import attention
from trainer.failures import UsageFailure

torch.set_num_threads(1)
CPU = torch.device("cpu")
LIKE = torch.empty(0)


def reference(
    q_BTHD: torch.Tensor, k_BTGD: torch.Tensor, v_BTGD: torch.Tensor, documents_BT: torch.Tensor, window: int
) -> torch.Tensor:
    """Pair by pair, in float64."""
    rows, length, heads, width = q_BTHD.shape
    group = heads // k_BTGD.shape[2]
    out = torch.zeros(rows, length, heads, width, dtype=torch.float64)
    for b in range(rows):
        for t in range(length):
            seen = [
                s for s in range(t + 1) if documents_BT[b, s] == documents_BT[b, t] and (not window or t - s < window)
            ]
            for h in range(heads):
                keys = k_BTGD[b, seen, h // group].double()
                weights = (keys @ q_BTHD[b, t, h].double() / width**0.5).softmax(0)
                out[b, t, h] = weights @ v_BTGD[b, seen, h // group].double()
    return out.float()


@st.composite
def cases(draw: st.DrawFn) -> tuple[torch.Tensor, ...]:
    rows, length = draw(st.integers(1, 3)), draw(st.integers(1, 9))
    groups, times = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 999)))
    q, k, v = (torch.randn(rows, length, n, 4, generator=generator) for n in (groups * times, groups, groups))
    documents = torch.randint(0, 2, (rows, length), generator=generator).cumsum(1)
    return q, k, v, documents if draw(st.booleans()) else torch.zeros_like(documents)


@settings(max_examples=40, deadline=None)
@given(case=cases(), window=st.integers(0, 10))
def test_sdpa_sees_what_it_may(case: tuple[torch.Tensor, ...], window: int) -> None:
    q, k, v, documents = case
    mask = attention.plan("sdpa", documents, *documents.shape, window, LIKE)
    torch.testing.assert_close(
        attention.attend(q, k, v, mask), reference(q, k, v, documents, window), atol=1e-5, rtol=1e-4
    )


@pytest.mark.filterwarnings("ignore::UserWarning")  # flex says that uncompiled it is slow
@pytest.mark.parametrize("window", [0, 5])
@pytest.mark.parametrize("borders", [True, False])
def test_flex_sees_what_it_may(window: int, borders: bool) -> None:
    generator = torch.Generator().manual_seed(1)
    q, k, v = (torch.randn(2, 24, heads, 16, generator=generator) for heads in (4, 2, 2))
    documents = torch.randint(0, 6, (2, 24), generator=generator).eq(0).cumsum(1) * int(borders)
    mask = attention.plan("flex", documents, 2, 24, window, LIKE)
    torch.testing.assert_close(
        attention.attend(q, k, v, mask), reference(q, k, v, documents, window), atol=1e-5, rtol=1e-4
    )


@settings(max_examples=40, deadline=None)
@given(case=cases())
def test_spans_for_varlen_cover_the_batch_and_meet_at_borders(case: tuple[torch.Tensor, ...]) -> None:
    documents_BT = case[3]
    rows, length = documents_BT.shape
    borders = attention.plan("varlen", documents_BT, rows, length, 0, LIKE).borders
    assert borders is not None
    assert borders.dtype == torch.int32
    assert int(borders[0]) == 0
    assert int(borders[-1]) == rows * length
    assert (borders.diff() >= 0).all()
    labels = (torch.arange(rows)[:, None] * 100 + documents_BT).flatten()
    inner = set(borders.tolist()) - {0, rows * length}
    assert inner == {t for t in range(1, rows * length) if labels[t] != labels[t - 1]}


def test_no_matrix_is_made_where_causality_says_it_all() -> None:
    one = torch.full((2, 8), 7)
    assert attention.plan("sdpa", one, 2, 8, 0, LIKE).allowed is None
    assert attention.plan("sdpa", None, 2, 8, 8, LIKE).allowed is None
    assert attention.plan("sdpa", None, 2, 8, 7, LIKE).allowed is not None


def test_the_backend_suits_the_device() -> None:
    assert attention.choose("auto", CPU, torch.float32) == "sdpa"
    cuda = torch.device("cuda")
    assert attention.choose("auto", cuda, torch.float32) == "flex"
    assert attention.choose("auto", cuda, torch.bfloat16) == ("varlen" if attention.has_varlen() else "flex")
    for backend in ("varlen", "flex", "flash"):
        with pytest.raises(UsageFailure, match=r"train\.attention"):
            attention.choose(backend, CPU, torch.bfloat16)
