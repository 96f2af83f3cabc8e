"""Errors as one page: how many of which kind, in which slices, and the worst of each cluster to be read."""

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa

from eval import page

_SHOWN = 8  # errors of a cluster; the table beside the page has all
_CLUSTERS = 30


def write(path: Path, model: str, errors: pa.Table, notes: list[str]) -> None:
    """Write the page of a table of errors."""
    rows = errors.to_pylist()
    kinds = Counter((row["kind"], row["check"], row["measure"]) for row in rows)
    slices = Counter((row["kind"], name, value) for row in rows for name, value in row["slices"])
    answer = [f"{len(rows):,} failures, in {len({row['cluster'] for row in rows}):,} clusters of like ones.", *notes]
    tables: list[page.Table | page.Cards] = [
        page.Table("By kind", ("kind", "check", "how bad is", "failures"), [(*k, n) for k, n in kinds.most_common()]),
        page.Table(
            "By slice", ("kind", "slice", "value", "failures"), [(*k, n) for k, n in slices.most_common(40)],
            "Counts of failures, not rates: a slice with more items has more of them.",
        ),
    ]  # fmt: skip
    clusters: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        clusters.setdefault(row["cluster"], []).append(row)
    for number in sorted(clusters, key=lambda c: (-len(clusters[c]), c))[:_CLUSTERS]:
        mine = clusters[number]
        title = f"{len(mine)} of kind {mine[0]['kind']}: {mine[0]['cluster_words'] or 'no words'}"
        tables.append(page.Cards(title, [_card(row) for row in mine[:_SHOWN]]))
    page.write(path, f"What {model} gets wrong", answer, tables)


def _card(row: dict[str, Any]) -> page.Card:
    where = f", characters {row['start']:,} to {row['end']:,}" if row["start"] is not None else ""
    document = f"; document {row['document']}{where}" if row["document"] else ""
    told = "; ".join(f"{name} {value}" for name, value in row["slices"])
    facts = f"{row['score']:.3g} {row['measure']}{document}; {told}"
    texts = [(name, row[name]) for name in ("prompt", "wrong", "right") if row[name]]
    return page.Card(f"{row['check']} {row['id']}", facts, texts)
