"""Recipe to run: Beam pipelines in a row, each reading and writing Parquet, so that a stage is done once.

documents   read, extract, measure: one task per part, on the pool
dedup       band hashes through a shuffle, candidates verified on their text, verdicts per part
write       verdicts joined back, shards, ledger: one task per part, on the pool
"""

import contextlib
import functools
import logging
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions
from apache_beam.portability.api import beam_job_api_pb2
from apache_beam.runners.portability import local_job_service
from apache_beam.runners.portability.fn_api_runner import FnApiRunner, worker_handlers
from apache_beam.runners.runner import PipelineRunner, create_runner
from apache_beam.runners.worker import statesampler

from corpus import corrections, duplicates, elsewhere, marks, measure, tombstones, transforms
from corpus.against import FOLDER, earlier
from corpus.documents import OBEYED, documents_part, measured
from corpus.failures import Failure
from corpus.parts import Damaged, check_intact, done, file_hash, marked
from corpus.plan import Plan, Task
from corpus.progress import Meter, showing
from corpus.recipe import Recipe, digest
from corpus.store import Away, Mirror
from corpus.workers import WorkerDied, Workers
from corpus.write import verdicts_file, write_part, written

# What each step reads of a run, as far as it belongs to the parts in hand; {part} is the name of one.
_EXTRACTED = "stages/extract/part-{part}.*"
_MEASURED = "stages/measure/part-{part}.*"
_KEYS = "stages/measure/part-{part}.keys.arrow"
_TEXTS = (
    "stages/extract/part-{part}.parquet",
    "stages/extract/part-{part}.done.json",
    "stages/measure/part-{part}.edits.parquet",
)
_CANDIDATES = f"{duplicates.FOLDER}/{duplicates.CANDIDATES}"
_VERDICTS = f"{duplicates.FOLDER}/part-{{part}}.parquet"

_MOST_REPAIRS = 20  # of damaged files in one build; more is a broken disk
_ENDED = "a worker process ended while it had work"
_SAMPLING_MS = 10
_ATTEMPTS = 3  # at a stage on another runner: a worker that dies costs what it had in hand, not the build


class BadOption(Failure):
    """An option of Beam that it does not know."""

    status = 2


