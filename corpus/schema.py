"""The table of documents and its sisters: every Parquet file of a run has one of these schemas.

Raise `VERSION` with any change; readers of a run refuse another version.
"""

import pyarrow as pa

VERSION = 3

# The reason, at the stage `correction`, of what was taken down.
TAKEDOWN = "takedown"

TURN = pa.struct([("role", pa.string()), ("content", pa.large_string())])
# start and end count code points in `text`
CHAPTER = pa.struct([("title", pa.string()), ("start", pa.int64()), ("end", pa.int64())])
PROVENANCE = pa.struct(
    [
        ("file", pa.string()),  # as the recipe's glob found it
        # WARC: byte offset; JSONL: byte offset of the line, or its number when compressed; Parquet: row; wiki: byte
        # offset in the inflated dump; else 0
        ("record", pa.int64()),
        ("extractor", pa.string()),  # "trafilatura 2.3.1"; null where the input was text already
    ]
)
META = pa.struct(
    [
        ("author", pa.string()),
        ("site", pa.string()),
        ("language_hint", pa.string()),  # what the page or the book says of itself
        ("media_type", pa.string()),
        ("charset", pa.string()),  # what the bytes were decoded with
        ("description", pa.string()),  # what the page says it is about
        ("confidence", pa.float64()),  # the extractor's own estimate of its text's F1; null where it has none
        ("repairs", pa.int32()),  # characters that normalisation changed
        ("extra", pa.string()),  # other keys of the record, as JSON
    ]
)

DOCUMENT = pa.schema(
    [
        ("id", pa.string()),  # 32 hex digits of 128 bits: hash of source, origin and content
        ("source", pa.string()),
        ("url", pa.string()),
        ("text", pa.large_string()),
        ("title", pa.string()),
        ("date", pa.string()),  # ISO 8601, as far as known
        ("lang", pa.string()),  # set by the language filter, else null
        ("license", pa.string()),
        ("turns", pa.list_(TURN)),
        ("chapters", pa.list_(CHAPTER)),
        ("provenance", PROVENANCE),
        ("meta", META),
    ],
    metadata={"winnow.schema": str(VERSION)},
)

# One rule that fired.
HIT = pa.struct(
    [
        ("filter", pa.string()),
        ("reason", pa.string()),
        ("signal", pa.string()),
        ("value", pa.string()),
        ("operator", pa.string()),
        ("threshold", pa.string()),
    ]
)
EVIDENCE = pa.struct(
    [
        ("kind", pa.string()),  # record | url | exact | near
        ("jaccard", pa.float64()),  # exact, over the sets of shingles
        ("containment", pa.float64()),  # share of the rejected document's shingles found in the kept one
        ("bands", pa.int32()),  # LSH bands that the two share
        ("kept_in", pa.string()),  # the earlier run that has the kept document, as the recipe names it; null: this run
    ]
)

LEDGER = pa.schema(
    [
        ("id", pa.string()),
        ("source", pa.string()),
        ("url", pa.string()),
        ("stage", pa.string()),  # extract | filter | dedup | correction
        ("reason", pa.string()),  # the first in the order of the recipe
        ("hits", pa.list_(HIT)),  # every rule that fired, in the order of the recipe
        ("kept_id", pa.string()),  # duplicates: the document that was kept
        ("evidence", EVIDENCE),
        ("detail", pa.string()),  # failures: what went wrong
        ("text", pa.large_string()),  # null where nothing was extracted
        ("title", pa.string()),
        ("lang", pa.string()),
        ("provenance", PROVENANCE),
        ("meta", META),
    ],
    metadata={"winnow.schema": str(VERSION)},
)

DUPLICATES = pa.schema(
    [
        ("id", pa.string()),
        ("kept_id", pa.string()),
        ("kind", pa.string()),
        ("jaccard", pa.float64()),
        ("containment", pa.float64()),
        ("bands", pa.int32()),
        ("kept_in", pa.string()),
    ]
)

EDITS = pa.schema(
    [
        ("id", pa.string()),
        ("step", pa.string()),  # which editor, in the order in which they ran
        ("rule", pa.string()),
        ("start", pa.int64()),  # code points, in the text that this step was given
        ("end", pa.int64()),
        ("removed", pa.large_string()),
        ("replacement", pa.large_string()),
    ]
)
# signals/: id, source, file, lang, chars (int64), words (int64, split at white space), one struct column per
# filter, kept (bool); null words where there is no text
