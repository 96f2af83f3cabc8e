"""Folds by domain: pages of one site share a template, so a site is either trained on or scored, never both."""

import hashlib
from urllib.parse import urlsplit

NUM_FOLDS = 5


def domain(url: str) -> str:
    """The registered domain, as far as its shape tells: a.b.co.uk is b.co.uk."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:  # a malformed IPv6 address
        host = ""
    labels = host.split(".")
    two_part = len(labels) > 2 and len(labels[-1]) == 2 and len(labels[-2]) <= 3
    return ".".join(labels[-3:] if two_part else labels[-2:])


def fold(url: str) -> int:
    """Pages without an address of their own come with one per source set, so they stay together too."""
    return int(hashlib.sha256(domain(url).encode()).hexdigest(), 16) % NUM_FOLDS
