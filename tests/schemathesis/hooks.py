"""What tests/http/schemathesis.test.mjs makes requests with: names that are there, and something there to be steered."""

import itertools
import os
import random
import re

import requests
import schemathesis

ORIGIN = os.environ["CARO_ORIGIN"]
HEADERS = {"Authorization": "Bearer " + os.environ["CARO_TOKEN"]}
# Calls between two repairs: a stop, a deletion or an import spoils those that follow.
EVERY = 10

with open(os.environ["CARO_CONFIG"], "rb") as file:
    CONFIG = file.read()

count = itertools.count()
chance = random.Random(20261121)

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
VERSION = re.compile(r"v?\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?")
KNOWN = {
    "release": (NAME, ["v1.1.0-beta"]),
    "name": (NAME, ["internal_test"]),
    "cohorts": (NAME, ["internal_test"]),
    "features": (NAME, ["static_matcher", "validation_retry"]),
    "version": (VERSION, ["1.1.0-beta.1", "1.1.0-beta.2"]),
    "If-Match": (re.compile(r'"\d+"|\*'), ["*"]),
}


def known(key, value):
    """One that is there instead of a valid one, mostly. What is invalid stays as it is."""
    if key not in KNOWN:
        return value
    pattern, names = KNOWN[key]
    if isinstance(value, list):
        return [known(key, item) for item in value]
    if isinstance(value, str) and pattern.fullmatch(value) and chance.random() < 0.8:
        return chance.choice(names)
    return value


def with_known(given):
    if not isinstance(given, dict):
        return given
    return {key: known(key, value) for key, value in given.items()}


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    return with_known(path_parameters)


@schemathesis.hook
def map_headers(context, headers):
    return with_known(headers)


@schemathesis.hook
def map_body(context, body):
    return with_known(body)


def send(method, path, body=None):
    headers = {**HEADERS, "Content-Type": "application/json"}
    answer = requests.request(method, ORIGIN + path, headers=headers, data=body, timeout=30)
    # 404: the release to be cleared is gone, and comes back with the configuration.
    assert answer.status_code in (200, 404), f"{method} {path}: {answer.status_code} {answer.text}"


@schemathesis.hook
def before_call(context, case, kwargs):
    if next(count) % EVERY == 0:
        send("POST", "/rollout/all/clear-stop?reason=next")
        send("POST", "/rollout/v1.1.0-beta/clear-stop?reason=next")
        send("PUT", "/admin/config?reason=next&confirm=1", CONFIG)


@schemathesis.deserializer("application/x-ndjson", "text/html")
def text(context, response):
    return response.content.decode()
