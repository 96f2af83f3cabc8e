"""One pass over a column of text: words, lines and their hashes, read from Arrow's own buffers.

Every heuristic of a batch asks for ``segments(column)`` and shares the same pass; no Python object is made per word.
"""

import threading
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from filters.kernels.codepoints import SPACE, class_flags
from filters.kernels.compiled import I32, I64, U8, U64, compiled

FNV_BASIS = np.uint64(0xCBF29CE484222325)
FNV_PRIME = np.uint64(0x100000001B3)
_MIX_1 = np.uint64(0xFF51AFD7ED558CCD)
_MIX_2 = np.uint64(0xC4CEB9FE1A85EC53)
_SHIFT = np.uint64(33)
_NEWLINE = 10


class Segments(NamedTuple):
    """Words (exactly ``str.split()``) and lines (exactly ``str.split("\\n")``) of a batch.

    Starts and ends count bytes in `data`. A named tuple, because kernels take it as it is.
    """

    data: U8
    offsets: I64  # document d is data[offsets[d]:offsets[d + 1]]
    characters: I64  # code points of each document
    words: I64  # document d has the words words[d]:words[d + 1]
    word_start: I64
    word_bytes: I32
    word_characters: I32
    word_flags: U8  # union of the flags of its code points
    word_hash: U64
    lines: I64  # document d has the lines lines[d]:lines[d + 1]
    line_start: I64
    line_end: I64  # without the newline
    line_first: I64  # the stripped line is data[line_first:line_last]
    line_last: I64
    line_characters: I32
    line_hash: U64


_memo = threading.local()  # per thread: the last column and its segments


def segments(column: pa.Array | pa.ChunkedArray) -> Segments:
    """The segments of a text column; the last one is remembered, so all filters of a batch share it."""
    key = _addresses(column)
    if getattr(_memo, "key", None) != key:
        # The column is held, so that its addresses cannot be given to another one.
        _memo.key, _memo.column, _memo.segments = None, column, segment(column)
        _memo.key = key
    found: Segments = _memo.segments
    return found


def segment(column: pa.Array | pa.ChunkedArray) -> Segments:
    """The same, not remembered."""
    data, offsets = buffers(column)
    rows = len(offsets) - 1
    text = data[offsets[0] : offsets[-1]]
    num_lines = rows + int(np.count_nonzero(text == _NEWLINE))
    max_words = len(text) // 2 + rows  # pages that are never written cost nothing, so the bound may be generous
    s = Segments(
        data=data,
        offsets=offsets,
        characters=np.zeros(rows, np.int64),
        words=np.zeros(rows + 1, np.int64),
        word_start=np.empty(max_words, np.int64),
        word_bytes=np.empty(max_words, np.int32),
        word_characters=np.empty(max_words, np.int32),
        word_flags=np.empty(max_words, np.uint8),
        word_hash=np.empty(max_words, np.uint64),
        lines=np.zeros(rows + 1, np.int64),
        line_start=np.empty(num_lines, np.int64),
        line_end=np.empty(num_lines, np.int64),
        line_first=np.empty(num_lines, np.int64),
        line_last=np.empty(num_lines, np.int64),
        line_characters=np.empty(num_lines, np.int32),
        line_hash=np.empty(num_lines, np.uint64),
    )
    _segment(class_flags(), s)
    return s._replace(**{name: getattr(s, name)[: s.words[-1]] for name in s._fields if name.startswith("word_")})


def buffers(column: pa.Array | pa.ChunkedArray) -> tuple[U8, I64]:
    """The bytes of a text column and where each row begins in them; a null is read as an empty text."""
    array = _one_array(column)
    _, offset_buffer, data_buffer = array.buffers()
    if len(array) == 0:
        return _read_only(np.zeros(0, np.uint8)), _read_only(np.zeros(1, np.int64))
    offsets = np.frombuffer(offset_buffer, np.int64)[array.offset : array.offset + len(array) + 1]
    return _read_only(np.frombuffer(data_buffer or b"", np.uint8)), _read_only(offsets)


