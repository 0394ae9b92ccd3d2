"""Requantise a GGUF file to Q8_0: `python requantize.py SOURCE TARGET`; exit code 0 on success.

Run as a process of its own (it imports nothing of ours), so that llama.cpp's log and the memory of
the whole model go away with it. Q8_0 reads prompts about twice as fast as Q4_1 on a CPU, at the
same answers.
"""

from __future__ import annotations

import ctypes
import sys


def requantize(source: str, target: str) -> int:
    """Write `target`; llama.cpp's return code, 0 on success."""
    import llama_cpp

    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0
    params.allow_requantize = True
    return int(
        llama_cpp.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(params))
    )


if __name__ == "__main__":
    sys.exit(1 if requantize(sys.argv[1], sys.argv[2]) else 0)