class Build:
    """One build in one run folder. Without `workers` the runner that the options name has its own, somewhere.

    With `mirror` the run lies in a store, and its folder here has only what the planning process reads.
    """

    def __init__(
        self,
        recipe: Recipe,
        plan: Plan,
        run: Path,
        workers: Workers | None,
        beam_options: Sequence[str] = (),
        mirror: Mirror | None = None,
    ) -> None:
        self.recipe = recipe
        self.plan = plan
        # Workers elsewhere start in another folder.
        self.run = run if workers else run.absolute()
        run = self.run
        self.seconds: dict[str, float] = {}
        self._workers = workers
        self._mirror = mirror
        self._options = PipelineOptions(list(beam_options))
        _sample_often()
        self._runner = _runner(self._options)
        # Here one bundle hands all tasks to the pool; elsewhere they must be spread, or one worker has them all.
        self._spread = workers is None
        self._settings = marks.stage_settings(recipe)
        resolved = {source["name"]: source for source in recipe.resolved()["sources"]}
        self.tasks = [
            Task(run, part, recipe, marks.part_marks(part, self._settings, _what(resolved[part.source.name])))
            for part in plan.parts
        ]
        self._earlier = earlier(recipe, run)
        self._obey(tombstones.obeyed(run, recipe.tombstones))

    def __call__(self) -> None:
        """Run every stage that is not done yet; what is found damaged on the way is made anew."""
        for repairs in range(_MOST_REPAIRS + 1):
            try:
                self._documents()
                self._dedup()
                self._write()
                return
            except Damaged as error:
                if repairs == _MOST_REPAIRS:
                    raise
                print(f"{error.path}: is damaged; made anew", file=sys.stderr)
                Path(error.mark).unlink(missing_ok=True)

    def _obey(self, stones: tombstones.Tombstones) -> None:
        """Lay down for the workers what must stay out of this build."""
        if stones:
            tombstones.save(self.run / OBEYED, stones)
        for task in self.tasks:
            task.marks["tombstones"] = stones.digest

    def _documents(self) -> None:
        missing = [task for task in self.tasks if not measured(task)]
        # The largest first, so that no worker ends long after the others.
        missing.sort(key=lambda task: -task.part.num_bytes)

        def add(pipeline: beam.Pipeline) -> None:
            work = self._at(documents_part, reads=(_EXTRACTED, _MEASURED, OBEYED))
            _ = pipeline | beam.Create(missing, reshuffle=self._spread) | transforms.OnWorkers(work)

        self._stage("documents", missing, add, lambda task: task.mark("extract") if measured(task) else None)

    def _dedup(self) -> None:
        before = [[part.run, part.name, part.fingerprint] for _, part in self._earlier]
        fingerprint = digest([[measure.fingerprint(task) for task in self.tasks], self._settings["dedup"], before])
        mark = self.run / duplicates.MARK
        if not done(mark, fingerprint):
            self._compare(mark, fingerprint)
        duplicates.clear(self.run)

    def _compare(self, mark: Path, fingerprint: str) -> None:
        mark.parent.mkdir(parents=True, exist_ok=True)
        for stale in mark.parent.iterdir():
            stale.unlink()
        self._forget_others()
        members: list[duplicates.Member] = [*enumerate(self.tasks), *self._earlier]
        grouped = duplicates.groups(members)
        folder, settings = mark.parent, self.recipe.dedup
        runs = [part.run for _, part in self._earlier]
        work = {
            "gather": self._at(duplicates.gather, folder, duplicates.ranges(self.tasks), reads=(_MEASURED,)),
            "meet": self._at(duplicates.meet, folder),
            "connect": self._at(duplicates.connect, folder),
            "describe": self._at(duplicates.describe, folder, reads=(_CANDIDATES, _KEYS, *_TEXTS)),
            "settle": self._at(duplicates.settle, folder, settings, runs),
            "deliver": self._at(duplicates.deliver),
        }
        finish = self._at(duplicates.finish_dedup, mark, fingerprint, reads=(_VERDICTS,))

        def add(pipeline: beam.Pipeline) -> None:
            once = pipeline | "once" >> beam.Create([grouped], reshuffle=False)

            def after(name: str, items: Callable[..., Any], *steps: beam.PCollection) -> beam.PCollection:
                return once | name >> transforms.After(items, work[name], steps, self._spread)

            gathered = (
                pipeline
                | "groups" >> beam.Create(grouped, reshuffle=self._spread)
                | "gather" >> transforms.OnWorkers(work["gather"])
            )
            met = gathered | "meet" >> transforms.Meet(work["meet"])
            connected = after("connect", duplicates.all_that_met, gathered, met)
            described = after("describe", duplicates.where_any, connected)
            settled = after("settle", duplicates.batches, connected, described)
            delivered = after("deliver", duplicates.deliveries, settled)
            waiting = [beam.pvalue.AsList(step) for step in (settled, delivered)]
            _ = once | "done" >> beam.Map(finish, *waiting)

        self._stage("dedup", self.tasks, add)

    def _forget_others(self) -> None:
        """Remove the keys of earlier runs that are compared no longer."""
        wanted = {path for _, part in self._earlier for path in (part.file, part.mark)}
        for path in (self.run / FOLDER).glob("part-*"):
            if path not in wanted:
                path.unlink()

    def _write(self) -> None:
        mark = self.run / duplicates.MARK
        check_intact(mark, *(mark.parent / name for name in marked(mark).get("hashes", {})))
        for task in self.tasks:
            verdicts = verdicts_file(task)
            found = file_hash(verdicts) if verdicts.exists() else ""
            task.marks["write"] = digest([measure.fingerprint(task), found, self._settings["write"]])
        missing = [task for task in self.tasks if not done(task.mark("write"), task.marks["write"], *written(task))]

        def add(pipeline: beam.Pipeline) -> None:
            work = self._at(write_part, reads=(_EXTRACTED, _MEASURED, _VERDICTS, corrections.FILE))
            _ = pipeline | beam.Create(missing, reshuffle=self._spread) | transforms.OnWorkers(work)

        def finished(task: Task) -> Path | None:
            mark = task.mark("write")
            return mark if done(mark, task.marks["write"], *written(task)) else None

        self._stage("write", missing, add, finished)

    def _at(self, work: Callable[..., Any], *first: Any, reads: tuple[str, ...] = ()) -> Callable[..., Any]:
        """Work on the run, wherever it lies, with `first` as its first arguments; `reads` as `Away` has it."""
        if self._mirror:
            return Away(work, first, self._mirror.url, self.run, reads).do
        return functools.partial(work, *first) if first else work

    def _stage(
        self,
        name: str,
        tasks: list[Task],
        add: Callable[[beam.Pipeline], None],
        finished: Callable[[Task], Path | None] = lambda task: None,
    ) -> None:
        """Run the pipeline that `add` fills; show how far it is. `finished`: a task's mark, once it is done."""
        started = time.perf_counter()
        if self._mirror:
            self._mirror.push()
        sizes = {task.part.name: task.part.num_bytes for task in tasks}
        meter = Meter(name, sum(sizes.values()))

        def tell(result: dict[str, Any]) -> None:
            parts = result["parts"] if "parts" in result else [result["part"]]
            units = sum(sizes.get(part, 0) for part in parts)
            meter.part_done(result["rows"], result.get("read_bytes", 0), units, result.get("docs"))

        if not tasks:
            pass
        elif self._workers is not None:
            active = self._workers.active
            failures = transforms.use(self._workers, tell)
            with showing(meter, lambda: sorted(active)):
                _run(self._pipeline(add), failures)
        else:
            look = self._mirror.look if self._mirror else None
            with showing(meter, list), elsewhere.looking(tasks, finished, tell, look), elsewhere.quiet():
                self._run_elsewhere(name, add)
        if self._mirror:
            self._mirror.look(frozenset(sizes))
        self.seconds[name] = time.perf_counter() - started

    def _pipeline(self, add: Callable[[beam.Pipeline], None]) -> beam.Pipeline:
        pipeline = beam.Pipeline(runner=self._runner, options=self._options)
        add(pipeline)
        return pipeline

    def _run_elsewhere(self, name: str, add: Callable[[beam.Pipeline], None]) -> None:
        """Some runners retry what a dead worker had in hand. Some fail: the stage runs again, finished parts pass."""
        _mend_job_service()
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                _run(self._pipeline(add), [])
                return
            except Exception as error:
                told = elsewhere.gist(error)
                if attempt == _ATTEMPTS:
                    raise WorkerDied(
                        f"stage {name} failed {attempt} times on the runner; the same command goes on from the parts "
                        f"that are finished. It said: {told}"
                    ) from error
                print(f"{name}: attempt {attempt} ended with: {told}; once more", file=sys.stderr, flush=True)


