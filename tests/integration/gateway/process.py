"""A gateway as a process of its own."""

import asyncio
import contextlib
import signal
import subprocess
import sys
import tempfile
import time

import httpx
from support.eventually import eventually_async
from support.ports import free_port


class Process:
    """A gateway process, its address, and what it wrote when it has ended."""

    def __init__(self, *arguments: str, out: int | None = None) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        command = [
            sys.executable,
            "-m",
            "fastchat_gateway",
            "--host=127.0.0.1",
            f"--port={self.url.rpartition(':')[2]}",
        ]
        self._files = [tempfile.TemporaryFile() for _ in range(2)]  # noqa: SIM115  # closed with the process
        out, err = self._files if out is None else (out, self._files[1])
        self.popen = subprocess.Popen([*command, "--poll-seconds=0.1", *arguments], stdout=out, stderr=err)

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, timeout=60, verify=False, trust_env=False)

    async def ready(self) -> "Process":
        async with self.client() as client:

            async def is_ready() -> bool:
                with contextlib.suppress(httpx.TransportError):
                    return (await client.get("/ready")).status_code == 200
                return self.popen.poll() is not None

            await eventually_async(is_ready)
        if self.popen.poll() is not None:
            await self.ended()
            raise AssertionError(self.err.decode())
        return self

    async def stop(self, sig: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """Exit status and the seconds it took."""
        started = time.monotonic()
        self.popen.send_signal(sig)
        return await self.ended(), time.monotonic() - started

    async def ended(self) -> int:
        await asyncio.wait_for(asyncio.to_thread(self.popen.wait), 60)
        for file in self._files:
            file.seek(0)
        self.out, self.err = [file.read() for file in self._files]
        return self.popen.returncode
