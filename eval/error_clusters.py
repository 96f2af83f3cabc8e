"""Failures that are alike: agglomerative clusters of TF-IDF over character n-grams, named by their own words.

Characters, not words: it needs no list of languages, and a name in another form is still alike.
"""

import re
from collections import Counter
from collections.abc import Sequence

_WORD = re.compile(r"[^\W\d_]{3,}")
_MOST_CLUSTERS = 20
_NAMED = 4  # words that name a cluster


def clustered(texts: Sequence[str]) -> tuple[list[int], list[str]]:
    """(cluster of each text, words of each cluster); clusters by size, the largest is 0. Depends on the texts alone."""
    if len(texts) < 4:
        return [0] * len(texts), [_words(texts, texts)] if texts else []
    from sklearn.cluster import AgglomerativeClustering
    from sklearn.feature_extraction.text import TfidfVectorizer

    if not any(text.strip() for text in texts):
        return [0] * len(texts), [""]
    vectors = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), max_features=4000, sublinear_tf=True)
    found = vectors.fit_transform(texts).toarray()
    number = max(1, min(_MOST_CLUSTERS, round((len(texts) / 2) ** 0.5)))
    # Ward on unit vectors: squared distance is 2 - 2 cos. Average linkage put nine in ten into one cluster.
    labels = AgglomerativeClustering(number, linkage="ward").fit_predict(found).tolist()
    counts = Counter(labels)
    order = sorted(counts, key=lambda label: (-counts[label], labels.index(label)))
    place = {label: at for at, label in enumerate(order)}
    out = [place[label] for label in labels]
    return out, [_words([t for t, o in zip(texts, out, strict=True) if o == c], texts) for c in range(len(order))]


def _words(mine: Sequence[str], everyone: Sequence[str]) -> str:
    """The words that most of these texts have and few of the others."""
    here = Counter(word for text in mine for word in set(_WORD.findall(text.lower())))
    there = Counter(word for text in everyone for word in set(_WORD.findall(text.lower())))
    rate = {word: n / len(mine) - (there[word] - n) / max(1, len(everyone) - len(mine)) for word, n in here.items()}
    return " ".join(sorted(rate, key=lambda word: (-rate[word], word))[:_NAMED])
