"""A build on a local Flink or Spark: Beam's job server with a cluster of its own, a pool of workers, one command.

    python benchmarks/local_cluster.py RECIPE --out RUN [--jar beam-runners-flink-2.2-job-server-2.77.0.jar]

The job server is a Java program. It is taken from --jar, from the variable BEAM_JOB_SERVER_JAR, or from where Beam
keeps what it fetched; nothing is fetched here. Exit status 3, with the reason, where Java or the jar is missing.
"""

import argparse
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

MISSING = 3
# Spark 3 reaches into these from Java 17 on; Beam's own launcher opens them too. For Flink they should change nothing.
OPENED = [
    f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in ("sun.nio.ch", "java.nio", "java.util", "java.lang.invoke")
]


def job_server(named: str | None) -> list[str]:
    """The command that starts the job server. Raises FileNotFoundError saying what is missing."""
    if shutil.which("java") is None:
        raise FileNotFoundError("there is no Java here; Beam's job servers for Flink and Spark need Java 11 or later")
    kept = Path.home() / ".apache_beam" / "cache" / "jars"
    found = [Path(named)] if named else sorted(kept.glob("beam-runners-*-job-server-*.jar"))
    if not found or not found[-1].exists():
        raise FileNotFoundError(f"no job server: {named or f'{kept} holds none'}; give --jar or BEAM_JOB_SERVER_JAR")
    return ["java", *OPENED, "-jar", str(found[-1])]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("localhost", port), timeout=1):
            return
        time.sleep(0.2)
    raise TimeoutError(f"nothing listens on port {port} after {seconds:.0f} s")


def main() -> int:
    """Start the three, wait for the build, end them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--jar", default=os.environ.get("BEAM_JOB_SERVER_JAR"))
    parser.add_argument("--parallelism", type=int, default=2)
    parser.add_argument("--check", action="store_true", help="only say whether there is a job server")
    options = parser.parse_args()
    try:
        server = job_server(options.jar)
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return MISSING
    if options.check:
        return 0
    job, artifact, expansion, pool = (free_port() for _ in range(4))
    ports = [f"--job-port={job}", f"--artifact-port={artifact}", f"--expansion-port={expansion}"]
    workers = [sys.executable, "-m", "apache_beam.runners.worker.worker_pool_main", f"--service_port={pool}"]
    build = [sys.executable, "-m", "corpus", "build", options.recipe, "--out", options.out, "--"]
    build += ["--runner=PortableRunner", f"--job_endpoint=localhost:{job}", "--environment_type=EXTERNAL"]
    build += [f"--environment_config=localhost:{pool}", f"--parallelism={options.parallelism}"]
    with contextlib.ExitStack() as stack:
        for command in ([*server, *ports], workers):
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            stack.callback(process.wait)
            stack.callback(process.terminate)
        wait_for(job)
        wait_for(pool)
        return subprocess.run(build, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
