"""The loss in pieces is the loss, whatever the pieces; EL2N is its definition."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer import head

torch.set_num_threads(1)


@settings(max_examples=20, deadline=None)
@given(rows=st.integers(1, 300), vocab=st.integers(2, 40), seed=st.integers(0, 999), keep=st.booleans())
def test_pieces_do_not_matter(rows: int, vocab: int, seed: int, keep: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    x_BTC = torch.randn(1, rows, 8, generator=generator).requires_grad_()
    weight_VC = torch.randn(vocab, 8, generator=generator).requires_grad_()
    targets_BT = torch.randint(-1, vocab, (1, rows), generator=generator)
    targets_BT[targets_BT < 0] = head.IGNORED
    upstream_BT = torch.rand(1, rows, generator=generator)
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(head.PIECE_BYTES, "cpu", 1)  # 128 rows at a time
        patched.setitem(head.KEPT_BYTES, "cpu", 1 << 30 if keep else 0)
        losses_BT, el2n_BT = head.losses(x_BTC, weight_VC, targets_BT, el2n=True)
        found = torch.autograd.grad(losses_BT, (x_BTC, weight_VC), upstream_BT)
    logits_NV = F.linear(x_BTC, weight_VC)[0]
    expected_N = F.cross_entropy(logits_NV, targets_BT[0], reduction="none")
    torch.testing.assert_close(losses_BT[0], expected_N, atol=1e-5, rtol=1e-5)
    for one, other in zip(found, torch.autograd.grad(expected_N, (x_BTC, weight_VC), upstream_BT[0]), strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)
    error_NV = logits_NV.softmax(-1) - F.one_hot(targets_BT[0].clamp(min=0), vocab)
    norm_N = error_NV.norm(dim=-1) * (targets_BT[0] != head.IGNORED)
    assert el2n_BT is not None
    torch.testing.assert_close(el2n_BT[0], norm_N, atol=2e-3, rtol=1e-3)


def test_a_number_that_is_none_stays_one() -> None:
    x_BTC = torch.ones(1, 3, 4)
    x_BTC[0, 1] = float("nan")
    x_BTC.requires_grad_()
    losses_BT, _ = head.losses(x_BTC, torch.ones(5, 4), torch.tensor([[0, 1, 2]]))
    assert losses_BT.isnan().tolist() == [[False, True, False]]
    losses_BT.sum().backward()
    assert x_BTC.grad is not None
    assert x_BTC.grad.isnan().any(-1).tolist() == [[False, True, False]]


def test_logits_far_apart_are_exact_and_the_plain_form_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    logits_NV = torch.tensor([[0.0, 300.0, -300.0], [1e4, 0.0, 1e4], [-5.0, -5.0, -5.0]])
    targets_BT, weight_VC = torch.tensor([[0, 2, 1]]), torch.eye(3)
    found = head.losses(logits_NV[None], weight_VC, targets_BT, el2n=True)
    monkeypatch.setattr(head, "fusable", lambda x: False)
    plain = head.losses(logits_NV[None], weight_VC, targets_BT, el2n=True)
    expected = F.cross_entropy(logits_NV, targets_BT[0], reduction="none")
    for one, other in ((found, plain), ((expected[None], plain[1]), plain)):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-5)  # at 10,000 float32 has steps of 0.001


def test_the_form_for_compilers_has_the_same_gradient() -> None:
    generator = torch.Generator().manual_seed(0)
    logits_NV, gradient_N = torch.randn(9, 13, generator=generator), torch.rand(9, generator=generator)
    targets_N = torch.randint(0, 13, (9,), generator=generator)
    _, scale_N, _ = head.stats(logits_NV, targets_N, False)
    expected = head.slope(logits_NV, scale_N, targets_N, gradient_N)
    torch.testing.assert_close(head.slope_(logits_NV.clone(), scale_N, targets_N, gradient_N), expected)
