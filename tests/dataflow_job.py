"""Translate a build's submission to Dataflow without a network: each stage's job as JSON, and what would be staged.

    python tests/dataflow_job.py RECIPE RUN STAGED -- BEAM OPTIONS

Beam's own client makes the job and stages its files, into a folder in place of a bucket; nothing is sent.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from apache_beam.options.pipeline_options import GoogleCloudOptions
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.dataflow.internal import apiclient

from corpus import recipe as recipes
from corpus.pipeline import Build
from corpus.plan import plan
from corpus.store import Mirror


def main() -> None:
    recipe_path, run, staged, _, *options = sys.argv[1:]
    recipe = recipes.load(Path(recipe_path))
    mirror = Mirror("gs://my-bucket/runs/web-1", Path(run))  # the stages are only translated: nothing is looked at
    build = Build(recipe, plan(recipe), Path(run), None, [*options, "--dry_run=True", "--no_auth"], mirror)
    adds: dict[str, Callable[[Any], None]] = {}
    build._stage = lambda name, tasks, add, finished=None: adds.update({name: add})  # type: ignore[assignment]
    build()
    for name, add in adds.items():
        pipeline = build._pipeline(add)
        job = pipeline.run().job
        folder = Path(staged) / name
        folder.mkdir(parents=True)
        cloud = job.options.view_as(GoogleCloudOptions)
        cloud.staging_location = job.google_cloud_options.staging_location = str(folder)
        apiclient.DataflowApplicationClient(job.options, str(folder)).create_job_description(job)
        (folder / "job.json").write_text(job.json())
        proto = beam_runner_api_pb2.Pipeline.FromString((folder / "pipeline.pb").read_bytes())
        graph = {
            "transforms": sorted({t.spec.urn for t in proto.components.transforms.values() if t.spec.urn}),
            "names": sorted(t.unique_name for t in proto.components.transforms.values()),
            "images": sorted(
                beam_runner_api_pb2.DockerPayload.FromString(e.payload).container_image
                for e in proto.components.environments.values()
            ),
        }
        (folder / "graph.json").write_text(json.dumps(graph))


if __name__ == "__main__":
    main()
