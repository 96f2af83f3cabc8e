"""MinHash signatures for a batch of texts, read from Arrow's own buffers with no Python object per word.

A *word* is, after lower-casing, a longest run of ASCII letters and digits and of code points from U+00C0 up, cut at
General Punctuation (curly quotes, dashes), CJK and full-width punctuation. A code point of a script that is written
without spaces (Han, kana, Thai, Lao, Tibetan, Burmese, Khmer) is a word of its own, so such texts get character
shingles. The rule looks at code points and never at whole documents: two near-copies cannot fall on different sides
of it. Long runs of other scripts stay one word, because characters of hex or DNA dumps would make all dumps alike.

A *shingle* is `shingle_words` words in a row, as 64 bits. Its upper 32 bits are what a signature is made of, so that
signatures equal `datasketch.MinHash(scheme="affine32")` for the same 32-bit hashes.
"""

import functools
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from filters.kernels.compiled import compiled

U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
Text: TypeAlias = "pa.Array[Any] | pa.ChunkedArray[Any]"  # of strings

EMPTY = np.uint32(0xFFFFFFFF)  # datasketch's value of a MinHash that has seen nothing
BLOCK = 8192  # words at a time: 64 KB of word hashes and 32 KB of shingle hashes stay in the caches
LETTER, GAP, ALONE = 0, 1, 2  # what a code point is: part of a word, between words, a word of its own

_GAP_OR_LOWER = np.array(
    [b if b >= 0x80 or chr(b).isalnum() else 0 for b in bytes(range(256)).lower()], np.uint8
)  # 0: between words
_FNV_OFFSET = np.uint64(0xCBF29CE484222325)
_FNV_PRIME = np.uint64(0x100000001B3)
_MIX_1 = np.uint64(0xFF51AFD7ED558CCD)  # MurmurHash3's 64-bit finaliser
_MIX_2 = np.uint64(0xC4CEB9FE1A85EC53)
_STEP = np.uint64(0x9E3779B97F4A7C15)  # odd, so that a shingle's polynomial loses no bit
_33 = np.uint64(33)


def signatures(text: Text, shingle_words: int = 5, num_permutations: int = 112) -> U32:
    """MinHash values, uint32[documents, num_permutations].

    A document with fewer words than a shingle (or null) has no signature: its row is `EMPTY` throughout, and
    `has_signature` is False. Raises ValueError for `shingle_words` or `num_permutations` below 1.
    """
    _check(shingle_words, num_permutations)
    data, offsets = buffers(text)
    a, b = _permutations(num_permutations)
    out = np.full((offsets.size - 1, num_permutations), EMPTY, np.uint32)
    _signatures(data, offsets, shingle_words, a, b, out)
    return out


def has_signature(signatures: U32) -> npt.NDArray[np.bool_]:
    """True for documents that are long enough to have one, bool[documents]."""
    return np.asarray((signatures != EMPTY).any(axis=1), np.bool_)


