"""The pages of `tune` and `scale`: one file each that loads nothing, with plots as SVG inside it.

Every text is escaped, and matplotlib is told not to read `$` as mathematics: names come from recipes and folders.
"""

import html
import io
import math
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer import trials
from trainer.failures import Failure
from trainer.search_space import Range
from trainer.trials import Trial

if TYPE_CHECKING:
    from trainer.scale import Study
    from trainer.tune import Found

_STYLE = """
body { margin: 0 auto; max-width: 1100px; padding: 2rem 1.25rem 4rem; color: #1d2327; background: #fbfaf7;
  font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif }
h1 { font-size: 1.6rem; margin: 0 } h2 { font-size: 1.15rem; margin: 2.25rem 0 .5rem }
p { max-width: 46rem } p.soft, td.soft { color: #667077 }
p.doubt { border-left: 4px solid #b3261e; padding: .3rem .8rem; background: #fdeceb }
.wide { overflow-x: auto } table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13px }
th, td { padding: .2rem .6rem; text-align: right; border-bottom: 1px solid #e1ded6; white-space: nowrap }
th { text-align: right; color: #667077; font-weight: 600 } th.text, td.text { text-align: left }
.plots { display: flex; flex-wrap: wrap; gap: 1rem } .plots svg { height: auto; max-width: 100% }
tr.best td { font-weight: 600 }
"""
_COLOURS = {"complete": "#2f7d6b", "stopped": "#b8b3a6", "failed": "#b3261e", "running": "#7a2fa0"}


def tune_page(found: "Found", trial_tokens: int) -> str:
    """What a search came to."""
    best = found.best
    body = [
        f"<p>Best of {len(found.trials)} trials of {trial_tokens:,} tokens: <b>trial {best.number}, "
        f"{best.bits_per_byte:.4f} bits per byte</b> of validation text, {best.parameters:,} parameters. "
        f"{found.tokens:,} tokens were read in all.</p>",
        _soft(
            "The best of many trials looks better than it is: part of its lead is luck. All trials share one seed and "
            "one order of documents; repeat the best few with other seeds (train.seed) before you believe a small "
            "difference. At equal tokens a larger model costs more: compare the parameters too. What is best at this "
            "length need not be at a longer one; learning rates above all."
        ),
        _section("Optimisation history", _plots([_history(found.trials)])),
        _section("Every trial as it learnt", _plots([_curves(found.trials)])),
        _section("Each key against bits per byte", _plots(_keys(found))),
        _section("Importance", _importance(found)),
        _section("Trials", _trials(found)),
    ]
    return page("Search", body)


def scale_page(study: "Study") -> str:
    """What a study of sizes came to."""
    body = [*(f'<p class="doubt">{_text(doubt)}</p>' for doubt in study.doubts)]
    body += [f"<p>{_text(line)}</p>" for line in study.said]
    runs = study.runs
    columns = ["depth", "parameters N", "tokens D", "epochs", "bits per byte", "law", "off", "6ND", "FLOPs counted"]
    rows = []
    for run in runs:
        law = float(study.fit.law.loss(run.parameters, run.tokens)) if study.fit else math.nan
        off = run.bits_per_byte / law - 1 if study.fit else math.nan
        numbers = [f"{run.parameters:,}", f"{run.tokens:,}", f"{run.epochs:.2f}", f"{run.bits_per_byte:.4f}"]
        rows.append([str(run.depth), *numbers, f"{law:.4f}", f"{off:+.2%}", f"{run.flops:.3g}", f"{run.counted:.3g}"])
    body.append(_section("Runs", _table(columns, rows, text_columns=())))
    if study.fit:
        body.insert(-1, _section("Loss by size and by tokens", _plots(_scaling(study))))
    return page("Size and data", body)


def page(title: str, body: Sequence[str]) -> str:
    """A whole HTML page around parts that are already markup."""
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_text(title)}</title><style>{_STYLE}</style></head><body><h1>{_text(title)}</h1>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def svg(draw: Callable[[Any], None], name: str, width: float = 4.6, height: float = 3.0) -> str:
    """A plot as an SVG element; `draw` is given matplotlib's axes. The same plot is the same bytes."""
    try:
        import matplotlib
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure
    except ImportError as error:
        raise Failure("matplotlib is needed for the report: pip install 'winnow-corpus[search]'") from error
    # ids come from the salt: plots in one page must not share them, and a clock or a random id would change the file
    settings = {"svg.hashsalt": name, "text.parse_math": False, "font.size": 8.0, "axes.spines.top": False,
                "axes.spines.right": False, "svg.fonttype": "none", "font.family": "sans-serif"}  # fmt: skip
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure.add_subplot())
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    drawn = out.getvalue()
    drawn = re.sub(r"<metadata>.*?</metadata>", "", drawn[drawn.index("<svg") :], flags=re.DOTALL)
    return drawn.replace("<svg ", f'<svg role="img" aria-label="{_text(name)}" ', 1)


def _history(trials: Sequence[Trial]) -> str:
    def draw(axes: Any) -> None:
        for state, colour in _COLOURS.items():
            those = [trial for trial in trials if trial.state == state and trial.bits_per_byte is not None]
            if those:
                x, y = [trial.number for trial in those], [trial.bits_per_byte for trial in those]
                axes.scatter(x, y, s=14, color=colour, label=state, zorder=2)
        whole = [trial for trial in trials if trial.state == "complete"]
        best = np.minimum.accumulate(np.array([trial.bits_per_byte for trial in whole], float))
        axes.step([trial.number for trial in whole], best, where="post", color="#1d2327", lw=1, label="best so far")
        _near(axes, [trial.bits_per_byte for trial in trials])
        axes.set(xlabel="trial", ylabel="bits per byte")
        axes.legend(frameon=False)

    return svg(draw, "optimisation history", 7.0)


