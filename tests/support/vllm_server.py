"""A real vLLM server on 127.0.0.1, from the environment that `make test-vllm` builds.

`RISKMON_TEST_VLLM` names its Python. Without it the tests that ask for the server are skipped.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from support.served_worlds import CONTEXT, TARGET, ServedWorld

_PATIENCE_S = 280


@dataclass(frozen=True)
class RunningServer:
    """A server and its process."""

    url: str
    process: subprocess.Popen[bytes]


@contextmanager
def vllm_server(world: ServedWorld, log: Path, more: Sequence[str] = ()) -> Iterator[RunningServer]:
    """Start the server with the world's target and adapters, wait for it, and end it with all its children."""
    python = os.environ.get("RISKMON_TEST_VLLM")
    if not python:
        pytest.skip("RISKMON_TEST_VLLM names no Python with vLLM; `make test-vllm` builds one")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        *(python, "-m", "vllm.entrypoints.openai.api_server"),
        *("--model", str(world.target), "--served-model-name", TARGET, "--dtype", "float32"),
        *("--host", "127.0.0.1", "--port", str(port), "--max-model-len", str(CONTEXT), "--enforce-eager"),
        *("--enable-lora", "--max-loras", "2", "--max-lora-rank", "8", "--max-num-seqs", "64"),
        # Without these the CPU build dies on prompt_logprobs under an adapter.
        *("--lora-target-modules", "qkv_proj", "o_proj", "gate_up_proj", "down_proj"),
        *("--lora-modules", *(f"{name}={path}" for name, path in world.adapters.items())),
        *more,
    ]
    environment = {
        **os.environ,
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment, stdout=output, stderr=output, start_new_session=True
        )
        try:
            _wait(process, port, log)
            yield RunningServer(f"http://127.0.0.1:{port}/v1", process)
        finally:
            kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """End the server and the processes it started, which are in a session of their own."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, 9)
    process.wait()


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + _PATIENCE_S
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        try:
            if httpx.get(f"http://127.0.0.1:{port}/health", timeout=1).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.5)
    raise RuntimeError(f"vLLM did not start: {log.read_text(errors='replace')[-2000:]}")
