"""The only importer of Ray: one thin file per deployment or actor, the handles between them, and the composition root."""