def _runner(options: PipelineOptions) -> PipelineRunner:
    """The runner that the options name. Never Beam's default, which looks for another engine on the network first."""
    named = options.view_as(StandardOptions).runner
    try:
        return create_runner(named) if named else FnApiRunner()
    except ValueError as error:
        raise BadOption(f"-- --runner={named}: {error}") from None


def _run(pipeline: beam.Pipeline, failures: list[Exception]) -> None:
    """Run to the end. What a task raised is raised as it is, without the forty lines that Beam logs and wraps it in."""
    log = logging.getLogger("apache_beam.runners.common")
    log.disabled = True
    try:
        pipeline.run().wait_until_finish()
    except Exception:
        if failures:
            raise failures[0] from None
        raise
    finally:
        log.disabled = False


def _sample_often() -> None:
    """Beam ends each bundle by waiting for a thread that counts, and sleeps longer and longer: up to 0.2 s."""
    statesampler.StateSampler.__init__.__defaults__ = (_SAMPLING_MS,)


def _mend_job_service() -> None:
    """Two things that Flink, Spark and Dataflow do, and Beam's own job service (`--job_endpoint=embed`) does not.

    It waits for ever for a worker that died (measured: still waiting after 60 s); here the end of the worker's stream
    fails what it had in hand. And it asks for one worker; here for as many as `--direct_num_workers` says.
    """
    read, push = worker_handlers.ControlConnection._read, worker_handlers.ControlConnection.push
    if hasattr(read, "mended"):
        return

    def noticing(self: worker_handlers.ControlConnection) -> None:
        with contextlib.suppress(Exception):
            read(self)
        self.ended = True
        for future in list(self._futures_by_id.values()):
            future.abort(RuntimeError(_ENDED))

    def asking(self: worker_handlers.ControlConnection, request: Any) -> Any:
        future = push(self, request)
        if future is not None and getattr(self, "ended", False):  # it died between two requests: nobody would answer
            future.abort(RuntimeError(_ENDED))
        return future

    def invoke(self: local_job_service.BeamJob) -> Any:
        self.set_state(beam_job_api_pb2.JobState.RUNNING)
        options = self.pipeline_options()
        runner = FnApiRunner(provision_info=self._provision_info)
        runner._num_workers = int(options.view_as(DirectOptions).direct_num_workers or 1)
        return runner.run_via_runner_api(self._pipeline_proto, options)

    noticing.mended = True  # type: ignore[attr-defined]
    worker_handlers.ControlConnection._read = noticing
    worker_handlers.ControlConnection.push = asking
    local_job_service.BeamJob._invoke_runner = invoke


def _what(source: dict[str, Any]) -> dict[str, Any]:
    """What of a source changes its documents: not which other files it has."""
    return {key: value for key, value in source.items() if key != "files"}
