"""Many minutes with the three plain tasks, in one Luigi run with one worker."""

import sys
from datetime import datetime, timedelta

import luigi
from plain_luigi import StoreImage

start, count = datetime.fromisoformat(sys.argv[1]), int(sys.argv[2])
tasks = [StoreImage(start + timedelta(minutes=number)) for number in range(count)]
sys.exit(0 if luigi.build(tasks, local_scheduler=True, log_level="WARNING") else 1)
