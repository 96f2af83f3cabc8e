#!/usr/bin/env python3
"""What the boot program of Beam's container does, for a test: fetch the staged packages, start a worker on them.

Beam's worker pool calls it once per worker (`--container_executable`). The worker sees the staged wheel first on its
path, starts in an empty folder, and shares nothing with the submitting process but files.
"""

import argparse
import contextlib
import hashlib
import io
import os
import sys
import tempfile
import zipfile

import grpc
from apache_beam.portability.api import beam_artifact_api_pb2 as artifacts
from apache_beam.portability.api import (
    beam_artifact_api_pb2_grpc,
    beam_provision_api_pb2,
    beam_provision_api_pb2_grpc,
    beam_runner_api_pb2,
)
from google.protobuf import json_format


def unpacked(wheel: bytes) -> str:
    """The folder of a wheel, unpacked once for all workers: so kernels are compiled once."""
    folder = os.path.join(os.environ["WORKER_FOLDER"], f"staged-{hashlib.sha256(wheel).hexdigest()[:12]}")
    if not os.path.exists(folder):
        mine = tempfile.mkdtemp(dir=os.environ["WORKER_FOLDER"])
        zipfile.ZipFile(io.BytesIO(wheel)).extractall(mine)
        with contextlib.suppress(OSError):  # another worker was first
            os.rename(mine, folder)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("id", "logging_endpoint", "artifact_endpoint", "provision_endpoint", "control_endpoint"):
        parser.add_argument(f"--{name}")
    args = parser.parse_args()
    me = [("worker_id", args.id)]
    folder = tempfile.mkdtemp(prefix="worker-", dir=os.environ["WORKER_FOLDER"])

    staged = ""

    with grpc.insecure_channel(args.provision_endpoint) as channel:
        provision = beam_provision_api_pb2_grpc.ProvisionServiceStub(channel)
        info = provision.GetProvisionInfo(beam_provision_api_pb2.GetProvisionInfoRequest(), metadata=me).info
    with grpc.insecure_channel(args.artifact_endpoint) as channel:
        stub = beam_artifact_api_pb2_grpc.ArtifactRetrievalServiceStub(channel)
        for found in info.dependencies:
            role = beam_runner_api_pb2.ArtifactStagingToRolePayload.FromString(found.role_payload)
            if role.staged_name.endswith(".whl"):
                pieces = stub.GetArtifact(artifacts.GetArtifactRequest(artifact=found), metadata=me)
                staged = unpacked(b"".join(piece.data for piece in pieces))

    options = json_format.MessageToJson(info.pipeline_options)
    os.environ |= {
        "WORKER_ID": args.id,
        "WORKER_PROCESS": str(os.getpid()),  # which it keeps below
        "PIPELINE_OPTIONS": options,
        "CONTROL_API_SERVICE_DESCRIPTOR": f'url: "{args.control_endpoint}"',
        "LOGGING_API_SERVICE_DESCRIPTOR": f'url: "{args.logging_endpoint}"',
        "PYTHONPATH": os.pathsep.join([staged, os.environ["ENGINE_FOLDER"]]),
    }
    os.chdir(folder)
    os.execv(sys.executable, [sys.executable, "-m", "apache_beam.runners.worker.sdk_worker_main"])


if __name__ == "__main__":
    main()
