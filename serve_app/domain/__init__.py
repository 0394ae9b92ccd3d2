"""The leaf of the house: value types, ports and errors. Imports nothing of ours and does no I/O."""
