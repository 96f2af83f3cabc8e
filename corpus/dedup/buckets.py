"""Documents with equal hashes meet. All of a part's hashes of one kind travel as one bytes value.

One value per part and space shuffles 264,000 documents/s in Beam, one element per hash 12,000 (reference/beam.md §5).
A *payload* is n hashes and then n docrefs, both little-endian uint64. A *docref* names a document: part << 32 | row.
Parts from `EARLIER` up are of earlier runs: their documents are settled, and come first whatever their rank.
A *space* is a kind of hash: 0 record, 1 url, 2 exact, 3 and up the bands.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpus.dedup import Settings

U64 = npt.NDArray[np.uint64]
RECORD, URL, EXACT, BANDS = 0, 1, 2, 3
EARLIER = 1 << 31
_WORD = "<u8"


def docrefs(part_index: int, rows: npt.ArrayLike) -> U64:
    """uint64 names of the rows of a part."""
    return np.uint64(part_index << 32) | np.asarray(rows, np.uint64)


def rows_of(docrefs: U64, part_index: int) -> npt.NDArray[np.int64]:
    """Row numbers, int64, of those docrefs that lie in the part, in their order."""
    mine: U64 = docrefs[docrefs >> np.uint64(32) == part_index]
    return (mine & np.uint64(0xFFFFFFFF)).astype(np.int64)


def entries(
    keys: pa.Table, part_index: int, survives: npt.NDArray[np.bool_], settings: Settings, partitions: int = 1
) -> list[tuple[int, bytes]]:
    """What a part sends: (space x partitions + hash mod partitions, payload) for each that is not empty.

    `keys` is of `keys.schema`; documents where `survives`, bool[documents], is False take no part. `partitions` splits
    each space, so that no worker has to hold all hashes of one. Raises ValueError where lengths differ.
    """
    if len(survives) != keys.num_rows:
        raise ValueError(f"survives has {len(survives)} values for {keys.num_rows} documents")
    sent: list[tuple[int, bytes]] = []
    for space, hashes, rows in spaces(keys, survives, settings):
        refs = docrefs(part_index, rows)
        shares = hashes % np.uint64(partitions)
        for share in range(partitions):
            chosen = shares == share
            if chosen.any():
                sent.append((space * partitions + share, pack(hashes[chosen], refs[chosen])))
    return sent


def spaces(
    keys: pa.Table, survives: npt.NDArray[np.bool_], settings: Settings
) -> Iterator[tuple[int, U64, npt.NDArray[np.int64]]]:
    """(space, hashes, rows) of each kind that the settings ask for."""
    kinds = [(RECORD, "record", True), (URL, "url", settings.url), (EXACT, "exact", settings.exact)]
    for space, name, asked in kinds:
        rows, column = _present(keys[name], survives)
        if asked and rows.size:
            yield space, _halves(column) if space == EXACT else column.to_numpy(), rows
    rows, column = _present(keys["bands"], survives)
    if settings.near and rows.size:
        table = column.flatten().to_numpy().reshape(rows.size, -1)
        for band in range(table.shape[1]):
            yield BANDS + band, np.ascontiguousarray(table[:, band]), rows


def _present(column: Any, survives: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.int64], Any]:
    """Rows that survive and are not null, and their values."""
    rows = np.flatnonzero(survives & column.is_valid().to_numpy())
    return rows, column.combine_chunks().take(pa.array(rows))


def _halves(exact: Any) -> U64:
    """The first 64 of 128 bits; `resolve` compares all."""
    return np.frombuffer(b"".join(exact.to_pylist()), _WORD)[::2].astype(np.uint64)


def pack(hashes: U64, docrefs: U64) -> bytes:
    """A payload."""
    return hashes.astype(_WORD).tobytes() + docrefs.astype(_WORD).tobytes()


def unpack(payload: bytes) -> tuple[U64, U64]:
    """Hashes and docrefs of a payload, uint64[entries] each. Raises ValueError where it is cut short."""
    if len(payload) % 16:
        raise ValueError(f"a payload of {len(payload)} bytes is no whole number of 16-byte entries")
    words = np.frombuffer(payload, _WORD).astype(np.uint64, copy=False)
    return words[: words.size // 2], words[words.size // 2 :]


def collisions(payloads: Iterable[bytes]) -> bytes | None:
    """The payload of documents that share their hash with another one, sorted by hash and docref; None without any.

    Payloads of one key, in whatever order they arrive. Hashes that only settled documents have are left out.
    """
    pairs = [unpack(payload) for payload in payloads]
    if not pairs:
        return None
    hashes, refs = shared(*(np.concatenate([pair[i] for pair in pairs]) for i in (0, 1)))
    return pack(hashes, refs) if refs.size else None


def shared(hashes: U64, refs: U64) -> tuple[U64, U64]:
    """The same of hashes and docrefs in any order; hashes and docrefs again."""
    # Few documents collide: finding them first is faster than sorting all by two columns.
    hashes, refs = _with(hashes, refs, _repeated(hashes))
    new = ~settled(refs)
    if not new.all():
        hashes, refs = _with(hashes, refs, hashes[new])
    order = np.lexsort((refs, hashes))
    return hashes[order], refs[order]


def _repeated(hashes: U64) -> U64:
    ordered = np.sort(hashes)
    repeated: U64 = ordered[1:][ordered[1:] == ordered[:-1]]
    return repeated


def _with(hashes: U64, refs: U64, wanted: U64) -> tuple[U64, U64]:
    wanted = np.unique(wanted)
    if not wanted.size:
        return hashes[:0], refs[:0]
    chosen = wanted[np.minimum(np.searchsorted(wanted, hashes), wanted.size - 1)] == hashes
    return hashes[chosen], refs[chosen]


def settled(refs: U64) -> npt.NDArray[np.bool_]:
    """Which documents are of earlier runs."""
    return refs >> np.uint64(32) >= np.uint64(EARLIER)


def by_space(collided: Iterable[tuple[int, bytes | None]], partitions: int = 1) -> dict[int, list[bytes]]:
    """Collisions of every key, put together under their space."""
    found: dict[int, list[bytes]] = defaultdict(list)
    for key, payload in collided:
        if payload:
            found[key // partitions].append(payload)
    return dict(found)
