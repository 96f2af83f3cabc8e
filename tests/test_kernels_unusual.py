"""The look misses nothing: where it finds nothing, the careful functions find nothing either."""

import re
import unicodedata

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from filters.kernels.unusual import BLANKS, COMPOSED, NO_BREAK, RETURN, SURROGATE, UNCLEAN, look, trimmed

ODD = "a \t\n\r\x00\x0b\x7f\x85\x93\xa0é\u0300\u1100\u2000\u2009\u2019\u2028\u202f\u205f\u212b\uac00\ufeff😀"


def seen(text: str) -> int:
    return int(look(np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8)))


@given(st.text(st.sampled_from(ODD)) | st.text())
def test_nothing_is_missed(text: str) -> None:
    found = seen(text)
    assert bool(found & UNCLEAN) == bool(
        re.search("[^\\S \t\n\xa0\u1680\u3000]|[\x00-\x08\x0e-\x1f\x7f-\x9f\ufeff]", text)
    )
    assert bool(found & RETURN) == ("\r" in text)
    assert bool(found & NO_BREAK) == ("\xa0" in text)
    assert found & COMPOSED or found & UNCLEAN or unicodedata.is_normalized("NFC", text)
    assert bool(found & BLANKS) == bool(re.search("[ \t]\n|\n\n\n", text))


def test_half_a_pair_of_surrogates_is_seen() -> None:
    assert seen("a\ud800") & SURROGATE


@given(st.text(st.sampled_from("a \t\né")))
def test_trimmed_as_by_patterns(text: str) -> None:
    expected = re.sub("\n{3,}", "\n\n", re.sub("[ \t]+\n", "\n", text)).strip(" \t\n")
    assert trimmed(text.encode()).decode() == expected
