"""`python -m corpus.extraction`: make the model of the engine `blocks` anew, and score it on pages it has not seen."""

from corpus.extraction.training.command import app

app(prog_name="python -m corpus.extraction")
