"""The three tasks in Prefect 1: nothing is checked, nothing synced."""

import os
import sys

import requests
from prefect import Flow, task


@task
def fetch_metadata():
    answer = requests.get(
        f"{os.environ['UNSPLASH_API_URL']}/photos/random",
        {"query": "nature", "count": 30},
        headers={"Authorization": f"Client-ID {os.environ['UNSPLASH_API_KEY']}"},
    )
    return answer.json()


@task
def extract_url(photos):
    return photos[0]["urls"]["regular"]


@task
def store_image(address):
    with open(f"{sys.argv[1]}/picture.jpg", "wb") as file:
        file.write(requests.get(address).content)


with Flow("picture") as flow:
    store_image(extract_url(fetch_metadata()))

sys.exit(0 if flow.run().is_successful() else 1)
