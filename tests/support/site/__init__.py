"""A web site of about 40 pages for the tests, served on loopback.

with ExampleSite() as site:
    crawl(site.url)             # "http://127.0.0.1:PORT"
    site.hits["/docs/install"]  # how often it was asked for
"""

from support.site.questions import OFF_TOPIC, QUESTIONS, Question
from support.site.server import ExampleSite

__all__ = ["OFF_TOPIC", "QUESTIONS", "ExampleSite", "Question"]
