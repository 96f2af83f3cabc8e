"""C4's line rules: which lines and citation marks of a document to cut, as spans of code points.

A line is judged as C4's release code does, rule by rule on the stripped line, from the second rule on without
its citation marks.
"""

from typing import Any, NamedTuple

import numpy as np

from filters.kernels.codepoints import NUM_CODE_POINTS, SPACE, class_flags
from filters.kernels.compiled import I32, I64, U8, compiled
from filters.kernels.text import Segments, code_point

RULES = ("citation", "long_word", "unpunctuated_line", "short_line", "javascript", "policy")
CITATION, LONG_WORD, UNPUNCTUATED, SHORT, JAVASCRIPT, POLICY = range(len(RULES))
_KEPT = -1
_OPEN, _CLOSE, _ZERO, _NINE = 91, 93, 48, 57
_EDIT = np.frombuffer(b"[edit]", np.uint8)
_NEEDED = np.frombuffer(b"[citation needed]", np.uint8)
_DOTS = np.frombuffer(b"...", np.uint8)


class Limits(NamedTuple):
    """The settings of the rules, in the form that the loops read."""

    flags: U8  # class flags of code points
    is_mark: Any  # bool per code point; all true where lines need no terminal mark
    marks_needed: bool
    citations: bool
    min_words: int
    max_word_characters: int
    phrases: U8  # lower-case phrases one after the other
    phrase_start: I64
    phrase_rule: I64
    begins: Any  # bool[256, 256] of a byte and the next one (0 at the end): a phrase may begin there


class Spans(NamedTuple):
    """One edit per place."""

    row: I32
    rule: I64
    start: I64
    end: I64


def limits(marks: str, citations: bool, min_words: int, max_word_characters: int, phrases: dict[str, int]) -> Limits:
    """`marks` are the terminal marks, none for no such rule; `phrases` says which rule each phrase breaks."""
    is_mark = np.zeros(NUM_CODE_POINTS, np.bool_)
    is_mark[[ord(c) for c in marks]] = True
    encoded = [phrase.lower().encode() for phrase in phrases]
    begins = np.zeros((256, 256), np.bool_)
    for phrase in encoded:
        begins[phrase[0], phrase[1] if len(phrase) > 1 else slice(None)] = True
    return Limits(
        flags=class_flags(),
        is_mark=is_mark,
        marks_needed=bool(marks),
        citations=citations,
        min_words=min_words,
        max_word_characters=max_word_characters,
        phrases=np.array(list(b"".join(encoded)), np.uint8),
        phrase_start=np.cumsum([0, *map(len, encoded)]).astype(np.int64),
        phrase_rule=np.array(list(phrases.values()), np.int64),
        begins=begins,
    )


def spans(s: Segments, limits: Limits) -> Spans:
    """Every span to cut, in order."""
    most = len(s.line_start) + int(np.count_nonzero(s.data[s.offsets[0] : s.offsets[-1]] == _OPEN))
    out = Spans(np.empty(most, np.int32), np.empty(most, np.int64), np.empty(most, np.int64), np.empty(most, np.int64))
    scratch = np.empty(int((s.line_end - s.line_start).max(initial=0)), np.uint8)
    found = _spans(s, limits, scratch, out)
    return Spans(out.row[:found], out.rule[:found], out.start[:found], out.end[:found])


@compiled
def _spans(s: Segments, limits: Limits, scratch: U8, out: Spans) -> int:
    found = 0
    for row in range(len(s.characters)):
        w = s.words[row]
        at = 0  # code points before the line
        for n in range(s.lines[row], s.lines[row + 1]):
            characters = s.line_characters[n]
            if s.line_start[n] == s.offsets[row + 1]:
                break  # nothing follows the final newline, and an empty text has no line
            longest = 0
            while w < s.words[row + 1] and s.word_start[w] < s.line_end[n]:
                longest = max(longest, s.word_characters[w])
                w += 1
            rule = LONG_WORD if longest > limits.max_word_characters else _verdict(s, n, limits, scratch)
            if rule != _KEPT:
                end = at + characters + (s.line_end[n] < s.offsets[row + 1])
                found = _put(out, found, row, rule, at, end)
            elif limits.citations and _brackets(s.data[s.line_start[n] : s.line_last[n]]):
                found = _put_citations(s, n, row, at, out, found)
            at += characters + 1
    return found


