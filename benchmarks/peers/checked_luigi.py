"""Many minutes in slices that share an answer, with three Luigi tasks and requests, each picture checked and synced; no more.

Its tasks run without a scheduler, and look neither for damage nor for other runs: about the least that Luigi's tasks with
durable files can cost.
"""

import gc
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime, timedelta

import luigi
import requests
from luigi.util import requires

from pipeline import jpeg

PHOTOS = 30
api, start, count = os.environ["UNSPLASH_API_URL"], datetime.fromisoformat(sys.argv[1]), int(sys.argv[2])
session = requests.Session()


def name(minute, suffix):
    return f"data/{minute:%Y-%m-%d/%H%M}{suffix}"


def replace(path, content):
    temporary = f"data/.tmp/{os.urandom(8).hex()}"
    with open(temporary, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


class FetchMetadata(luigi.Task):
    timestamp = luigi.DateMinuteParameter()

    def output(self):
        return luigi.LocalTarget(name(self.timestamp, ".json"))

    def run(self):
        answer = session.get(
            f"{api}/photos/random",
            params={"query": "nature", "count": PHOTOS},
            headers={"Authorization": f"Client-ID {os.environ['UNSPLASH_API_KEY']}"},
        )
        for number, photo in enumerate(answer.json()):
            replace(name(self.timestamp + timedelta(minutes=number), ".json"), json.dumps(photo).encode())


@requires(FetchMetadata)
class ExtractUrl(luigi.Task):
    def output(self):
        return luigi.LocalTarget(name(self.timestamp, ".txt"))

    def run(self):
        with self.input().open() as file:
            replace(self.output().path, json.load(file)["urls"]["regular"].encode())


@requires(ExtractUrl)
class StoreImage(luigi.Task):
    def output(self):
        return luigi.LocalTarget(name(self.timestamp, ".jpg"))

    def run(self):
        with self.input().open() as file, open(name(self.timestamp, ".part"), "w+b") as picture:
            picture.write(session.get(file.read()).content)
            thumbnail = jpeg.picture(picture).thumbnail
            picture.flush()
            os.fsync(picture.fileno())
        os.replace(picture.name, self.output().path)
        with open(name(self.timestamp, ".thumb"), "wb") as file:
            file.write(thumbnail)


def run(task):
    if not task.complete():
        for requirement in task.deps():
            run(requirement)
        task.run()


def store(first):
    for number in range(PHOTOS):
        run(StoreImage(timestamp=first + timedelta(minutes=number)))
    luigi.Task.clear_instance_cache()
    folder = os.open(os.path.dirname(name(first, "")), os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


slices = [start + timedelta(minutes=number) for number in range(0, count, PHOTOS)]
for folder in {"data/.tmp", *(os.path.dirname(name(first, "")) for first in slices)}:
    os.makedirs(folder, exist_ok=True)
gc.freeze()
gc.disable()
with ProcessPoolExecutor(8) as pool:
    list(pool.map(store, slices))
