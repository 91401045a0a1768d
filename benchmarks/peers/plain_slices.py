"""A Luigi task a slice, in eight processes: checked, thumbnailed and flushed as the project does, and nothing else.

No quota, no rule of which answer wins, no locks, no page, no reasons of failures: what the project's form can reach at most.
"""

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import luigi
import requests
from luigi.scheduler import Scheduler
from luigi.worker import Worker

from pipeline import jpeg

MINUTES = 24  # what an answer has photos for, nearly always
PROCESSES = THREADS = 8


def write(path, content):
    with open(f"{path}.new", "xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(f"{path}.new", path)
    folder = os.open(os.path.dirname(path), os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


class Slice(luigi.Task):
    first = luigi.DateMinuteParameter()

    def complete(self):
        return False

    def run(self):
        with requests.Session() as session, ThreadPoolExecutor(THREADS) as pool:
            key = {"Authorization": f"Client-ID {os.environ['UNSPLASH_API_KEY']}"}
            asked = {"query": "nature", "count": 30}
            photos = session.get(f"{os.environ['UNSPLASH_API_URL']}/photos/random", params=asked, headers=key).json()[:MINUTES]
            minutes = [self.first + timedelta(minutes=number) for number in range(MINUTES)]
            for minute, photo in zip(minutes, photos, strict=True):
                os.makedirs(f"data/{minute:%Y-%m-%d}/thumb", exist_ok=True)
                write(f"data/{minute:%Y-%m-%d/%H%M}.json", json.dumps(photo).encode())
            addresses = [photo["urls"]["regular"] for photo in photos]
            answers = pool.map(lambda address: session.get(address, timeout=(10, 20)).content, addresses)
            for minute, address, content in zip(minutes, addresses, answers, strict=True):
                write(f"data/{minute:%Y-%m-%d/%H%M}.txt", f"{address}\n".encode())
                picture = jpeg.picture(content)
                write(f"data/{minute:%Y-%m-%d/%H%M}.jpg", content)
                write(f"data/{minute:%Y-%m-%d}/thumb/{minute:%H%M}.jpg", picture.thumbnail)


start, count = datetime.fromisoformat(sys.argv[1]), int(sys.argv[2])
with Worker(Scheduler(prune_on_get_work=False), worker_processes=PROCESSES, force_multiprocessing=True) as worker:
    for number in range(0, count, MINUTES):
        worker.add(Slice(start + timedelta(minutes=number)))
    sys.exit(0 if worker.run() else 1)
