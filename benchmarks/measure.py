"""What the benchmarks share: clips of any length, and the CPU time and memory of a command with all its processes."""

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import psutil
import redis

from contracts.embedded import run_valkey

EMOTRACE = [sys.executable, "-P", "-m", "cli.main"]


@dataclass
class Measurement:
    """``cpu_s`` of a command, its children and the Redis server; ``peaks_mb`` resident memory by process."""

    cpu_s: float
    wall_s: float
    stdout: str
    peaks_mb: dict[str, float] = field(default_factory=dict)


def repeat_clip(source: Path, times: int, target: Path) -> Path:
    """Write the video stream of ``source`` several times over, without encoding it again."""
    with av.open(str(target), "w") as output:
        out = None
        offset = 0
        for _ in range(times):
            with av.open(str(source)) as container:
                stream = container.streams.video[0]
                if out is None:
                    out = output.add_stream_from_template(stream)
                end = 0
                packets = [packet for packet in container.demux(stream) if packet.size]
                start = min(packet.pts for packet in packets)
                step = int(1 / (stream.average_rate * stream.time_base))
                for packet in packets:
                    end = max(end, packet.pts - start + (packet.duration or step))
                    packet.pts += offset - start
                    packet.dts += offset - start
                    packet.stream = out
                    output.mux(packet)
                offset += end
    return target


def measure_decoding(path: Path) -> float:
    """Return the CPU seconds of decoding with PyAV alone, one thread."""
    begin = time.process_time()
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        for _ in container.decode(stream):
            pass
    return time.process_time() - begin


def run_measured(
    command: list[str],
    environment: dict[str, str] | None = None,
    client: redis.Redis | None = None,
    folder: Path | None = None,
) -> Measurement:
    """Run a command to its end and measure it.

    A child that the command itself waits for is in its CPU time; the Redis server's time is read from the server.
    """
    before_s, begin = _read_server_cpu(client), time.monotonic()
    process = subprocess.Popen(
        command,
        env={**os.environ, **(environment or {})},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    peaks: dict[str, float] = {}
    is_running = True

    def sample() -> None:
        while is_running:
            for name, memory_mb in _list_memory(process.pid):
                peaks[name] = max(peaks.get(name, 0.0), memory_mb)
            time.sleep(0.1)

    sampler = threading.Thread(target=sample)
    sampler.start()
    usage_before = _children_cpu()
    stdout, stderr = process.communicate()
    is_running = False
    sampler.join()
    if process.returncode != 0:
        raise SystemExit(f"{command} failed: {stderr}")
    cpu_s = _children_cpu() - usage_before + _read_server_cpu(client) - before_s
    return Measurement(cpu_s, time.monotonic() - begin, stdout, peaks)


def analyze(path: Path, folder: Path, *options: str) -> tuple[Measurement, dict[str, Any]]:
    """Run ``emotrace analyze`` on embedded services of its own; return what it cost and its summary."""
    with run_valkey(folder / "data") as url:
        client = redis.Redis.from_url(url)
        environment = {"EMOTRACE_DATA_DIR": str(folder / "data")}
        command = [*EMOTRACE, "analyze", str(path), "--out", str(folder / "out"), "--json", *options]
        measurement = run_measured(command, environment, client)
        measurement.peaks_mb["valkey"] = client.info("memory")["used_memory_peak"] / 1e6
        client.close()
    return measurement, json.loads(measurement.stdout)


def describe_machine() -> str:
    """Return the processor's name and the number of cores."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown processor")
    return f"{model}, {os.cpu_count()} cores, Python {sys.version.split()[0]}"


def _children_cpu() -> float:
    times = os.times()
    return times.children_user + times.children_system


def _read_server_cpu(client: redis.Redis | None) -> float:
    if client is None:
        return 0.0
    information = client.info("cpu")
    return float(information["used_cpu_user"]) + float(information["used_cpu_sys"])


def _list_memory(pid: int) -> list[tuple[str, float]]:
    found = []
    try:
        parent = psutil.Process(pid)
        for process in [parent, *parent.children(recursive=True)]:
            words = process.cmdline()
            name = next((word for word in words if word in ("run-recording", "run-inference", "analyze")), "other")
            found.append((name, process.memory_info().rss / 1e6))
    except psutil.Error:
        pass
    return found
