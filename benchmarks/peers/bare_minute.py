"""A minute's work with requests alone: one API request, the address taken, the picture written. Nothing is checked."""

import os
import sys

import requests

api, folder = os.environ["UNSPLASH_API_URL"], sys.argv[1]
answer = requests.get(
    f"{api}/photos/random",
    {"query": "nature", "count": 30},
    headers={"Authorization": f"Client-ID {os.environ['UNSPLASH_API_KEY']}"},
)
address = answer.json()[0]["urls"]["regular"]
with open(f"{folder}/picture.jpg", "wb") as file:
    file.write(requests.get(address).content)
