"""The three tasks in plain Luigi and requests, as its tutorial would have them: nothing is checked, nothing synced."""

import json
import os

import luigi
import requests
from luigi.format import Nop


class FetchMetadata(luigi.Task):
    timestamp = luigi.DateMinuteParameter()

    def output(self):
        return luigi.LocalTarget(f"data/{self.timestamp:%Y-%m-%d/%H%M}.json")

    def run(self):
        answer = requests.get(
            f"{os.environ['UNSPLASH_API_URL']}/photos/random",
            {"query": "nature", "count": 30},
            headers={"Authorization": f"Client-ID {os.environ['UNSPLASH_API_KEY']}"},
        )
        with self.output().open("w") as file:
            json.dump(answer.json(), file)


class ExtractUrl(luigi.Task):
    timestamp = luigi.DateMinuteParameter()

    def requires(self):
        return FetchMetadata(self.timestamp)

    def output(self):
        return luigi.LocalTarget(f"data/{self.timestamp:%Y-%m-%d/%H%M}.txt")

    def run(self):
        with self.input().open() as metadata, self.output().open("w") as file:
            file.write(json.load(metadata)[0]["urls"]["regular"])


class StoreImage(luigi.Task):
    timestamp = luigi.DateMinuteParameter()

    def requires(self):
        return ExtractUrl(self.timestamp)

    def output(self):
        return luigi.LocalTarget(f"data/{self.timestamp:%Y-%m-%d/%H%M}.jpg", format=Nop)

    def run(self):
        with self.input().open() as address, self.output().open("w") as file:
            file.write(requests.get(address.read()).content)


class Nothing(luigi.Task):
    """What Luigi itself costs."""

    def run(self):
        pass
