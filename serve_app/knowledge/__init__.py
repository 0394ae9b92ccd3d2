"""What the brain remembers: pages, chunks, search, quality, freshness and the crawl frontier."""

from serve_app.knowledge.base import KnowledgeBase
from serve_app.knowledge.guide import load_guide
from serve_app.knowledge.worker import KnowledgeWorker

__all__ = ["KnowledgeBase", "KnowledgeWorker", "load_guide"]
