"""Asks again and again, whatever comes back: a script for a pod. Its argument is a list in JSON of [URL, body].

A body of null asks with GET. Each entry has a client of its own, which reads what comes to its end and asks again.
"""

import json
import sys
import threading
import time

import httpx

PAUSE_SECONDS = 0.2


def call(url: str, body: object) -> None:
    with httpx.Client(timeout=300) as http:
        while True:
            try:
                with http.stream("GET" if body is None else "POST", url, json=body) as response:
                    for _ in response.iter_raw():
                        pass
            except httpx.HTTPError:
                pass
            time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    callers = [threading.Thread(target=call, args=each) for each in json.loads(sys.argv[1])]
    for caller in callers:
        caller.start()