def shingle_sets(text: Text, shingle_words: int = 5) -> tuple[U64, I64]:
    """Each document's shingles, sorted and unique: `values[offsets[i]:offsets[i + 1]]` are those of document i.

    Returns uint64[shingles] and int64[documents + 1]. Raises ValueError for `shingle_words` below 1.
    """
    _check(shingle_words, 1)
    data, offsets = buffers(text)
    # two words take at least three bytes, and a shingle starts with a word
    room = np.concatenate([[0], np.cumsum(np.diff(offsets) // 2 + 1)])
    values = np.empty(room[-1], np.uint64)
    counts = np.empty(offsets.size - 1, np.int64)
    _fill_shingles(data, offsets, shingle_words, room, values, counts)
    for start, count in zip(room[:-1].tolist(), counts.tolist(), strict=True):
        values[start : start + count].sort()  # numpy's vectorised sort: about 10 x numba's
    used = _unique(values, room, counts)
    return values[:used].copy(), np.concatenate([[0], np.cumsum(counts)])


def bands(signatures: U32, bands: int, rows: int) -> U64:
    """One hash per band of `rows` signature values, uint64[documents, bands]; later values are not used.

    Raises ValueError where a signature is shorter than bands x rows.
    """
    if bands < 1 or rows < 1 or bands * rows > signatures.shape[1]:
        raise ValueError(f"bands x rows: {bands} x {rows} does not fit in {signatures.shape[1]} permutations")
    out = np.empty((signatures.shape[0], bands), np.uint64)
    _bands(np.ascontiguousarray(signatures), rows, out)
    return out


def buffers(text: Text) -> tuple[Bytes, I64]:
    """Lower-cased UTF-8 and its offsets, int64[documents + 1]; ASCII is left to the kernel's table.

    Both arrays are read-only (one type, one compilation) and may share Arrow's memory. Null reads as "".
    """
    array: Any = text.combine_chunks() if isinstance(text, pa.ChunkedArray) else text
    array = array.cast(pa.large_string())
    if array.null_count:
        array = array.fill_null("")
    data, offsets = _views(array)
    if data[offsets[0] : offsets[-1]].max(initial=0) >= 0x80:
        data, offsets = _views(pc.utf8_lower(array))
    return data, offsets


def _views(array: Any) -> tuple[Bytes, I64]:
    _, offset_buffer, data_buffer = array.buffers()
    offsets = np.zeros(1, np.int64)
    if len(array):
        offsets = np.frombuffer(offset_buffer, np.int64, len(array) + 1, array.offset * 8)
    data = np.frombuffer(data_buffer, np.uint8) if data_buffer is not None else np.zeros(0, np.uint8)
    for view in (data, offsets):
        view.flags.writeable = False
    return data, offsets


def _check(shingle_words: int, num_permutations: int) -> None:
    if not 1 <= shingle_words <= BLOCK // 2:
        raise ValueError(f"shingle_words: {shingle_words} is not between 1 and {BLOCK // 2}")
    if num_permutations < 1:
        raise ValueError(f"num_permutations: {num_permutations} is below 1")


@functools.cache
def _permutations(num_permutations: int) -> tuple[U32, U32]:
    """datasketch's own for seed 1, without its import: that loads scipy, a quarter of a second in every worker."""
    generator = np.random.RandomState(1)
    a = generator.randint(0, 1 << 31, num_permutations, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
    return a, generator.randint(0, 1 << 32, num_permutations, dtype=np.uint32)


@compiled
def _mix(h: np.uint64) -> np.uint64:
    h = (h ^ (h >> _33)) * _MIX_1
    h = (h ^ (h >> _33)) * _MIX_2
    return h ^ (h >> _33)


@compiled
def _kind(data: Bytes, at: int, end: int) -> int:
    """What the code point is whose first byte, >= 0xC2, is data[at]."""
    lead = data[at]
    if lead < 0xE0:
        return GAP if lead == 0xC2 else LETTER  # U+0080..U+00BF: signs and the no-break space
    if at + 2 >= end:
        return LETTER
    second, third = data[at + 1], data[at + 2]
    if lead == 0xE0:
        return ALONE if second >= 0xB8 else LETTER  # Thai, Lao, Tibetan
    if lead == 0xE1:  # Burmese, Khmer
        return ALONE if second <= 0x81 or (second == 0x82 and third < 0xA0) or 0x9E <= second <= 0x9F else LETTER
    if lead == 0xE2:  # General Punctuation ends at U+206F
        return GAP if second == 0x80 or (second == 0x81 and third < 0xB0) else LETTER
    if lead == 0xE3:
        if second == 0x80:  # CJK punctuation, but for the iteration mark and zero
            return ALONE if 0x85 <= third <= 0x87 else GAP
        return ALONE if 0x81 <= second <= 0x83 or second >= 0x90 else LETTER
    if lead <= 0xE9:
        return ALONE
    if lead == 0xEF:
        return _kind_of_form(second, third)
    return ALONE if lead == 0xF0 and 0xA0 <= second <= 0xB3 else LETTER  # rare Han


@compiled
def _kind_of_form(second: int, third: int) -> int:
    """U+F000..U+FFFF: full-width punctuation, compatibility Han, half-width kana."""
    if second == 0xBC:
        return GAP if third <= 0x8F or 0x9A <= third <= 0xA0 or third >= 0xBB else LETTER
    if second == 0xBD:
        if third >= 0xA6:
            return ALONE
        return GAP if third == 0x80 or third >= 0x9B else LETTER
    if second == 0xBE:
        return ALONE if third <= 0x9F else LETTER
    return ALONE if 0xA4 <= second <= 0xAB else LETTER


@compiled
def _words(data: Bytes, at: int, end: int, words: U64, count: int) -> tuple[int, int]:
    """Write hashes of the words of data[at:end] to words[count:] until it is full; returns the new count and `at`.

    Plain letters and gaps take no branch: where words end is what a processor cannot foresee, and guessing cost 2 x.
    """
    first, h, inside = count, _FNV_OFFSET, 0
    while at < end and count < words.size - 2:
        byte = _GAP_OR_LOWER[data[at]]
        if byte >= 0xE0 or byte == 0xC2:
            kind = _kind(data, at, end)
            if kind != LETTER:
                words[count] = h
                count += inside
                at, h = _one(data, at, end)
                words[count] = h
                count += kind == ALONE
                h, inside = _FNV_OFFSET, 0
                continue
        gap = byte == 0
        words[count] = h
        count += inside & gap
        inside = 1 - gap
        h = _FNV_OFFSET if gap else (h ^ np.uint64(byte)) * _FNV_PRIME
        at += 1
    words[count] = h  # the loop stops inside a word only where the text does
    count += inside
    for i in range(first, count):
        words[i] = _mix(words[i])
    return count, at


@compiled
def _one(data: Bytes, at: int, end: int) -> tuple[int, np.uint64]:
    """Where the code point at data[at] ends, and its FNV-1a."""
    lead, h = data[at], _FNV_OFFSET
    stop = min(end, at + (2 if lead < 0xE0 else (3 if lead < 0xF0 else 4)))
    for i in range(at, stop):
        h = (h ^ np.uint64(data[i])) * _FNV_PRIME
    return stop, h


@compiled
def _shingles(words: U64, count: int, n: int, out: U64) -> int:
    """Hashes of every n words in a row: a polynomial that rolls along, then mixed. Returns how many."""
    if count < n:
        return 0
    power = np.uint64(1)
    h = np.uint64(0)
    for i in range(n):
        h = h * _STEP + words[i]
        power = power * _STEP
    out[0] = _mix(h)
    for i in range(n, count):
        h = h * _STEP + words[i] - power * words[i - n]
        out[i - n + 1] = _mix(h)
    return count - n + 1


@compiled
def _premix(shingles: U64, count: int, out: U32) -> None:
    """datasketch's pre-mix of 32-bit hashes, MurmurHash3's 32-bit finaliser."""
    for i in range(count):
        h = np.uint32(shingles[i] >> np.uint64(32))
        h = np.uint32((h ^ (h >> 16)) * np.uint32(0x85EBCA6B))
        h = np.uint32((h ^ (h >> 13)) * np.uint32(0xC2B2AE35))
        out[i] = h ^ (h >> 16)


@compiled
def _minima(hashes: U32, count: int, a: U32, b: U32, out: U32) -> None:
    """Lower out[p] to the least a[p] * h + b[p] mod 2^32; one permutation at a time is what LLVM vectorises."""
    for p in range(a.size):
        factor, term, least = a[p], b[p], out[p]
        for i in range(count):
            least = min(least, np.uint32(factor * hashes[i] + term))
        out[p] = least


@compiled
def _carry(words: U64, count: int, n: int) -> int:
    """Move the last n - 1 words to the front, where the next block's shingles begin."""
    kept = min(count, n - 1)
    for i in range(kept):
        words[i] = words[count - kept + i]
    return kept


@compiled
def _signatures(data: Bytes, offsets: I64, n: int, a: U32, b: U32, out: U32) -> None:
    words, shingles = np.empty(BLOCK, np.uint64), np.empty(BLOCK, np.uint64)
    mixed = np.empty(BLOCK, np.uint32)
    for doc in range(offsets.size - 1):
        at, end, count = offsets[doc], offsets[doc + 1], 0
        while at < end:
            count, at = _words(data, at, end, words, count)
            found = _shingles(words, count, n, shingles)
            _premix(shingles, found, mixed)
            _minima(mixed, found, a, b, out[doc])
            count = _carry(words, count, n)


@compiled
def _fill_shingles(data: Bytes, offsets: I64, n: int, room: I64, values: U64, counts: I64) -> None:
    words = np.empty(BLOCK, np.uint64)
    for doc in range(offsets.size - 1):
        at, end, count = offsets[doc], offsets[doc + 1], 0
        filled = room[doc]
        while at < end:
            count, at = _words(data, at, end, words, count)
            filled += _shingles(words, count, n, values[filled:])
            count = _carry(words, count, n)
        counts[doc] = filled - room[doc]


@compiled
def _unique(values: U64, room: I64, counts: I64) -> int:
    """Close up the sorted runs, one per document, without repeats; counts become those of unique values."""
    used = 0
    for doc in range(counts.size):
        first = used
        for i in range(room[doc], room[doc] + counts[doc]):
            if used == first or values[i] != values[used - 1]:
                values[used] = values[i]
                used += 1
        counts[doc] = used - first
    return used


@compiled
def _bands(signatures: U32, rows: int, out: U64) -> None:
    for doc in range(out.shape[0]):
        for band in range(out.shape[1]):
            h = _FNV_OFFSET
            for row in range(rows):
                h = _mix(h ^ np.uint64(signatures[doc, band * rows + row])) * _STEP
            out[doc, band] = h
