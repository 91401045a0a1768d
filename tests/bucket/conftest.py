"""An S3 server, and a bucket and a project on it."""

from tests.support import s3 as servers

moto, swift, s3_server = servers.moto, servers.swift, servers.s3_server
proxy, s3, bucket, cloud = servers.proxy, servers.s3, servers.bucket, servers.cloud