def _read_only(array: Any) -> Any:
    """Always so, as most Arrow buffers are: numba compiles a kernel once more for arrays that can be written."""
    array.flags.writeable = False
    return array


def _one_array(column: Any) -> Any:
    if isinstance(column, pa.ChunkedArray):
        column = (
            column.chunk(0)
            if column.num_chunks == 1
            else pa.concat_arrays([*column.chunks, column[:0].combine_chunks()])
        )
    if column.type != pa.large_string():
        column = column.cast(pa.large_string())
    return pc.fill_null(column, "") if column.null_count else column


def _addresses(column: Any) -> tuple[object, ...]:
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    return tuple((c.offset, len(c), *(b.address if b else 0 for b in c.buffers())) for c in chunks)


@compiled
def mix(h: Any) -> Any:
    """The finaliser of MurmurHash3: every bit of the input reaches every bit of the output."""
    h = (h ^ (h >> _SHIFT)) * _MIX_1
    h = (h ^ (h >> _SHIFT)) * _MIX_2
    return h ^ (h >> _SHIFT)


@compiled
def code_point(data: U8, i: Any) -> Any:
    """The code point at byte i of valid UTF-8, and how many bytes it takes."""
    b = np.int64(data[i])
    if b < 0x80:
        return b, 1
    c = np.int64(data[i + 1]) & 0x3F
    if b < 0xE0:
        return (b & 0x1F) << 6 | c, 2
    d = np.int64(data[i + 2]) & 0x3F
    if b < 0xF0:
        return (b & 0x0F) << 12 | c << 6 | d, 3
    return (b & 0x07) << 18 | c << 12 | d << 6 | (np.int64(data[i + 3]) & 0x3F), 4


@compiled
def _segment(flags: U8, s: Segments) -> None:
    w = 0
    n = 0
    for row in range(len(s.offsets) - 1):
        i = s.offsets[row]
        end = s.offsets[row + 1]
        total = 0
        while True:  # one line; a text without a newline is one line
            s.line_start[n] = i
            first = np.int64(-1)
            last = i
            line_hash = FNV_BASIS
            in_line = 0
            while i < end and s.data[i] != _NEWLINE:
                start = i
                word_hash = FNV_BASIS
                seen = np.uint8(0)
                in_word = 0
                while i < end:  # a word, perhaps empty
                    c, size = code_point(s.data, i)
                    flag = flags[c]
                    if flag & SPACE:
                        break
                    seen |= flag
                    in_word += 1
                    for j in range(i, i + size):
                        word_hash = (word_hash ^ np.uint64(s.data[j])) * FNV_PRIME
                        line_hash = (line_hash ^ np.uint64(s.data[j])) * FNV_PRIME
                    i += size
                if in_word:
                    s.word_start[w] = start
                    s.word_bytes[w] = i - start
                    s.word_characters[w] = in_word
                    s.word_flags[w] = seen
                    s.word_hash[w] = mix(word_hash)
                    w += 1
                    in_line += in_word
                    last = i
                    if first < 0:
                        first = start
                while i < end and s.data[i] != _NEWLINE:  # white space, except the end of the line
                    c, size = code_point(s.data, i)
                    if not flags[c] & SPACE:
                        break
                    for j in range(i, i + size):
                        line_hash = (line_hash ^ np.uint64(s.data[j])) * FNV_PRIME
                    in_line += 1
                    i += size
            s.line_end[n] = i
            s.line_first[n] = first if first >= 0 else i
            s.line_last[n] = last if first >= 0 else i
            s.line_characters[n] = in_line
            s.line_hash[n] = mix(line_hash)
            n += 1
            total += in_line
            if i == end:
                break
            i += 1  # over the newline
            total += 1
        s.characters[row] = total
        s.words[row + 1] = w
        s.lines[row + 1] = n