@compiled
def _brackets(line: U8) -> int:
    """How many brackets open: a loop that compares 32 bytes at once, where most lines have none."""
    found = 0
    for b in line:
        found += b == _OPEN
    return found


@compiled
def _put(out: Spans, found: int, row: int, rule: int, start: Any, end: Any) -> int:
    out.row[found] = row
    out.rule[found] = rule
    out.start[found] = start
    out.end[found] = end
    return found + 1


@compiled
def _put_citations(s: Segments, n: Any, row: int, at: Any, out: Spans, found: int) -> int:
    i = s.line_start[n]
    while i < s.line_last[n]:
        size = _citation(s.data, i, s.line_last[n]) if s.data[i] == _OPEN else 0
        if size:
            found = _put(out, found, row, CITATION, at, at + size)
            i += size
            at += size
        else:
            at += (s.data[i] & 0xC0) != 0x80
            i += 1
    return found


@compiled
def _citation(data: U8, i: Any, end: Any) -> Any:
    """How many bytes the citation mark that opens at byte i takes, 0 if it is none."""
    j = i + 1
    while j < end and _ZERO <= data[j] <= _NINE:
        j += 1
    if j < end and data[j] == _CLOSE:
        return j + 1 - i
    if _equal(data, i, end, _EDIT):
        return len(_EDIT)
    return len(_NEEDED) if _equal(data, i, end, _NEEDED) else 0


@compiled
def _equal(data: U8, i: Any, end: Any, phrase: U8) -> bool:
    if i + len(phrase) > end:
        return False
    for k in range(len(phrase)):  # noqa: SIM110 (numba has no any() over a generator)
        if data[i + k] != phrase[k]:
            return False
    return True


@compiled
def _verdict(s: Segments, n: Any, limits: Limits, scratch: U8) -> Any:
    """The first rule that the line breaks, judged on its stripped lower-case copy without citation marks."""
    size = _lowered(s.data[s.line_first[n] : s.line_last[n]], limits.citations, scratch)
    line = scratch[:size]
    if limits.marks_needed and not _is_finished(line, limits.is_mark):
        return UNPUNCTUATED
    if _is_short(line, limits.flags, limits.min_words):
        return SHORT
    return _phrase(line, limits)


@compiled
def _lowered(line: U8, citations: bool, out: U8) -> int:
    """Write a line with A-Z as a-z and, where they count, without citation marks; how many bytes."""
    size = 0
    if citations and _brackets(line):
        i = 0
        while i < len(line):
            cut = _citation(line, i, len(line)) if line[i] == _OPEN else 0
            if cut:
                i += cut
                continue
            out[size] = line[i]
            size += 1
            i += 1
    else:
        size = len(line)
        out[:size] = line
    for i in range(size):
        out[i] |= (np.uint8(out[i] - 65) < 26) << 5
    return size


@compiled
def _is_finished(line: U8, is_mark: Any) -> bool:
    if len(line) == 0:
        return False
    # A negative place would read the end of the scratch buffer, which holds what an earlier line left there.
    if len(line) >= len(_DOTS) and _equal(line, len(line) - len(_DOTS), len(line), _DOTS):
        return False
    i = len(line) - 1
    while line[i] & 0xC0 == 0x80:
        i -= 1
    return bool(is_mark[code_point(line, i)[0]])


@compiled
def _is_short(line: U8, flags: U8, min_words: int) -> bool:
    words = 0
    in_word = False
    i = 0
    while i < len(line) and words < min_words:
        c, size = code_point(line, i)
        if flags[c] & SPACE:
            in_word = False
        elif not in_word:
            in_word = True
            words += 1
        i += size
    return words < min_words


@compiled
def _phrase(line: U8, limits: Limits) -> Any:
    """The rule of the first listed phrase that the line holds."""
    found = len(limits.phrase_rule)
    for i in range(len(line)):
        if not limits.begins[line[i], line[i + 1] if i + 1 < len(line) else 0]:
            continue
        for p in range(found):
            phrase = limits.phrases[limits.phrase_start[p] : limits.phrase_start[p + 1]]
            # A call costs more than the loop around it, so one byte decides first.
            if line[i] == phrase[0] and _equal(line, i, len(line), phrase):
                found = p
                break
    return limits.phrase_rule[found] if found < len(limits.phrase_rule) else np.int64(_KEPT)