def _curves(trials: Sequence[Trial]) -> str:
    def draw(axes: Any) -> None:
        for trial in sorted(trials, key=lambda trial: trial.state == "complete"):
            if trial.evaluations:
                x, y = zip(*trial.evaluations, strict=True)
                axes.plot([10 * at for at in x], y, color=_COLOURS[trial.state], lw=0.9, alpha=0.8)
        _near(axes, [value for trial in trials for at, value in trial.evaluations if at > 1])
        axes.set(xlabel="share of the tokens, %", ylabel="bits per byte")

    return svg(draw, "curves of all trials", 7.0)


def _near(axes: Any, values: Sequence[float | None]) -> None:
    """Let a few that went far astray not flatten the rest: the axis ends at the upper quartile and as much again."""
    known = np.array([value for value in values if value is not None])
    if len(known) > 3:
        low, quartile, high = known.min(), np.quantile(known, 0.75), known.max()
        axes.set_ylim(low - 0.05 * (quartile - low) - 1e-3, min(high, low + 2.5 * (quartile - low)) + 1e-3)


def _keys(found: "Found") -> list[str]:
    return [_key(found, key) for key in found.space]


def _key(found: "Found", key: str) -> str:
    each = found.space[key]
    known = [trial for trial in found.trials if trial.bits_per_byte is not None and key in trial.picked]
    labels = [] if isinstance(each, Range) else list(each.options)

    def draw(axes: Any) -> None:
        for trial in known:
            at = trial.picked[key] if isinstance(each, Range) else labels.index(trial.picked[key])
            axes.scatter([at], [trial.bits_per_byte], s=12, color=_COLOURS[trial.state], zorder=2)
        if isinstance(each, Range) and each.log:
            axes.set_xscale("log")
        if labels:
            axes.set_xticks(range(len(labels)), [trials.say(label) for label in labels], rotation=20, ha="right")
            axes.set_xlim(-0.5, len(labels) - 0.5)
        _near(axes, [trial.bits_per_byte for trial in known])
        axes.set(xlabel=key, ylabel="bits per byte")

    return svg(draw, f"{key} against bits per byte", 3.4, 2.6)


def _importance(found: "Found") -> str:
    if not found.importance:
        return _soft("Fewer than 20 trials came to their end: too few to tell which keys matter.")
    rows = [[key, f"{share:.2f}"] for key, share in sorted(found.importance.items(), key=lambda item: -item[1])]
    return _table(["key", "share"], rows, text_columns=(0,)) + _soft(
        "PED-ANOVA (arXiv 2304.10255): how much each key alone sets the better quarter of the trials apart. It says "
        "nothing of keys that matter only together, it is noisy below some hundred trials, and a key that the search "
        "settled early, or whose range was narrow, looks unimportant."
    )


def _trials(found: "Found") -> str:
    keys = list(found.space)
    rows = []
    for trial in sorted(found.trials, key=trials.order):
        value = "" if trial.bits_per_byte is None else f"{trial.bits_per_byte:.4f}"
        numbers = [str(trial.number), value, f"{trial.tokens:,}", f"{trial.parameters:,}"]
        rows.append([*numbers, *(trials.say(trial.picked.get(key)) for key in keys), trial.state, trial.reason])
    columns = ["trial", "bits per byte", "tokens", "parameters", *keys, "state", "reason"]
    return _table(columns, rows, text_columns=(len(columns) - 2, len(columns) - 1))


def _scaling(study: "Study") -> list[str]:
    return [_lines(study, "tokens"), _lines(study, "parameters")]


def _lines(study: "Study", along: str) -> str:
    """Runs and the law's lines along one axis, a line for each value of the other."""
    across = "parameters" if along == "tokens" else "tokens"
    fit = study.fit
    assert fit is not None
    values = sorted({getattr(run, across) for run in study.runs})

    def draw(axes: Any) -> None:
        for index, value in enumerate(values):
            those = [run for run in study.runs if getattr(run, across) == value]
            x = np.array(sorted(getattr(run, along) for run in those), float)
            colour = (0.18, 0.3 + 0.5 * index / max(len(values) - 1, 1), 0.55)
            axes.scatter([getattr(r, along) for r in those], [r.bits_per_byte for r in those], s=14, color=colour)
            fine = np.geomspace(x[0] / 1.3, x[-1] * 1.3, 40)
            law = fit.law.loss(fine, value) if along == "parameters" else fit.law.loss(value, fine)
            axes.plot(fine, law, lw=1, color=colour, label=f"{value:,}")
        axes.set_xscale("log")
        axes.set(xlabel=along, ylabel="bits per byte")
        axes.legend(frameon=False, title=across, fontsize=7)

    return svg(draw, f"bits per byte by {along}", 5.2, 3.4)


def _section(title: str, markup: str) -> str:
    return f"<h2>{_text(title)}</h2>\n{markup}"


def _plots(drawn: Sequence[str]) -> str:
    return f'<div class="plots">{"".join(drawn)}</div>'


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], text_columns: Sequence[int]) -> str:
    def cells(tag: str, row: Sequence[str]) -> str:
        kinds = (' class="text"' if index in text_columns else "" for index in range(len(row)))
        return "".join(f"<{tag}{kind}>{_text(cell)}</{tag}>" for kind, cell in zip(kinds, row, strict=True))

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{cells("th", columns)}</tr></thead><tbody>{body}</tbody></table></div>'


def _soft(text: str) -> str:
    return f'<p class="soft">{_text(text)}</p>'


def _text(value: str) -> str:
    """Escaped, without what turns a line round or hides in it."""
    return html.escape("".join(c if c.isprintable() or c == "\n" else f"\\u{ord(c):04x}" for c in value))
