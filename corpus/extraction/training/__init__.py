"""How the model of `blocks` is trained."""
