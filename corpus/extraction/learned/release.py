"""What the engine's texts depend on, told without loading the engine."""

import functools
import hashlib
import importlib.metadata
from pathlib import Path

CODE = 1  # raised with any change of the text that is neither the model's nor the parser's
FILE = Path(__file__).parent / "blocks.npz"


@functools.cache
def version() -> str:
    """Of the code, the model's content and the parser."""
    model = hashlib.sha256(FILE.read_bytes()).hexdigest()[:8]
    return f"blocks {CODE}.{model}.selectolax-{importlib.metadata.version('selectolax')}"
